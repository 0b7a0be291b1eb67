"""Random schedules: what is drawn, that a seed is a run, that a failing one gets small."""

from __future__ import annotations

from typing import Literal

import msgspec
import pytest

from hsorch.sim.fault import Fault, Schedule
from hsorch.sim.schedules import draw, run, tell
from hsorch.sim.shrink import ddmin, shrink
from hsorch.sim.sweep import sweep
from hsorch.spec import Policy, Spec
from tests.sim.pairs import DEFAULT, FAST, WITNESSES, pair, replicated

SEEDS = 150


@pytest.mark.parametrize("policy", [DEFAULT, FAST], ids=["default", "fast"])
def test_random_schedules_break_no_invariant(policy: Policy) -> None:
    summary = sweep(pair(policy), first=1, count=SEEDS, jobs=2)
    assert summary.seeds == SEEDS
    assert not summary.violated, "\n".join(f"seed {o.seed}: {o.message}" for o in summary.violated)
    assert summary.moves > SEEDS / 10, "faults that never move the group test little"


@pytest.mark.parametrize("witness", ["share", "none"])
def test_random_schedules_break_no_invariant_with_other_witnesses(witness: str) -> None:
    summary = sweep(pair(DEFAULT, WITNESSES[witness]), first=1, count=60, jobs=2)
    assert not summary.violated, "\n".join(f"seed {o.seed}: {o.message}" for o in summary.violated)


@pytest.mark.parametrize("takeover", ["complete", "logical"])
def test_random_schedules_lose_no_data(takeover: Literal["complete", "logical"]) -> None:
    summary = sweep(replicated(takeover), first=1, count=100, jobs=2)
    assert not summary.violated, "\n".join(f"seed {o.seed}: {o.message}" for o in summary.violated)


@pytest.mark.parametrize("takeover", ["complete", "logical"])
def test_a_rebooted_holder_gives_nothing_away_before_its_replicator_has_spoken(
    takeover: Literal["complete", "logical"],
) -> None:
    """An answer that had not come was taken for an empty disk, and the last writes went with it."""
    spec = replicated(takeover)
    assert run(spec, draw(spec, 391)).invariant == ""


def test_a_holder_that_was_handed_everything_starts_though_the_giver_lost_power_in_that_moment() -> None:
    """Each waited for data that the other did not have either."""
    spec = replicated("complete")
    assert run(spec, draw(spec, 8295)).invariant == ""


@pytest.mark.parametrize("takeover", ["complete", "logical"])
def test_a_replicator_that_remembers_an_epoch_its_node_forgot_is_not_shut_out_for_ever(
    takeover: Literal["complete", "logical"],
) -> None:
    """Its state was torn before the peer had heard of that epoch, and the peer streamed in an older one."""
    spec = replicated(takeover)
    assert run(spec, draw(spec, 103513)).invariant == ""


@pytest.mark.parametrize(
    ("takeover", "seed"),
    [("complete", 11937), ("complete", 13491), ("logical", 13491), ("complete", 400518)],
    ids=["what was written in a register that the holder left behind was not known yet",
         "an image was torn in the moment of the takeover", "and with any policy",
         "who wrote alone forgot it, and was a standby for a moment"],
)  # fmt: skip
def test_what_a_replicator_said_before_is_not_believed_for_long(
    takeover: Literal["complete", "logical"], seed: int
) -> None:
    spec = replicated(takeover, FAST)
    assert run(spec, draw(spec, seed)).invariant == ""


def test_the_same_seed_is_the_same_run(spec: Spec) -> None:
    schedule = draw(spec, 7)
    assert draw(spec, 7) == schedule
    assert tell(spec, schedule).lines == tell(spec, schedule).lines


def test_a_schedule_survives_the_way_through_json(spec: Spec) -> None:
    schedule = draw(spec, 11)
    again = msgspec.json.decode(msgspec.json.encode(schedule), type=Schedule)
    assert run(spec, again) == run(spec, schedule)


def test_only_the_faults_that_matter_are_left() -> None:
    faults = tuple(Fault(n, kind) for n, kind in enumerate("abcdefgh"))
    needed = {"c", "g"}
    assert {f.kind for f in ddmin(faults, lambda some: needed <= {f.kind for f in some})} == needed


def test_what_is_left_is_made_plainer() -> None:
    faults = (Fault(1234, "crash", "active", 5678), Fault(2345, "partition"))
    schedule = Schedule(seed=1, faults=faults, watch=9000, rates=(3, 4), disk_ms=2)
    small = shrink(schedule, lambda s: any(f.kind == "crash" and f.lasts >= 5000 for f in s.faults))
    assert small.faults == (Fault(1000, "crash", "active", 5000),)
    assert (small.rates, small.disk_ms) == ((0, 0), 0)
