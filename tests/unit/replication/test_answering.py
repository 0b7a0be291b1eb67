"""A standby that is asked what it has: its files stand still, and nothing else does."""

from __future__ import annotations

import contextlib
import errno
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast
from unittest.mock import MagicMock

import pytest

from hsorch.node.replication.ahead import Ahead
from hsorch.node.replication.answer import Answerer, Questions
from hsorch.node.replication.carrying import IDLE_S
from hsorch.node.replication.entries import FILE
from hsorch.node.replication.ground import Ground
from hsorch.node.replication.messages import Ack, Begin, Message, Outline, Pictured, Refused
from hsorch.node.replication.outline import Item, Part
from hsorch.node.replication.record import OVERHEAD, Kind
from hsorch.node.replication.spool import SOON_S, Spool
from hsorch.node.replication.stage import VERIFY
from hsorch.node.replication.verify import SEGMENT, Hasher
from hsorch.node.replication.wire import Broken, Channel, Frame, Room
from tests.replicators.members import until
from tests.unit.replication.test_ends import SENDER, standing


class Connection:
    """What the source says, and what it hears."""

    def __init__(self) -> None:
        self._said: queue.SimpleQueue[tuple[Message, bytes] | None] = queue.SimpleQueue()
        self.heard: list[Message] = []
        self.closed = False

    def say(self, message: Message, body: bytes = b"") -> None:
        self._said.put((message, body))

    def send(self, message: Message) -> None:
        if self.closed:
            raise Broken("closed")
        self.heard.append(message)

    def receive(self, timeout_s: float | None = None, *, room: Room | None = None) -> Frame | None:
        said = self._said.get()
        if said is None:
            raise Broken("closed")
        return Frame(said[0], memoryview(bytearray(said[1])))

    def close(self) -> None:
        self.closed = True
        self._said.put(None)

    def answers(self) -> list[Pictured]:
        return [message for message in self.heard if isinstance(message, Pictured)]

    def acked(self) -> int:
        return max((message.durable for message in self.heard if isinstance(message, Ack)), default=0)


class Standby:
    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.spool = Spool(ground)
        self.spool.start()

    def connect(self) -> Connection:
        """It stands at the begin of a verify, and was asked once."""
        made, journal = Connection(), self.ground.journal
        self.serve(made)
        here = self.ground.here()
        made.say(Begin(at=here, asked_from=here.lsn))
        until(lambda: self.spool._channel is cast(Channel, made))
        begin = journal.append(Kind.MIRROR_BEGIN, a=VERIFY)
        made.say(Outline(lsn=begin.lsn, number=0, parts=[Part(0, b"", [], last=False)]))
        until(lambda: bool(made.answers()))
        self.begin = begin
        return made

    def serve(self, connection: Connection) -> None:
        threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        source = self.ground.hello()
        with contextlib.suppress(Broken):
            self.spool.serve(cast(Channel, connection), source)


@pytest.fixture
def standby(tmp_path: Path) -> Iterator[Standby]:
    with standing(tmp_path, SENDER.current) as ground:
        made = Standby(ground)
        yield made
        made.spool.stop()


def test_it_takes_in_what_the_application_writes_meanwhile(standby: Standby) -> None:
    source, journal = standby.connect(), standby.ground.journal
    written = journal.append(Kind.WRITE, fid=5, b=3, data=b"new")
    until(lambda: source.acked() == written.end)
    assert standby.spool.carrying.applied == standby.begin.lsn
    source.say(Outline(lsn=standby.begin.lsn, number=1, parts=[Part(0, b"", [])], last=True))
    until(lambda: standby.spool.carrying.applied == written.end)


def test_a_source_that_waits_for_the_last_record_hears_of_it_soon(tmp_path: Path) -> None:
    """And no more often than now and then once it knows that everything is in the files."""
    source, asked = Connection(), []

    class Silence:
        def next(self, timeout_s: float) -> None:
            asked.append(timeout_s)

    with standing(tmp_path, SENDER.current) as ground:
        spool = Spool(ground)  # nothing runs: neither of its threads tells anything
        spool._channel = cast(Channel, source)
        before, written = spool.carrying.applied, ground.journal.append(Kind.WRITE, fid=5, b=3, data=b"new")
        for applied in (before, before, written.end, written.end):
            spool.carrying.applied = applied
            spool._take(cast(Ahead, Silence()), Questions(1))
        assert [ack.applied for ack in source.heard if isinstance(ack, Ack)] == [before, written.end]
        spool._ack_due = 0.0  # and however little there is to tell, this side is there
        spool._take(cast(Ahead, Silence()), Questions(1))
    assert asked == [SOON_S, SOON_S, SOON_S, IDLE_S, IDLE_S]
    assert [ack.applied for ack in source.heard if isinstance(ack, Ack)][2:] == [written.end]


def test_it_takes_over_at_once_though_its_source_asks_no_more(standby: Standby) -> None:
    standby.connect()
    written = standby.ground.journal.append(Kind.WRITE, fid=5, b=3, data=b"new")
    assert standby.spool.finish().lsn == written.end


def test_another_connection_is_not_kept_waiting_by_the_one_before(standby: Standby) -> None:
    standby.connect()
    other = standby.connect()
    assert [answer.lsn for answer in other.answers()] == [standby.begin.lsn]


def test_what_was_asked_for_an_earlier_comparison_gets_no_answer(standby: Standby) -> None:
    source, lsn = standby.connect(), standby.begin.lsn
    source.say(Outline(lsn=lsn - 1, number=7, parts=[], last=True))
    source.say(Outline(lsn=lsn, number=1, parts=[], last=True))
    until(lambda: len(source.answers()) == 2)
    assert [answer.number for answer in source.answers()] == [0, 1]


def test_it_answers_the_verify_that_was_asked_for_last(standby: Standby) -> None:
    """The one before was given up in the middle, over the same connection."""
    source = standby.connect()
    second = standby.ground.journal.append(Kind.MIRROR_BEGIN, a=VERIFY)
    source.say(Outline(lsn=second.lsn, number=0, parts=[Part(0, b"", [], last=False)]))
    source.say(Outline(lsn=second.lsn, number=1, parts=[], last=True))
    until(lambda: len(source.answers()) == 3)
    assert [answer.lsn for answer in source.answers()] == [standby.begin.lsn, second.lsn, second.lsn]


def test_a_verify_that_nobody_asks_about_holds_up_nothing(standby: Standby) -> None:
    """Its source was killed, or lost the connection, before the record of its begin was sent."""
    here, source = standby.ground.here(), Connection()
    standby.serve(source)
    source.say(Begin(at=here, asked_from=here.lsn + OVERHEAD))
    until(lambda: standby.spool._channel is cast(Channel, source))
    standby.ground.journal.append(Kind.MIRROR_BEGIN, a=VERIFY)
    written = standby.ground.journal.append(Kind.WRITE, fid=5, b=3, data=b"new")
    until(lambda: standby.spool.carrying.applied == written.end)


def test_a_standby_that_cannot_read_its_files_is_asked_again(
    standby: Standby, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It said why; a source that waited for the rest of what was to be said would do so for ever."""
    source = standby.connect()
    monkeypatch.setattr(Answerer, "answer", MagicMock(side_effect=OSError(errno.EIO, "a bad sector")))
    source.say(Outline(lsn=standby.begin.lsn, number=1, parts=[Part(0, b"", [])], last=True))
    until(lambda: source.closed)
    assert "a bad sector" in standby.spool.carrying.fault


def test_a_large_file_that_nobody_waits_for_is_not_read_to_its_end(
    standby: Standby, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever takes over, or connects anew, would have to wait for that."""
    pieces, whole = 64, Hasher.blocks
    with (standby.ground.trees[0].folder / "large").open("wb") as file:
        for at in range(pieces):
            file.seek(at * SEGMENT)
            file.write(b"x")
    source = standby.connect()
    read: list[int] = []

    def blocks(hasher: Hasher, fd: int, offset: int, end: int) -> bytes:
        read.append(offset)
        if len(read) == 2:
            source.close()
            until(lambda: standby.spool._open is None)
        return whole(hasher, fd, offset, end)

    monkeypatch.setattr(Hasher, "blocks", blocks)
    source.say(Outline(lsn=standby.begin.lsn, number=1, parts=[Part(0, b"", [])], last=True))
    until(lambda: standby.spool.carrying.applied == standby.ground.journal.end)
    assert len(read) < pieces


def test_a_name_outside_the_bound_folders_ends_the_connection(standby: Standby) -> None:
    source = standby.connect()
    source.say(
        Outline(lsn=standby.begin.lsn, number=1, parts=[Part(0, b"..", [Item(b"passwd", FILE, fid=1)])])
    )
    until(lambda: source.closed)
    refusal = next(message for message in source.heard if isinstance(message, Refused))
    assert "leaves the bound folders" in refusal.why
