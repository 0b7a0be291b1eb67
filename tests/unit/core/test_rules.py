"""The safety rules one by one, where a story would hide the number or the corner."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hsorch.node.core import clock_rules, facts, rules
from hsorch.node.core.actions import Send
from hsorch.node.core.state import ClockMemory, Peer, State
from hsorch.node.core.types import Beat, Config, Epoch, Instant, Span, Tick, WitnessAnswer, WitnessOutcome
from tests.unit.core.conftest import make_spec
from tests.unit.core.duo import MS, Duo

SECOND = 1_000 * MS


def config(major: int, minor: int, holder: str = "a", solo: bool = False) -> Config:
    return Config(epoch=Epoch(major, minor), holder=holder, solo=solo)


def last_beat(pair: Duo, name: str) -> Beat:
    return next(a.beat for a in reversed(pair.nodes[name].actions) if isinstance(a, Send))


@given(
    lease=st.integers(100, 60_000),
    fence=st.integers(10, 10_000),
    ppm=st.integers(0, 10_000),
    a_fast=st.floats(-1, 1),
    b_fast=st.floats(-1, 1),
)
def test_the_wait_outlasts_the_lease_and_the_fence_for_any_two_clocks_within_the_bound(
    lease: int, fence: int, ppm: int, a_fast: float, b_fast: float
) -> None:
    spec = make_spec(lease_ms=lease, fence_ms=fence, drift_ppm=ppm, slack_ms=0)
    timing = facts.timing_of(spec)
    rho = ppm / 1e6
    effects_end = (timing.lease + timing.fence) / (1 + a_fast * rho)
    may_act = rules.standby_wait(timing) / (1 + b_fast * rho)
    assert may_act >= effects_end - 1


def test_a_lease_counts_from_the_send_time_however_late_the_grant() -> None:
    assert rules.lease_end(Instant(100), Instant(900), Span(1_000)) == 1_100


def test_the_watchdog_fires_after_the_lease_and_before_the_fence_budget_is_used_up(spec: object) -> None:
    timing = facts.timing_of(make_spec())
    until = rules.watchdog_until(Instant(0), timing.lease, timing)
    assert timing.lease < until < timing.lease + timing.fence


@given(minor=st.integers(0, 50), holder=st.sampled_from("ab"))
def test_no_epoch_has_two_authors(minor: int, holder: str) -> None:
    now = config(3, minor, holder)
    by_a, by_b = rules.pair_change(now, "a"), rules.pair_change(now, "b")
    assert by_a != by_b
    assert min(by_a, by_b) > now.epoch
    assert by_a.major == by_b.major == 3


@given(st.tuples(st.integers(-1, 3), st.integers(0, 4)), st.tuples(st.integers(-1, 3), st.integers(0, 4)))
def test_of_two_epochs_exactly_one_wins(x: tuple[int, int], y: tuple[int, int]) -> None:
    mine, theirs = config(*x), config(*y)
    wins = rules.supersedes(theirs, mine, "a"), rules.supersedes(mine, theirs, "a")
    assert wins.count(True) == (x != y)


def test_one_epoch_with_two_holders_is_settled_in_favour_of_the_node_that_stays() -> None:
    at_a, at_b = config(2, 0, "a", True), config(2, 0, "b", True)
    assert rules.supersedes(at_a, at_b, "a")
    assert not rules.supersedes(at_b, at_a, "a")


@given(times=st.lists(st.integers(0, 10_000), max_size=8), now=st.integers(10_000, 20_000))
def test_takeovers_outside_the_window_are_forgotten(times: list[int], now: int) -> None:
    policy = make_spec(max_failovers=3, failover_window_ms=3_600_000).policy
    recent = [t for t in times if now - t < 3_600]
    assert rules.flap_allowed(tuple(times), now, policy) is (len(recent) < 3)


@pytest.mark.parametrize("outcome", list(WitnessOutcome))
def test_only_a_plain_answer_of_the_trusted_register_says_anything(outcome: WitnessOutcome) -> None:
    answer = WitnessAnswer(request=1, major=1, outcome=outcome, owner="b", witness_id="w1")
    assert rules.plain_answer(answer, "w1") is (outcome is not WitnessOutcome.FAILED)
    assert not rules.plain_answer(answer, "other")


def test_recordings_and_old_beats_prove_nothing(pair: Duo) -> None:
    beat = last_beat(pair, "a")
    seen = Peer(incarnation=beat.incarnation, seq=beat.seq)
    assert not rules.newer(beat, seen)
    assert rules.newer(replace(beat, seq=beat.seq + 1), seen)
    assert not rules.newer(replace(beat, incarnation=beat.incarnation - 1, seq=9_999), seen)
    assert rules.fresh(beat, beat.echo_incarnation)
    assert not rules.fresh(beat, beat.echo_incarnation + 1)


def test_a_new_boot_and_a_goodbye_are_a_release_a_new_agent_is_not(pair: Duo) -> None:
    state, beat = pair.state("b"), last_beat(pair, "a")
    assert rules.releases(state, replace(beat, boot="another"))
    assert rules.releases(state, replace(beat, leaving=True, acting=False))
    assert not rules.releases(state, replace(beat, incarnation=beat.incarnation + 1))
    assert not rules.releases(state, replace(beat, leaving=True, acting=True))


def test_the_standby_grants_only_the_config_it_holds_and_never_with_an_open_proposal(pair: Duo) -> None:
    state, beat, now = pair.state("b"), last_beat(pair, "a"), Instant(pair.now)

    def with_witness(s: State) -> State:
        return replace(s, witness=replace(s.witness, proposed=True))

    assert rules.may_grant(state, beat, now)
    assert not rules.may_grant(with_witness(state), beat, now)
    assert not rules.may_grant(state, replace(beat, config=config(0, 2)), now)
    assert not rules.may_grant(replace(state, broken=True), beat, now)
    assert not rules.may_grant(state, beat, Instant(now + 2 * SECOND)), "the holder does not hear us"


def test_a_grant_waits_for_the_holders_own_times_when_they_are_longer(pair: Duo) -> None:
    state = pair.state("b")
    own = state.timing.lease + state.timing.fence
    longer = facts.timing_of(make_spec(lease_ms=9_000))
    assert rules.standby_wait(state.timing, longer.lease + longer.fence) == rules.standby_wait(longer)
    assert rules.standby_wait(state.timing, own // 2) == rules.standby_wait(state.timing)


def test_a_suspend_ends_leases_a_step_of_the_wall_clock_does_not() -> None:
    before = ClockMemory(mono=Instant(10 * SECOND), wall=100 * SECOND, boottime=10 * SECOND)
    now = Instant(11 * SECOND)
    step = Tick(wall=3_701 * SECOND, boottime=11 * SECOND)
    slept = Tick(wall=3_701 * SECOND, boottime=3_611 * SECOND)
    back = Tick(wall=0, boottime=11 * SECOND)
    assert (clock_rules.suspended(before, step, now), clock_rules.paused(before, step, now)) == (False, True)
    assert clock_rules.suspended(before, slept, now)
    assert (clock_rules.suspended(before, back, now), clock_rules.paused(before, back, now)) == (False, False)


def test_a_win_is_adopted_only_by_the_run_that_proposed(pair: Duo) -> None:
    state = pair.state("b")
    won = replace(state, witness=replace(state.witness, major=1, owner="b", proposed=True))
    assert rules.may_adopt_win(won)
    assert not rules.may_adopt_win(replace(won, witness=replace(won.witness, proposed=False)))
    assert not rules.may_adopt_win(replace(won, witness=replace(won.witness, major=2)))
