"""A source takes back what it promised for its standby only once the standby knows."""

from __future__ import annotations

import errno
import threading
import time
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from hsorch.errors import RefusedError
from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.capture.compare import Stopped
from hsorch.node.replication.capture.copyin import copy_dirty
from hsorch.node.replication.dirty import DirtyFile, DirtyMap
from hsorch.node.replication.gate import Gate
from hsorch.node.replication.generations import Fork, Lineage
from hsorch.node.replication.journal import Journal
from hsorch.node.replication.levelling import Levelling
from hsorch.node.replication.messages import Guarded
from hsorch.node.replication.queue import Queue
from hsorch.node.replication.record import Kind, Record
from hsorch.node.replication.reserve import Reserve
from hsorch.node.replication.segments import Start
from hsorch.node.replication.source import PAUSES_S, Source
from hsorch.node.replication.tree import Tree


class Standby:
    """In place of the shipper: a connected standby that has said nothing of what it counts as yet."""

    connected, streaming, connections, peer_guarded, answered, peer_astray = True, True, 1, False, 0, False

    def __init__(self, *, answers: bool) -> None:
        self.heard: list[Guarded] = []
        self._answers = answers

    def reconnect(self) -> None: ...

    def say(self, message: Guarded) -> None:
        self.heard.append(message)
        if self._answers:
            self.answered, self.peer_guarded = message.number, message.on


def guarded(standby: Standby) -> Source:
    source = Source.__new__(Source)
    source.gate = Gate("durable")
    source.shipper = standby  # type: ignore[assignment]
    source._ground = MagicMock()
    source._ground.meta.value.generations = Lineage(current=1)
    source._promising, source._naming = threading.Lock(), threading.Lock()
    source._stopped = threading.Event()
    source._failures, source._unsure_at, source.trouble = 0, 0, ""
    source._may_guard, source._said, source._said_on = True, 0, 0
    source._level()
    return source


@pytest.mark.parametrize("answers", [True, False])
def test_flushes_go_on_alone_only_when_the_standby_answered_that(answers: bool) -> None:
    """That it does not count as complete by its last word is not enough: the opposite may be on its way."""
    standby = Standby(answers=answers)
    source = guarded(standby)
    assert source.unguard(0.1) is answers
    assert source.gate.guards is not answers
    assert [said.on for said in standby.heard] == [True, False]


def test_a_standby_that_has_not_spoken_yet_is_asked_and_waited_for() -> None:
    """It refused the last stream, and takes this one."""
    standby = Standby(answers=False)
    source = guarded(standby)
    standby.connected = False
    threading.Timer(0.2, lambda: setattr(standby, "answered", 2)).start()
    with pytest.raises(RefusedError, match="the standby is connected"):
        source.thaw()
    assert source.unguard(20)
    assert [said.on for said in standby.heard] == [True, False]


def test_nothing_is_promised_while_that_is_being_taken_back() -> None:
    standby = Standby(answers=True)
    source = guarded(standby)
    source.unguard()
    source._level()
    assert not source.gate.guards
    assert not standby.heard[-1].on


def test_what_was_taken_back_is_promised_again_over_the_same_connection() -> None:
    standby = Standby(answers=True)
    source = guarded(standby)
    source.unguard()
    source.guard()
    source._level()
    assert source.gate.guards
    assert standby.heard[-1].on


def test_a_promise_that_is_being_taken_back_at_the_end_outlives_it() -> None:
    """The standby forgot it, but its agent may not know yet: the next source here still waits for it."""
    source = guarded(Standby(answers=True))
    source._stopped.set()
    source._unguarded()
    assert source.gate.guards


def test_a_source_that_went_on_alone_does_not_take_its_standby_for_level() -> None:
    """The connection broke, and flushes were let through, between the look at it and what follows from it."""
    standby = Standby(answers=True)
    source = guarded(standby)
    source._activity = MagicMock()
    alone = Lineage(current=2, base=Fork(generation=1, lsn=4_096))
    source._ground.meta.value.generations = alone
    source._ground.meta.change.reset_mock()  # type: ignore[attr-defined]
    standby.connected = False
    source._let_flush()
    source._level()
    told = [call.kwargs for call in source._ground.meta.change.mock_calls]  # type: ignore[attr-defined]
    assert told == [{"guarded": False}], "its generation keeps the fork, and it promises nothing"
    assert not source.gate.guards
    source._activity.forget.assert_not_called()


def test_the_guard_goes_on_after_an_error_that_nobody_foresaw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hsorch.node.replication.source.AGAIN_S", 0.01)
    source = guarded(Standby(answers=True))
    source._activity, source.levelling, source.queue = MagicMock(), MagicMock(), MagicMock()
    source._ground.journal.end, source._caught_up_at = 0, 0
    source.levelling.running, source.levelling.ends_at, source.queue.behind = False, 0, False
    told: list[str] = []

    def turn() -> None:
        told.append(source.trouble)
        if len(told) < 3:
            raise [RuntimeError("odd"), OSError("no room")][len(told) - 1]

    source.levelling.turn.side_effect = turn
    source._ground.meta.change.side_effect = OSError("no room to note it")  # type: ignore[attr-defined]
    guard = threading.Thread(target=source._guard, daemon=True)
    guard.start()
    until = time.monotonic() + 10
    while source.levelling.turn.call_count < 4 and time.monotonic() < until:
        time.sleep(0.01)
    source._stopped.set()
    guard.join()
    assert source.levelling.turn.call_count >= 4
    assert ["odd" in told[1], "no room" in told[2], told[3]] == [True, True, ""], "and says so meanwhile"


@pytest.mark.parametrize(
    ("whole_from", "noted_at", "healed", "verified"),
    [(200, 100, True, True), (200, 300, False, True), (-1, 100, False, False), (150, 100, True, False)],
    ids=["everything", "before the fault", "a part", "base copy"],
)
def test_a_fault_is_healed_by_a_comparison_of_everything_that_began_after_it(
    whole_from: int, noted_at: int, healed: bool, verified: bool
) -> None:
    source = guarded(Standby(answers=True))
    change = source._ground.meta.change
    source._ground.journal.end = noted_at
    source._fault("CREATE of db failed: only a verify can tell")
    change.reset_mock()  # type: ignore[attr-defined]
    source._equal(verified, whole_from)
    changed = {name for call in change.mock_calls for name in call.kwargs}  # type: ignore[attr-defined]
    assert changed == {name for name, so in {"verify_needed": healed, "verified_ns": verified}.items() if so}


def test_a_comparison_that_fails_each_time_is_begun_again_less_and_less_often() -> None:
    """A bad sector of the source would be read without end."""
    source = guarded(Standby(answers=True))
    source._stopped, source.levelling = MagicMock(), MagicMock(bringing=False)
    source._stopped.wait.return_value = False
    for _ in range(2_000):
        source._begin_again("Input/output error")
    waited = [call.args[0] for call in source._stopped.wait.mock_calls]
    assert waited[:4] == [0.0, 2.0, 4.0, 8.0]
    assert waited[-1] == PAUSES_S[-1]
    assert "Input" in source.trouble
    source._equal(False, -1)
    assert not source.trouble
    source._begin_again("Input/output error")
    assert source._stopped.wait.mock_calls[-1].args == (0.0,)


def test_a_verify_takes_the_place_of_a_stream_only_where_the_standby_says_that_it_cannot_go_on() -> None:
    """A slow standby would lose what it could take over with."""
    standby = Standby(answers=True)
    source = guarded(standby)
    source.levelling = MagicMock()
    source.levelling.verifying = True
    source._take_the_streams_place()
    source.levelling.begin_anew.assert_not_called()
    standby.peer_astray = True
    source._take_the_streams_place()
    source.levelling.begin_anew.assert_called_once()


def test_what_was_left_out_is_not_copied_on_after_the_end(tmp_path: Path) -> None:
    tree = Tree(0, Binding(path=str(tmp_path), kind="ordered"))
    (tmp_path / "large").write_bytes(b"x")
    tree.set_fid("large", 7)
    dirty = DirtyMap()
    dirty.add(7, 0, 1)
    files = MagicMock()
    with pytest.raises(Stopped):
        copy_dirty([tree], dirty, MagicMock(), MagicMock(), files, lambda: True)
    files.copy.assert_not_called()
    tree.close()


def test_nothing_of_a_source_runs_on_after_its_end() -> None:
    """What comes late would write over what the next part made durable."""
    source = guarded(Standby(answers=True))
    done: list[str] = []

    def late(who: str) -> None:
        source._stopped.wait(10)
        time.sleep(0.05)
        done.append(who)

    source.capture = MagicMock()
    source.shipper = MagicMock()
    source._activity = MagicMock()
    levelling = source.levelling = Levelling(
        [], MagicMock(), MagicMock(), MagicMock(), MagicMock(),
        on_begin=MagicMock(), on_end=MagicMock(), on_fault=MagicMock(), on_held=MagicMock(),
    )  # fmt: skip
    source._guarding = threading.Thread(target=late, args=("guard",))
    levelling._thread = threading.Thread(target=late, args=("compare",))
    source._guarding.start()
    levelling._thread.start()
    source._ground.rest.side_effect = lambda _: done.append("at rest")  # type: ignore[attr-defined]
    source.stop()
    assert sorted(done[:2]) == ["compare", "guard"]
    assert done[2:] == ["at rest"]


def test_flushes_go_on_alone_also_on_a_full_disk(tmp_path: Path) -> None:
    source = guarded(Standby(answers=False))
    source.shipper.streaming = False  # type: ignore[misc]
    journal = Journal(tmp_path / "journal", Start(b"j" * 16, 1))
    reserve = tmp_path / "reserve"
    source._ground.journal = journal
    source._ground.lineage.return_value = Lineage(current=1)  # type: ignore[attr-defined]
    source.queue = Queue(journal, source.gate, Reserve(reserve, 4096), DirtyFile(tmp_path / "owed"))
    append = journal.append

    def append_if_there_is_room(kind: Kind) -> Record:
        if reserve.exists():
            raise OSError(errno.ENOSPC, "no space left")
        return append(kind)

    journal.append = append_if_there_is_room  # type: ignore[assignment, method-assign]
    source.thaw()
    assert not source.gate.guards
    assert next(iter(journal.records(journal.first))).kind is Kind.GENERATION
    journal.close()
