"""The virtual world itself: clocks, wires, witness, services, watchdog. No failover is decided here."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from hsorch.node.core.actions import Run
from hsorch.node.core.types import Operation, ResourceOutcome, Span, WitnessOutcome
from hsorch.sim.client import Client
from hsorch.sim.clock import MS, SECOND, Clock, Timeline
from hsorch.sim.network import Path
from hsorch.sim.services import Services
from hsorch.sim.witness import Register, WitnessMode
from hsorch.spec import Spec


@given(rate=st.integers(-1_000_000, 1_000_000), local=st.integers(0, 10**15))
def test_a_clock_shows_an_instant_no_earlier_than_it_says(rate: int, local: int) -> None:
    clock = Clock(0, local=0, wall=0, rate_ppb=rate)
    real = clock.real_of(local)
    assert clock.local(real) >= local
    assert clock.local(real - 3) <= local


def test_a_paused_machine_loses_monotonic_time_and_no_other() -> None:
    clock = Clock(0, local=0, wall=100 * SECOND, rate_ppb=0)
    clock.pause(SECOND)
    assert clock.local(9 * SECOND) == SECOND
    clock.resume(9 * SECOND, suspended=True)
    assert clock.local(10 * SECOND) == 2 * SECOND
    assert clock.wall(10 * SECOND) == 110 * SECOND
    assert clock.boottime(10 * SECOND) == 10 * SECOND


def test_a_step_moves_the_wall_clock_only() -> None:
    clock = Clock(0, local=0, wall=0, rate_ppb=0)
    clock.step_wall(3600 * SECOND)
    assert (clock.local(SECOND), clock.wall(SECOND)) == (SECOND, 3601 * SECOND)


def test_what_is_due_together_runs_in_the_order_of_entry() -> None:
    timeline, seen = Timeline(), []
    for name in "abc":
        timeline.at(5, seen.append, name)
    timeline.at(1, seen.append, "first")
    timeline.run_until(10)
    assert (seen, timeline.now) == (["first", "a", "b", "c"], 10)


def test_a_cut_is_over_when_every_reason_is() -> None:
    path, rng = Path(), random.Random(1)
    path.cut("partition")
    path.cut("nic")
    path.join("partition")
    assert path.arrivals(rng) == ()
    path.join("nic")
    assert len(path.arrivals(rng)) == 1


def test_a_lossy_wire_loses_its_share() -> None:
    path, rng = Path(loss=0.3), random.Random(1)
    passed = sum(bool(path.arrivals(rng)) for _ in range(2000))
    assert 1300 < passed < 1500


def test_the_first_to_ask_owns_a_major_for_ever() -> None:
    register = Register()
    assert register.create(1, "a") == (WitnessOutcome.CREATED, "a")
    assert register.create(1, "b") == (WitnessOutcome.EXISTS, "a")
    assert register.create(1, "a") == (WitnessOutcome.CREATED, "a")
    assert register.read(2) == (WitnessOutcome.ABSENT, "")


def test_a_read_only_witness_confirms_nothing_new() -> None:
    register = Register(mode=WitnessMode.READ_ONLY)
    assert register.create(1, "a") == (WitnessOutcome.FAILED, "")
    assert register.owners == {}


def test_a_replaced_witness_shows_another_identity() -> None:
    register = Register()
    register.create(1, "a")
    before = register.identity
    register.replace()
    assert register.identity != before
    assert register.read(1)[0] is WitnessOutcome.ABSENT


def test_a_client_counts_the_gap_between_two_services() -> None:
    client = Client()
    client.serving(10, "a")
    client.serving(20, "")
    client.serving(50, "b")
    assert client.outages == [(20, 50)]
    assert client.longest_outage(60) == 30
    client.serving(60, "")
    assert client.longest_outage(160) == 100


class Called:
    """Services of one node, and what came back from them."""

    def __init__(self, spec: Spec) -> None:
        self.timeline = Timeline()
        self.changes = 0
        self.results: list[ResourceOutcome] = []
        self.services = Services(spec, self.timeline, self._changed)

    def _changed(self) -> None:
        self.changes += 1

    def run(self, resource: str, operation: Operation, limit: int = SECOND) -> None:
        action = Run(call=1, resource=resource, operation=operation, limit=Span(limit))
        self.services.run(action, lambda asker, run, outcome, detail: self.results.append(outcome), 0)


def test_services_answer_when_address_and_program_run(spec: Spec) -> None:
    called = Called(spec)
    called.run("IP-orders", Operation.START)
    called.run("app", Operation.START)
    called.timeline.run_until(10 * MS)
    assert called.services.effects
    assert not called.services.serving
    called.timeline.run_until(SECOND)
    assert called.services.serving
    assert called.results == [ResourceOutcome.OK, ResourceOutcome.OK]


def test_a_hung_stop_times_out_and_keeps_running(spec: Spec) -> None:
    called = Called(spec)
    called.run("app", Operation.START)
    called.timeline.run_until(SECOND)
    called.services.items["app"].stop_hangs = True
    called.run("app", Operation.STOP)
    called.timeline.run_until(3 * SECOND)
    assert called.results[-1] is ResourceOutcome.TIMEOUT
    assert called.services.effects


def test_a_fence_outruns_a_start_under_way(spec: Spec) -> None:
    called = Called(spec)
    called.run("app", Operation.START)
    called.timeline.run_until(MS)
    called.services.drop()
    called.timeline.run_until(SECOND)
    assert not called.services.effects
    assert called.results == [ResourceOutcome.FAILED]
