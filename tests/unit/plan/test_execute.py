"""Carrying steps out, with deeds that only keep a diary."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsorch.errors import HsorchError, Interrupted, NodeError, PartlyApplied, RefusedError
from hsorch.plan import journal as journals
from hsorch.plan.execute import execute
from hsorch.plan.graph import Work, build
from hsorch.plan.journal import Journal
from hsorch.plan.model import Step, StepKind
from hsorch.plan.nodes import NodeNeeds
from hsorch.plan.progress import Record, StepDone, StepUndone

ALL = NodeNeeds(install=True, enroll=True, commit=True, start=True)
STEPS = build(Work(nodes=("node-a", "node-b"), needs={"node-a": ALL, "node-b": ALL}, bring_in=True))


class Diary:
    """A deed that notes what is asked of it, fails where told to, and is interrupted where told to."""

    def __init__(self, *, temporary: bool = False) -> None:
        self.temporary = temporary
        self.lines: list[str] = []
        self.done_before: set[str] = set()
        self.fails: dict[str, HsorchError] = {}
        self.interrupt_at = ""
        self.stop = threading.Event()

    def check(self, step: Step) -> bool:
        return step.id in self.done_before

    def do(self, step: Step) -> None:
        if step.id in self.fails:
            raise self.fails[step.id]
        self.lines.append(f"do {step.id}")
        if step.id == self.interrupt_at:
            self.stop.set()

    def verify(self, step: Step) -> None:
        self.lines.append(f"verify {step.id}")

    def undo(self, step: Step) -> bool:
        self.lines.append(f"undo {step.id}")
        return True


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with journals.opened("demo", tmp_path) as opened:
        yield opened


class Story:
    def __init__(self, journal: Journal) -> None:
        lasting, temporary = Diary(), Diary(temporary=True)
        temporary.lines = lasting.lines
        temporary.fails, temporary.done_before = lasting.fails, lasting.done_before
        self.deed = lasting
        self.deeds = {k: temporary if k in (StepKind.LOCK, StepKind.STAGE) else lasting for k in StepKind}
        self.records: list[Record] = []
        self.journal = journal

    def apply(self) -> None:
        execute("op-1", "demo", STEPS, self.deeds, self.journal, self.records.append, self.deed.stop)

    @property
    def undone(self) -> list[str]:
        return [record.step for record in self.records if isinstance(record, StepUndone)]


@pytest.fixture
def story(journal: Journal) -> Story:
    return Story(journal)


def test_every_step_is_done_once_and_verified(story: Story) -> None:
    story.apply()
    assert sorted(story.deed.lines) == sorted(
        f"{verb} {step.id}" for step in STEPS for verb in ("do", "verify")
    )


def test_steps_that_need_nothing_of_each_other_run_side_by_side(story: Story) -> None:
    both_run = threading.Barrier(2, timeout=20)
    story.deed.verify = lambda step: both_run.wait() if step.kind is StepKind.UNPACK else None  # type: ignore[method-assign,assignment,return-value]
    story.apply()


def test_what_is_done_already_is_not_done_again(story: Story) -> None:
    story.deed.done_before = {"unpack node-a"}
    story.deeds[StepKind.UNPACK].done_before = {"unpack node-a"}  # type: ignore[attr-defined]
    story.apply()
    assert "do unpack node-a" not in story.deed.lines
    same = [r.step for r in story.records if isinstance(r, StepDone) and not r.changed]
    assert same == ["unpack node-a"]


def test_a_failed_step_and_what_is_temporary_are_undone_latest_first(story: Story) -> None:
    story.deed.fails["commit node-b"] = NodeError("disk full", hint="free some", code="HS600")
    with pytest.raises(PartlyApplied) as caught:
        story.apply()
    assert story.undone == ["commit node-b", "stage node-b", "stage node-a", "lock node-b", "lock node-a"]
    assert "disk full" in caught.value.message
    assert "free some" in caught.value.hint
    assert "commit node-b" in caught.value.detail.partition("to do:")[2]


def test_when_nothing_lasting_was_done_the_failure_speaks_for_itself(story: Story) -> None:
    refusal = RefusedError("held by ann", hint="wait", code="HS430")
    for node in ("node-a", "node-b"):
        story.deed.fails[f"unpack {node}"] = refusal
    with pytest.raises(RefusedError):
        story.apply()
    assert "do lock node-a" not in story.deed.lines


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.id)
def test_whatever_step_fails_no_lock_is_left(story: Story, step: Step) -> None:
    story.deed.fails[step.id] = NodeError("no", hint="", code="HS600")
    with pytest.raises(HsorchError):
        story.apply()
    held = [s.id for s in STEPS if s.kind is StepKind.LOCK and f"do {s.id}" in story.deed.lines]
    given_back = set(story.undone)
    assert all(lock in given_back for lock in held)


def test_ctrl_c_stops_at_the_next_safe_point_and_says_how_to_go_on(story: Story) -> None:
    story.deed.interrupt_at = "enroll node-a"
    with pytest.raises(Interrupted) as caught:
        story.apply()
    assert "verify enroll node-a" in story.deed.lines
    assert "do commit node-a" not in story.deed.lines
    assert caught.value.exit_code == 130
    assert "run the same `hsorch apply` again" in caught.value.hint
