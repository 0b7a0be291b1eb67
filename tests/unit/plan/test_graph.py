"""The order of an apply, for every mix of needs: what must never happen before what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsorch.plan.graph import Work, build, sort
from hsorch.plan.model import Step, StepKind
from hsorch.plan.nodes import NodeNeeds

NODES = ("node-a", "node-b")
CHANGING = (
    StepKind.ACTIVATE,
    StepKind.ENROLL,
    StepKind.STAGE,
    StepKind.BRING_OUT,
    StepKind.COMMIT,
    StepKind.SERVICE,
    StepKind.RELOAD,
    StepKind.RESTART,
    StepKind.BRING_IN,
)

needs = st.builds(
    NodeNeeds,
    install=st.booleans(),
    enroll=st.booleans(),
    commit=st.booleans(),
    start=st.booleans(),
    reload=st.booleans(),
    restart=st.booleans(),
)
works = st.builds(
    Work,
    nodes=st.just(NODES),
    needs=st.fixed_dictionaries(dict.fromkeys(NODES, needs)),
    active=st.sampled_from(["", *NODES]),
    lab=st.booleans(),
    outage=st.booleans(),
    bring_in=st.booleans(),
    unfinished=st.booleans(),
)


def needed(steps: tuple[Step, ...], step: Step) -> set[str]:
    """All that must be done before this step, near and far."""
    by_id = {s.id: s for s in steps}
    found: set[str] = set()
    open_ = list(step.needs)
    while open_:
        one = open_.pop()
        if one not in found:
            found.add(one)
            open_ += by_id[one].needs
    return found


@given(works)
def test_every_step_comes_after_what_it_needs(work: Work) -> None:
    done: set[str] = set()
    for step in build(work):
        assert done.issuperset(step.needs)
        done.add(step.id)


@given(works)
def test_nothing_changes_before_both_locks_are_held(work: Work) -> None:
    steps = build(work)
    for step in steps:
        if step.kind in CHANGING:
            assert {f"lock {node}" for node in NODES} <= needed(steps, step)


@given(works)
def test_nothing_is_committed_before_all_that_commit_have_staged(work: Work) -> None:
    steps = build(work)
    staged = {step.id for step in steps if step.kind is StepKind.STAGE}
    for step in steps:
        if step.kind in (StepKind.COMMIT, StepKind.BRING_OUT):
            assert staged <= needed(steps, step)


@given(works)
def test_a_node_is_unlocked_when_everything_else_is_done(work: Work) -> None:
    steps = build(work)
    others = {step.id for step in steps if step.kind is not StepKind.UNLOCK}
    unlocks = [step for step in steps if step.kind is StepKind.UNLOCK]
    assert all(needed(steps, step) == others for step in unlocks)
    assert len(unlocks) == (2 if steps else 0)


@given(works)
def test_the_group_is_out_while_the_spec_comes_into_force_when_that_is_an_outage(work: Work) -> None:
    steps = build(work)
    ids = {step.id for step in steps}
    if "bring-out" not in ids:
        return
    assert "bring-in" in ids
    for step in steps:
        if step.kind is StepKind.COMMIT:
            assert "bring-out" in needed(steps, step)


@given(works)
def test_the_active_nodes_agent_restarts_after_the_other(work: Work) -> None:
    steps = build(work)
    restarts = [step for step in steps if step.kind is StepKind.RESTART]
    if len(restarts) == 2 and work.active:
        assert restarts[-1].node == work.active
        assert restarts[0].id in needed(steps, restarts[1])


@given(works)
def test_the_same_work_gives_the_same_order(work: Work) -> None:
    assert build(work) == build(work)


def test_a_cycle_is_drawn() -> None:
    one = Step(id="one", kind=StepKind.LOCK, needs=("two",), text="")
    two = Step(id="two", kind=StepKind.LOCK, needs=("one",), text="")
    with pytest.raises(ValueError, match=r"one -> two|two -> one"):
        sort([one, two])
