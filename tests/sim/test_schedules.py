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
Takeover = Literal["complete", "logical"]


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
def test_random_schedules_lose_no_data(takeover: Takeover) -> None:
    summary = sweep(replicated(takeover), first=1, count=100, jobs=2)
    assert not summary.violated, "\n".join(f"seed {o.seed}: {o.message}" for o in summary.violated)


_BOTH: tuple[Takeover, ...] = ("complete", "logical")
_FOUND: tuple[tuple[str, Policy, int, tuple[Takeover, ...]], ...] = (
    ("a rebooted holder gave data away before its replicator had spoken", DEFAULT, 391, _BOTH),
    ("a holder was handed everything as the giver lost power: each waited for the other", DEFAULT, 8295,
     ("complete",)),
    ("a replicator remembered an epoch that its node forgot, and shut the peer's stream out", DEFAULT, 103513,
     _BOTH),
    ("what was written in a register that the holder left behind was not known yet", FAST, 11937,
     ("complete",)),
    ("an image was torn in the moment of the takeover", FAST, 13491, _BOTH),
    ("who wrote alone forgot it, and was a standby for a moment", FAST, 400518, ("complete",)),
)  # fmt: skip


@pytest.mark.parametrize(
    ("policy", "seed", "takeover"),
    [pytest.param(policy, seed, takeover, id=f"{story}: {takeover}")
     for story, policy, seed, policies in _FOUND for takeover in policies],
)  # fmt: skip
def test_a_schedule_that_once_ended_badly_ends_well(policy: Policy, seed: int, takeover: Takeover) -> None:
    spec = replicated(takeover, policy)
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
