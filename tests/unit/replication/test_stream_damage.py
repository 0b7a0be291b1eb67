"""Records that are damaged between a source's memory and its standby's spool, below what TLS protects."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import cast
from unittest.mock import MagicMock

import pytest

from hsorch.node.replication.gate import Gate
from hsorch.node.replication.generations import Lineage
from hsorch.node.replication.journal import Journal
from hsorch.node.replication.messages import Begin, Data, Hello, Message, Refused
from hsorch.node.replication.meta import Place
from hsorch.node.replication.quarantine import QuarantineFull
from hsorch.node.replication.record import Kind
from hsorch.node.replication.segments import Start
from hsorch.node.replication.ship import Shipper
from hsorch.node.replication.spool import SOON_S, Spool
from hsorch.node.replication.status import of_target
from hsorch.node.replication.target import Target
from hsorch.node.replication.wire import Broken, Channel, Frame, Room
from tests.replicators.members import until
from tests.unit.replication.test_ends import SENDER, flip, standing
from tests.unit.replication.test_ship import GENERATION, JOB, Resyncs


class Wire:
    """A channel on which the other side says what was laid down before."""

    closed = False

    def __init__(self, *frames: Frame) -> None:
        self._frames = list(frames)
        self.said: list[Message] = []

    def send(self, message: Message, body: bytes = b"") -> None:
        self.said.append(message)

    def receive(self, timeout_s: float | None = None, *, room: Room | None = None) -> Frame | None:
        if not self._frames:
            raise Broken("nothing more")
        return self._frames.pop(0)

    def close(self) -> None:
        self.closed = True


def damaged(data: bytes, ends: list[int], how: str) -> bytes:
    """The third of the records is not what it was."""
    first, second, third = ends[:3]
    changed = bytearray(data)
    if how == "flipped":
        changed[second + 30] ^= 1
    elif how == "dropped":
        del changed[second:third]
    elif how == "doubled":
        changed[third:third] = changed[first:second]
    else:
        changed[second:] = data[third : ends[3]] + data[second:third] + data[ends[3] :]
    return bytes(changed)


@pytest.mark.parametrize(("how", "good"), [("flipped", 2), ("dropped", 2), ("doubled", 3), ("swapped", 2)])
def test_the_spool_ends_with_the_last_good_record(tmp_path: Path, how: str, good: int) -> None:
    with standing(tmp_path) as ground:
        here = ground.here()
        source = Journal(
            tmp_path / "source", Start(ground.meta.value.job, here.generation, here.lsn, here.crc)
        )
        ends = [source.append(Kind.CREATE, fid=None, a=0o600, path=b"%d" % n).end for n in range(5)]
        data = damaged(source.read(here.lsn), [end - here.lsn for end in ends], how)
        hello = Hello(job=ground.meta.value.job, node="a", purpose="stream", lineage=SENDER)
        wire = Wire(
            Frame(Begin(at=here, asked_from=here.lsn), bytearray()),
            Frame(Data(lsn=here.lsn), bytearray(data)),
        )
        spool = Spool(ground)
        with pytest.raises(Broken, match="record at"):
            spool.serve(cast(Channel, wire), hello)
        refusal = wire.said[-1]
        assert isinstance(refusal, Refused)
        assert f"record at {ends[good - 1]}" in refusal.why
        spool.finish()
        assert ground.meta.value.checkpoint.lsn == ends[good - 1]
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [str(n) for n in range(good)]


@pytest.mark.parametrize("on_disk", [True, False])
def test_a_refused_source_looks_at_its_journal_before_it_sends_again(tmp_path: Path, on_disk: bool) -> None:
    """Damage on the way goes by; damage on the disk would be sent again for ever."""
    journal = Journal(tmp_path / "journal", Start(job=JOB, generation=GENERATION))
    begin = journal.end
    for number in range(5):
        journal.append(Kind.WRITE, fid=1, a=number, b=3, data=b"%03d" % number)
    if on_disk:
        (segment,) = (tmp_path / "journal").iterdir()
        flip(segment, segment.read_bytes().index(b"003"))
    lineage = Lineage(current=GENERATION, end=journal.end)
    hello = Hello(job=JOB, node="a", purpose="stream", lineage=lineage)
    theirs = Hello(
        job=JOB, node="b", purpose="stream", lineage=Lineage(current=GENERATION, end=begin),
        end=Place(generation=GENERATION, lsn=begin),
    )  # fmt: skip
    told: list[str] = []
    shipper = Shipper(
        journal, Gate("none"), lambda: cast(Channel, None), lambda: hello, Resyncs(journal),
        on_damage=told.append,
    )  # fmt: skip
    begins: list[Begin] = []
    for _ in range(2):
        wire = Wire(Frame(theirs, bytearray()), Frame(Refused(why="damaged on the way"), bytearray()))
        with pytest.raises(Broken):
            shipper._converse(cast(Channel, wire))
        begins += [message for message in wire.said if isinstance(message, Begin)]
    assert [message.fresh for message in begins] == [False, on_disk]
    assert bool(told) is on_disk


def test_a_refused_source_counts_again_when_something_comes_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it was refused for is said as long, and no connection comes and goes."""
    with standing(tmp_path) as ground:
        here = ground.here()
        target = Target(ground)
        hello = Hello(job=ground.meta.value.job, node="a", purpose="stream", lineage=SENDER)
        seen = list[tuple[bool, set[str]]]()

        def begin() -> Frame:
            return Frame(Begin(at=here, asked_from=here.lsn), bytearray())

        def look() -> None:
            troubles = of_target(ground, target).troubles
            seen.append((target.connected, {trouble.code for trouble in troubles}))

        class Begun(Wire):
            def receive(self, timeout_s: float | None = None, *, room: Room | None = None) -> Frame | None:
                look()
                if not self._frames:
                    until(lambda: target.spool.refusal is None)
                    look()
                return super().receive(timeout_s, room=room)

        with monkeypatch.context() as full:
            no_room = QuarantineFull("full", hint="drop what nobody needs")
            full.setattr(target.spool.carrying, "goes_on", MagicMock(side_effect=no_room))
            with pytest.raises(QuarantineFull):
                target.serve(cast(Channel, Wire(begin())), hello)
        target.spool.carrying.fault, target.spool.carrying.fault_code = "full", "HS679"
        assert of_target(ground, target).troubles == (), "what is told as a fault is not told twice"
        target.spool.carrying.fault = ""
        with pytest.raises(Broken, match="nothing more"):
            target.serve(cast(Channel, Begun(begin())), hello)
        target.finish()
    assert seen[0] == (False, {"HS679"})
    assert seen[-1] == (True, set())


def test_a_standby_that_cannot_take_what_comes_does_not_say_that_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data may be longer on their way than it waits for more before it speaks."""

    class Slow(Wire):
        def receive(self, timeout_s: float | None = None, *, room: Room | None = None) -> Frame | None:
            if len(self._frames) == 1:
                time.sleep(5 * SOON_S)
                spool._acknowledge()  # as the thread does that makes durable
            return super().receive(timeout_s, room=room)

    def refuse(lsn: int, data: bytes) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with standing(tmp_path) as ground:
        here, spool = ground.here(), Spool(ground)
        ground.journal.append(Kind.CREATE, fid=1, a=0o600, path=b"not in the files yet")
        monkeypatch.setattr(ground.journal, "append_raw", refuse)
        hello = Hello(job=ground.meta.value.job, node="a", purpose="stream", lineage=SENDER)
        at = ground.here()
        for _ in range(2):
            begin, data = Begin(at=at, asked_from=here.lsn), Data(lsn=at.lsn)
            wire = Slow(Frame(begin, bytearray()), Frame(data, bytearray(b"x")))
            with pytest.raises(OSError, match="Input/output error"):
                spool.serve(cast(Channel, wire), hello)
            assert spool.refusal is not None
            assert spool.refusal.code == "HS618"
        assert [type(said) for said in wire.said] == [Hello, Refused]
        spool.finish()
