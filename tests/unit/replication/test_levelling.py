"""A comparison belongs to the connection over which its standby answers: cut off, it begins again."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast
from unittest.mock import MagicMock

import pytest

from hsorch.node.replication.answer import Answerer
from hsorch.node.replication.capture import outlining
from hsorch.node.replication.dirty import DirtyMap
from hsorch.node.replication.gate import Gate
from hsorch.node.replication.generations import Meeting, Verdict
from hsorch.node.replication.levelling import Levelling
from hsorch.node.replication.messages import Bare, Message, Outline, Task
from hsorch.node.replication.meta import Place
from hsorch.node.replication.queue import Queue
from hsorch.node.replication.stage import EVERYTHING, VERIFY
from hsorch.node.replication.wire import Broken, Channel, Frame
from tests.unit.replication.test_comparison import Side

FILES = 9


class Standby:
    """Over one connection; the first `answers` outlines are answered, then the connection breaks."""

    def __init__(self, side: Side, levelling: Levelling, answers: int = 1_000) -> None:
        self._answerer = Answerer([side.tree], None)
        self._levelling = levelling
        self._left = answers
        self.said: list[Outline] = []

    def hears(self, message: Message) -> None:
        assert isinstance(message, Outline)
        if not self._left:
            raise Broken("the link was cut")
        self._left -= 1
        self.said.append(message)
        for pictured in self._answerer.answer(message):
            self._levelling.told(pictured)


class World:
    def __init__(self, home: Path) -> None:
        self.here, self.there = Side(home, "a", 1), Side(home, "b", 2)
        for number in range(FILES):
            (home / f"a/data/{number}").write_bytes(b"x" * 10)
        self.ended: list[tuple[int, bool]] = []
        self.begun: list[str] = []
        queue = MagicMock(spec=Queue)
        queue.level.return_value = DirtyMap()
        gate = Gate("none")
        self.levelling = Levelling(
            [self.here.tree], self.here.application.capture, queue, gate, frozenset,
            on_begin=lambda: self.begun.append("nobody counts on it"), on_end=self._ends,
            on_fault=pytest.fail, on_held=pytest.fail,
        )  # fmt: skip
        gate.acknowledge(1 << 40, 1 << 40, 1 << 40)

    def _ends(self, compared: bool, whole_from: int) -> None:
        """What ended (a of its MIRROR_BEGIN), and whether everything was compared."""
        ended = self.levelling._round
        assert ended is not None
        assert (whole_from >= 0) is compared
        self.ended.append((ended.begin.a, compared))

    def connect(self, *, answers: int = 1_000, fresh: bool = False) -> Standby:
        standby = Standby(self.there, self.levelling, answers)
        self.levelling.connected(standby.hears, fresh=fresh)
        return standby

    def until(self, true: Callable[[], bool]) -> None:
        until = time.monotonic() + 20
        while not true():
            assert time.monotonic() < until
            time.sleep(0.005)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(outlining, "BATCH", 2)
    monkeypatch.setattr(outlining, "WINDOW", 3)
    made = World(tmp_path)
    yield made
    made.levelling.close()


def test_a_verify_cut_off_while_it_is_heard_begins_again_with_the_next_connection(world: World) -> None:
    cut = world.connect(answers=2)
    world.levelling.verify()
    world.levelling.turn()
    world.until(lambda: len(cut.said) == 2)
    assert world.levelling.verifying
    whole = world.connect()
    world.levelling.turn()
    world.until(lambda: bool(world.ended))
    assert world.ended == [(VERIFY, True)]
    assert sum(len(part.items) for outline in whole.said for part in outline.parts) == FILES
    assert not world.levelling.verifying


def test_a_standby_that_is_gone_without_an_answer_keeps_no_verify_from_ending(world: World) -> None:
    silent: list[Message] = []
    world.levelling.connected(silent.append, fresh=False)
    world.levelling.verify()
    world.levelling.turn()
    world.until(lambda: len(silent) == 3)
    world.connect()
    world.levelling.turn()
    world.until(lambda: bool(world.ended))
    assert len(silent) == 3, "no more than it can be asked at once"


def test_a_verify_that_has_heard_everything_goes_on_over_another_connection(world: World) -> None:
    world.connect()
    world.levelling.verify()
    world.levelling.turn()
    world.until(lambda: bool(world.ended))
    other = world.connect()
    world.levelling.turn()
    assert other.said == []


def test_a_resync_is_gone_on_with_only_once_the_standby_was_heard(world: World) -> None:
    verdict = Verdict(Meeting.FIRST, "a test")
    world.levelling.begin(verdict, decided=True, brought=False)
    journal = world.here.journal

    def here() -> Place:
        return Place(generation=journal.generation, lsn=journal.end, crc=journal.crc)

    cut = world.connect(answers=1, fresh=True)
    world.until(lambda: len(cut.said) == 1)
    assert not world.levelling.resumes(here())
    assert world.levelling.unfinished
    world.levelling.begin(verdict, decided=True, brought=False)
    world.connect(fresh=True)
    world.until(lambda: bool(world.ended))
    assert world.ended == [(EVERYTHING, True)]
    assert world.levelling.resumes(here())
    assert not world.levelling.unfinished
    world.levelling.begin_anew()
    assert not world.levelling.resumes(here())
    assert world.levelling.unfinished


@pytest.mark.parametrize("whole", [True, False])
def test_a_verify_that_a_resync_gets_ahead_of_follows_it_if_that_was_not_of_everything(
    world: World, whole: bool
) -> None:
    world.connect(answers=1)
    world.levelling.verify()
    world.levelling.turn()
    since = None if whole else world.here.journal.end
    verdict = Verdict(Meeting.STREAM, "a test", since=since)
    world.levelling.begin(verdict, decided=False, brought=False)
    assert world.levelling.verifying is not whole
    world.connect(fresh=True)
    world.until(lambda: bool(world.ended))
    world.levelling.turn()
    world.until(lambda: not world.levelling.verifying)
    assert world.ended == ([(EVERYTHING, True)] if whole else [(EVERYTHING, False), (VERIFY, True)])


def test_a_base_copy_and_what_is_compared_after_it_are_everything_since_it_began(world: World) -> None:
    since = world.here.journal.end
    for brought in False, True:
        world.levelling.begin(Verdict(Meeting.FIRST, "a test", since=since), decided=True, brought=brought)
        now = world.levelling._round
        assert now is not None
        assert now.whole_from == (since if brought else -1)
        assert not now.compared, "what it wrote nobody has read again"


def test_a_bad_sector_of_the_source_is_told_with_the_file_that_it_is_in(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    (world.here.home / "data/large").write_bytes(b"x" * 1_000_000)
    plain = os.pread

    def reads(descriptor: int, length: int, offset: int) -> bytes:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("/large"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return plain(descriptor, length, offset)

    monkeypatch.setattr(os, "pread", reads)
    told: list[str] = []
    world.levelling._on_fault = told.append
    world.connect()
    world.levelling.verify()
    world.levelling.turn()
    world.until(lambda: bool(told))
    file = world.here.home / "data/large"
    assert told == [f"the comparison with the standby stopped: [Errno 5] Input/output error: '{file}'"]
    assert not world.levelling.verifying, "who waits for it is told, and may ask again"


def test_a_verify_begins_only_where_a_standby_can_be_asked(world: World) -> None:
    """Between two connections its begin would reach one that is told that nothing will be asked about it."""
    world.connect()
    world.levelling.disconnected()
    world.levelling.verify()
    end = world.here.journal.end
    world.levelling.turn()
    assert world.here.journal.end == end
    world.connect()
    world.levelling.turn()
    world.until(lambda: bool(world.ended))


def test_flushes_do_not_wait_for_a_base_copy(world: World) -> None:
    """Once the standby has said that it does not count as complete any more, and before the first file."""

    class Blank:
        def send(self, message: Message) -> None:
            world.begun.append(type(message).__name__)
            if isinstance(message, Task):
                raise Broken("the link was cut")

        def receive(self, timeout_s: float) -> Frame:
            world.begun.append("an answer")
            return Frame(Bare(trees=[0]), memoryview(b""))

    with pytest.raises(Broken):
        world.levelling.bring(cast(Channel, Blank()))
    assert world.begun == ["Bring", "an answer", "nobody counts on it", "Task"]


@pytest.mark.parametrize("brought", [False, True])
def test_what_a_source_is_unsure_of_was_read_anew_by_a_base_copy(
    world: World, monkeypatch: pytest.MonkeyPatch, brought: bool
) -> None:
    monkeypatch.setattr(world.levelling, "_unsure", lambda: None)  # of everything
    since = world.here.journal.first
    verdict = Verdict(Meeting.SEND_ALL, "one node never held these data", since=since)
    _, extents = world.levelling.begin(verdict, decided=True, brought=brought)
    assert (extents is not None) is brought
