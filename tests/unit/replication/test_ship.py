"""What a meeting with the standby means for flushes that wait for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from unittest.mock import MagicMock

import pytest

from hsorch.node.replication import ship
from hsorch.node.replication.doubt import Extents
from hsorch.node.replication.gate import Gate, Level
from hsorch.node.replication.generations import Fork, Lineage, Verdict
from hsorch.node.replication.journal import Journal
from hsorch.node.replication.messages import VERSION, Ack, Begin, Hello, Message, Pictured, Refused
from hsorch.node.replication.meta import Place
from hsorch.node.replication.mirror import refused
from hsorch.node.replication.record import Kind
from hsorch.node.replication.segments import Start
from hsorch.node.replication.ship import ANSWER_S, PATIENT_S, RETRY_S, SILENT_S, Shipper
from hsorch.node.replication.wire import Broken, Channel, Frame
from tests.replicators.members import until

JOB = b"j" * 16
GENERATION = 0x5EED


class Standby:
    """A channel to a standby that says Hello and breaks off after the Begin."""

    closed = False

    def __init__(self, hello: Hello, gate: Gate) -> None:
        self._hello = hello
        self._gate = gate
        self.begins: list[Begin] = []
        self.acked_after_begin: list[int] = []

    def send(self, message: Message, body: bytes = b"") -> None:
        if isinstance(message, Begin):
            self.begins.append(message)

    def receive(self, timeout_s: float | None = None) -> Frame | None:
        if not self.begins:
            return Frame(self._hello, bytearray())
        self.acked_after_begin.append(self._gate.acked)
        raise Broken("the link was cut before the standby read it")

    def close(self) -> None:
        self.closed = True


class Stuck(Standby):
    """It has no room for what is sent."""

    def receive(self, timeout_s: float | None = None) -> Frame | None:
        return Frame(Refused(why="no space left") if self.begins else self._hello, bytearray())


class Resyncs:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.verdicts: list[Verdict] = []
        self.unfinished = False

    def bring(self, channel: Channel) -> int:
        raise AssertionError("the standby's files count")

    def begin(self, verdict: Verdict, *, decided: bool, brought: bool) -> tuple[Place, Extents | None]:
        self.verdicts.append(verdict)
        record = self._journal.append(Kind.MIRROR_BEGIN)
        return Place(generation=record.generation, lsn=record.lsn, crc=record.previous), None

    def resumes(self, theirs: Place) -> bool:
        return False

    def connected(self, say: Callable[[Message], None], *, fresh: bool) -> None: ...

    def disconnected(self) -> None: ...

    def told(self, message: Pictured) -> None: ...

    def acknowledged(self, ack: Ack) -> None: ...


@pytest.mark.parametrize("level", ["received", "durable"])
def test_a_resync_answers_no_flush_before_the_standby_has_heard_of_it(tmp_path: Path, level: Level) -> None:
    """Until then it counts as complete, and may take over without what the flush was about."""
    journal = Journal(tmp_path / "journal", Start(job=JOB, generation=GENERATION))
    gate = Gate(level)
    flushed = journal.append(Kind.WRITE, fid=1, b=3, data=b"new").end
    mine = Hello(job=JOB, node="a", purpose="stream", lineage=Lineage(current=GENERATION, unsure_from=1))
    theirs = Hello(job=JOB, node="b", purpose="stream", lineage=Lineage(current=GENERATION))
    standby = Standby(theirs, gate)
    channel = cast(Channel, standby)
    shipper = Shipper(journal, gate, lambda: channel, lambda: mine, Resyncs(journal))
    with pytest.raises(Broken):
        shipper._converse(channel)
    assert standby.begins[0].fresh
    assert gate.guards
    assert max(standby.acked_after_begin) < flushed


@pytest.mark.parametrize("guards", [True, False], ids=["flushes wait for it", "they do not"])
def test_a_standby_is_told_how_far_it_was_counted_on(tmp_path: Path, guards: bool) -> None:
    """One that comes back with less was set back, or lost what it had taken."""
    journal = Journal(tmp_path / "journal", Start(job=JOB, generation=GENERATION))
    gate = Gate("durable")
    at = Place(generation=GENERATION, lsn=journal.end, crc=journal.crc)
    taken = journal.append(Kind.WRITE, fid=1, b=3, data=b"new").end
    gate.acknowledge(taken, taken, taken)
    if not guards:
        gate.open()
    lineage = Lineage(current=GENERATION)
    standby = Standby(Hello(job=JOB, node="b", purpose="stream", lineage=lineage, end=at), gate)
    channel, hello = cast(Channel, standby), Hello(job=JOB, node="a", purpose="stream", lineage=lineage)
    with pytest.raises(Broken):
        Shipper(journal, gate, lambda: channel, lambda: hello, Resyncs(journal))._converse(channel)
    assert standby.begins[0].counted == (taken if guards else 0)
    assert standby.begins[0].asked_from == journal.end, "what was to be compared before is not, any more"


@pytest.mark.parametrize("unsure", ["source", "standby"])
def test_who_lost_power_as_source_is_compared_although_it_is_only_behind(tmp_path: Path, unsure: str) -> None:
    """Its files may lack writes that its journal has, and no stream would bring them again."""
    journal = Journal(tmp_path / "journal", Start(job=JOB, generation=GENERATION))
    fork = journal.append(Kind.WRITE, fid=1, b=3, data=b"new")
    at = Place(generation=GENERATION, lsn=fork.end, crc=journal.crc)
    journal.begin_generation(GENERATION + 1)
    base = Fork(generation=GENERATION, lsn=fork.end)
    cut = {unsure: fork.end}
    mine = Lineage(
        current=GENERATION + 1, base=base, end=journal.end, unsure_from=cut.get("source", 0)
    )  # fmt: skip
    theirs = Lineage(current=GENERATION, end=fork.end, unsure_from=cut.get("standby", 0))
    gate = Gate("none")
    standby = Standby(Hello(job=JOB, node="b", purpose="stream", lineage=theirs, end=at), gate)
    channel, hello = cast(Channel, standby), Hello(job=JOB, node="a", purpose="stream", lineage=mine)
    with pytest.raises(Broken):
        Shipper(journal, gate, lambda: channel, lambda: hello, Resyncs(journal))._converse(channel)
    assert standby.begins[0].fresh


def test_why_the_standby_broke_off_is_what_the_source_says(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", Start(job=JOB, generation=GENERATION))
    at = Place(generation=GENERATION, lsn=journal.end, crc=journal.crc)
    mine = Hello(job=JOB, node="a", purpose="stream", lineage=Lineage(current=GENERATION))
    theirs = Hello(job=JOB, node="b", purpose="stream", lineage=Lineage(current=GENERATION), end=at)
    gate, standbys = Gate("none"), list[Stuck]()

    def dial() -> Channel:
        standbys.append(Stuck(theirs, gate))
        return cast(Channel, standbys[-1])

    shipper = Shipper(journal, gate, dial, lambda: mine, Resyncs(journal))
    shipper.start()
    ends = time.monotonic() + 20
    while shipper.state != "the standby stopped: no space left":
        assert time.monotonic() < ends, shipper.state
        time.sleep(0.02)
    assert standbys[0].closed
    shipper.stop()


def test_a_standby_that_broke_off_counts_again_from_its_first_word(tmp_path: Path) -> None:
    """It may refuse as long as it likes: nobody is told each time that the data flow."""
    journal = Journal(tmp_path / "journal", Start(job=JOB, generation=GENERATION))
    at = Place(generation=GENERATION, lsn=journal.end, crc=journal.crc)
    mine = Hello(job=JOB, node="a", purpose="stream", lineage=Lineage(current=GENERATION))
    theirs = Hello(job=JOB, node="b", purpose="stream", lineage=Lineage(current=GENERATION), end=at)
    gate, full = Gate("none"), Refused(why="full")
    said: list[Message] = [full, full, Ack(received=0, durable=0, applied=0)]
    seen = list[tuple[bool, bool, str]]()

    class Moody(Standby):
        def receive(self, timeout_s: float | None = None) -> Frame | None:
            if not self.begins:
                return Frame(self._hello, bytearray())
            seen.append((shipper.streaming, shipper.connected, shipper.state))
            return Frame(said.pop(0), bytearray()) if said else None

    def dial() -> Channel:
        return cast(Channel, Moody(theirs, gate))

    shipper = Shipper(journal, gate, dial, lambda: mine, Resyncs(journal))
    shipper.start()
    until(lambda: len(seen) > 3)
    shipper.stop()
    why = "the standby stopped: full"
    counted = [(connected, state) for _, connected, state in seen[:4]]
    assert counted == [(True, "streaming"), (False, why), (False, why), (True, "streaming")]
    assert all(streaming for streaming, _, _ in seen), "what is asked over it may be answered"


class Quiet(Standby):
    """It takes everything, and has nothing to say."""

    def receive(self, timeout_s: float | None = None) -> Frame | None:
        return None if self.begins else Frame(self._hello, bytearray())


def test_a_source_that_has_nothing_to_send_ends_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A switch waits for that."""
    monkeypatch.setattr(ship, "RETRY_S", 600.0)
    journal = Journal(tmp_path / "journal", Start(job=JOB, generation=GENERATION))
    at = Place(generation=GENERATION, lsn=journal.end, crc=journal.crc)
    lineage = Lineage(current=GENERATION)
    gate, hello = Gate("none"), Hello(job=JOB, node="a", purpose="stream", lineage=lineage)
    standby = Quiet(Hello(job=JOB, node="b", purpose="stream", lineage=lineage, end=at), gate)
    shipper = Shipper(journal, gate, lambda: cast(Channel, standby), lambda: hello, Resyncs(journal))
    waits = threading.Event()
    plain = Journal.wait_beyond

    def wait_beyond(*args: Any) -> bool:
        waits.set()
        return plain(*args)

    monkeypatch.setattr(Journal, "wait_beyond", wait_beyond)
    monkeypatch.setattr(standby, "close", lambda: None)
    shipper.start()
    assert waits.wait(20)
    shipper.stop()
    assert not shipper._thread.is_alive()


class Refusing(Resyncs):
    """The standby has no room for a base copy."""

    def bring(self, channel: Channel) -> int:
        raise refused("/srv/db", "no space left")


def test_a_standby_that_cannot_take_a_base_copy_is_not_asked_again_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time both would read what they have from the beginning."""
    journal = Journal(tmp_path / "journal", Start(job=JOB, generation=GENERATION))
    mine = Hello(job=JOB, node="a", purpose="stream", lineage=Lineage(current=GENERATION))
    gate, waits = Gate("none"), list[float]()
    blank = Hello(job=JOB, node="b", purpose="stream")
    shipper = Shipper(
        journal, gate, lambda: cast(Channel, Standby(blank, gate)), lambda: mine, Refusing(journal)
    )

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            shipper._stopped.set()

    monkeypatch.setattr(shipper._stopped, "wait", wait)
    shipper._run()
    assert waits == [RETRY_S, PATIENT_S, PATIENT_S]


class Bringing(Resyncs):
    def __init__(self, journal: Journal) -> None:
        super().__init__(journal)
        self.brought = 0

    def bring(self, channel: Channel) -> int:
        self.brought += 1
        return 1


@pytest.mark.parametrize("receiving", [GENERATION, 0xA1], ids=["the same", "the one before"])
def test_a_standby_in_the_middle_of_a_resync_gets_a_base_copy_whatever_the_source_is_called_by_now(
    tmp_path: Path, receiving: int
) -> None:
    journal = Journal(tmp_path / "journal", Start(job=JOB, generation=GENERATION))
    history = (Fork(generation=0xA1, lsn=90), Fork(generation=0xA0, lsn=50))
    mine = Hello(
        job=JOB, node="a", purpose="stream",
        lineage=Lineage(current=GENERATION, base=history[0], history=history[1:]),
    )  # fmt: skip
    theirs = Lineage(current=0xA0, receiving=receiving, end=50)
    gate, resyncs = Gate("none"), Bringing(journal)
    standby = Standby(Hello(job=JOB, node="b", purpose="stream", lineage=theirs), gate)
    channel = cast(Channel, standby)
    with pytest.raises(Broken):
        Shipper(journal, gate, lambda: channel, lambda: mine, resyncs)._converse(channel)
    assert resyncs.brought == 1


def test_a_standby_of_another_version_gets_no_stream(tmp_path: Path) -> None:
    """Also one that does not look at ours: what it would say next is not what we would hear."""
    journal = Journal(tmp_path / "journal", Start(job=JOB, generation=GENERATION))
    gate = Gate("none")
    standby = Standby(Hello(version=VERSION - 1, job=JOB, node="b", purpose="stream"), gate)
    channel, hello = cast(Channel, standby), Hello(job=JOB, node="a", purpose="stream")
    with pytest.raises(Broken, match=rf"b speaks version {VERSION - 1} .* this node version {VERSION}"):
        Shipper(journal, gate, lambda: channel, lambda: hello, Resyncs(journal))._converse(channel)
    assert not standby.begins


@pytest.mark.parametrize("doubts", [False, True])
def test_a_standby_that_compares_everything_is_asked_about_everything(tmp_path: Path, doubts: bool) -> None:
    """By hashes of small files at once, instead of one by one in its answers."""
    journal = Journal(tmp_path / "journal", Start(job=JOB, generation=GENERATION))
    alone = Lineage(current=GENERATION + 1, base=Fork(generation=GENERATION, lsn=journal.end), unsure_from=1)
    mine = Hello(job=JOB, node="a", purpose="stream", lineage=alone)
    behind = Lineage(current=GENERATION, end=journal.end)
    theirs = Hello(job=JOB, node="b", purpose="stream", lineage=behind, doubts=doubts)
    gate = Gate("none")
    channel = cast(Channel, Standby(theirs, gate))
    resyncs = Resyncs(journal)
    with pytest.raises(Broken):
        Shipper(journal, gate, lambda: channel, lambda: mine, resyncs)._converse(channel)
    assert (resyncs.verdicts[0].since is None) is doubts


def test_a_source_that_is_unsure_of_what_it_captured_has_everything_compared(tmp_path: Path) -> None:
    """A part of it would not show what a program changed past the mount."""
    journal = Journal(tmp_path / "journal", Start(job=JOB, generation=GENERATION))
    alone = Lineage(current=GENERATION + 1, base=Fork(generation=GENERATION, lsn=journal.end), unsure_from=1)
    mine = Hello(job=JOB, node="a", purpose="stream", lineage=alone, doubts=True)
    behind = Lineage(current=GENERATION, end=journal.end)
    theirs = Hello(job=JOB, node="b", purpose="stream", lineage=behind)
    gate, resyncs = Gate("none"), Resyncs(journal)
    channel = cast(Channel, Standby(theirs, gate))
    with pytest.raises(Broken):
        Shipper(journal, gate, lambda: channel, lambda: mine, resyncs)._converse(channel)
    assert resyncs.verdicts[0].since is None


@pytest.mark.parametrize(("midway", "unfinished"), [(True, False), (False, True), (False, False)])
def test_a_comparison_that_broke_off_begins_again_where_the_stream_could_go_on(
    tmp_path: Path, midway: bool, unfinished: bool
) -> None:
    """Its standby waits for an end that nobody would record. One of the two may have been restarted."""
    journal = Journal(tmp_path / "journal", Start(job=JOB, generation=GENERATION))
    mine = Hello(job=JOB, node="a", purpose="stream", lineage=Lineage(current=GENERATION))
    end = Place(generation=GENERATION, lsn=journal.end, crc=journal.crc)
    theirs = Hello(
        job=JOB, node="b", purpose="stream", lineage=Lineage(current=GENERATION), end=end, midway=midway
    )
    gate, resyncs = Gate("none"), Resyncs(journal)
    resyncs.unfinished = unfinished
    standby = Standby(theirs, gate)
    channel = cast(Channel, standby)
    with pytest.raises(Broken):
        Shipper(journal, gate, lambda: channel, lambda: mine, resyncs)._converse(channel)
    assert standby.begins[0].fresh is (midway or unfinished)


@pytest.mark.parametrize("fresh", [True, False])
def test_a_standby_whose_stream_begins_anew_may_first_carry_out_what_it_has(
    tmp_path: Path, fresh: bool
) -> None:
    waited: list[float | None] = []

    class Slow:
        def receive(self, timeout_s: float | None = None) -> Frame | None:
            waited.append(timeout_s)
            if len(waited) == 2:
                return None
            return Frame(Ack(received=0, durable=0, applied=0), bytearray())

        def close(self) -> None: ...

    journal = Journal(tmp_path / "journal", Start(job=JOB, generation=GENERATION))
    shipper = Shipper(journal, Gate("none"), MagicMock(), MagicMock(), MagicMock())
    shipper._listen(cast(Channel, Slow()), fresh=fresh)
    assert waited == [ANSWER_S if fresh else SILENT_S, SILENT_S]
