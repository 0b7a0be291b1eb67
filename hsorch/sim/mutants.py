"""Safety rules removed or weakened one at a time, to prove that the simulator would notice.

A mutant replaces one function of hsorch.node.core.rules. It is killed when a row of the fault table or a
random schedule breaks an invariant or an expectation that holds without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from hsorch.node.core import clock_rules, data_rules, facts, rules
from hsorch.node.core.state import State
from hsorch.node.core.types import DataState, Epoch
from hsorch.sim.clock import SECOND
from hsorch.sim.fault import Fault, Schedule
from hsorch.sim.scenario import run_row
from hsorch.sim.schedules import draw, run
from hsorch.sim.table import select
from hsorch.sim.with_data import with_data
from hsorch.spec import Spec, decode_spec, encode

_LEASE = 1500
SEARCH = 2000
"""Random seeds that a mutant must survive to count as not noticed."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """replacement gets the real rule, then its arguments. rows: rows of the fault table to try first;
    faults: a schedule to try next, written for a lease of 1.5 s; then come random seeds."""

    rule: str
    breaks: str
    """What is no longer so."""
    replacement: Callable[..., Any]
    rows: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()
    watch: int = 20_000
    module: ModuleType = rules
    takeover: Literal["", "complete", "logical"] = ""
    """Not empty: hunted on a pair that replicates, under this policy."""


class Kill(msgspec.Struct, frozen=True, kw_only=True):
    rule: str
    breaks: str
    killed_by: str
    """Empty: it survived the search."""
    message: str = ""


_RULES: tuple[Mutant, ...] = (
    Mutant("lease_end", "a lease runs from the send time, not from the grant",
           lambda real, sent, received, length: received + length,
           faults=(Fault(0, "witness-cut", "active"), Fault(0, "slow", "standby", value=800),
                   Fault(3000, "isolate", "active"), Fault(3850, "guard-kill", "active"))),
    Mutant("standby_wait", "the standby waits out the fence budget, not the lease alone",
           lambda real, timing, hold=0: timing.lease, rows=("6", "11")),
    Mutant("wait_over", "the standby waits at all", lambda real, state, now: True, rows=("6", "11")),
    Mutant("wait_starts", "a new run waits as if it had just granted",
           lambda real, now: now - 3600 * SECOND,
           faults=(Fault(0, "slow", value=60), Fault(10, "partition", "", 2000),
                   Fault(3300, "isolate", "active"))),
    Mutant("no_open_proposal", "nothing is granted while a proposal is open", lambda real, state: True,
           faults=(Fault(0, "witness-slow", "", 15_000), Fault(0, "witness-cut", "active", 20_000),
                   Fault(10, "partition", "", 6000)), watch=30_000),
    Mutant("exclusive", "only SOLO is exclusive", lambda real, config, me: config.holder == me,
           rows=("11",)),
    Mutant("may_act", "effects begin under a lease only", lambda real, state, now: True, rows=("11",)),
    Mutant("lease_over", "effects end with the lease", lambda real, state, now: False,
           faults=(Fault(0, "isolate", "active"), Fault(1000, "guard-kill", "active"))),
    Mutant("watchdog_until", "the watchdog fires within the fence budget",
           lambda real, sent, length, timing: sent + length + 3 * timing.fence, rows=("6",)),
    Mutant("effects_gone", "only a verified fence counts", lambda real, ok: True,
           faults=(Fault(0, "fence-fails", "active"), Fault(10, "isolate", "active"))),
    Mutant("newer", "an older beat is dropped", lambda real, beat, peer: True, rows=("46b",)),
    Mutant("suspended", "a suspend ends the lease, whatever the wall clock says",
           lambda real, before, tick, now: False,
           faults=(Fault(0, "vm-pause", "preferred", 5000), Fault(100, "isolate", "preferred"),
                   Fault(2500, "clock-step", "preferred", value=-5000)), module=clock_rules),
    Mutant("supersedes", "a higher epoch wins", lambda real, theirs, mine, stays: False, rows=("48",)),
    Mutant("pair_change", "majors are the witness's alone",
           lambda real, config, me: Epoch(config.epoch.major + 1, 0),
           faults=(Fault(0, "order", "active", what="switch"), Fault(10, "partition"))),
    Mutant("pair_change", "no epoch has two authors",
           lambda real, config, me: Epoch(config.epoch.major, config.epoch.minor + 1),
           faults=(Fault(0, "slow", value=200), Fault(1000, "order", "active", what="switch"),
                   Fault(1010, "order", "standby", what="maintenance-on"))),
    Mutant("has_vote", "SOLO leaves the standby no vote", lambda real, config: True, rows=("14",)),
    Mutant("flap_allowed", "automatic moves are limited", lambda real, failovers, wall, policy: True,
           faults=tuple(Fault(12_000 * n, "crash", "active", 4000) for n in range(10)), watch=130_000),
    Mutant("plain_answer", "only the trusted register confirms",
           lambda real, answer, trusted: answer.outcome != "failed",
           faults=(Fault(0, "partition"), Fault(1500, "witness-replaced"))),
    Mutant("may_adopt_win", "a win is adopted by the run that proposed only",
           lambda real, state: _won(state),
           faults=(Fault(0, "witness-slow", "", 4000), Fault(0, "witness-cut", "active"),
                   Fault(10, "partition", "", 6000), Fault(4000, "agent-kill", "standby")), watch=30_000),
    Mutant("may_trust_new_register", "a new register is not trusted in the middle of a takeover",
           lambda real, state, now: True,
           faults=(Fault(0, "partition"), Fault(1500, "witness-replaced"))),
    Mutant("standby_wait", "a holder that still runs a longer lease is waited for",
           lambda real, timing, hold=0: real(timing),
           faults=(Fault(0, "retimed", "standby", value=50), Fault(3000, "isolate", "active"))),
    Mutant("store_proven", "nobody asks for a right that its disk may not take",
           lambda real, state, now: True, rows=("23c",)),
    Mutant("unanswered", "the holder asks the witness before its lease ends",
           lambda real, state, now: False, rows=("10",)),
    Mutant("may_give_up_vote", "the standby gives up its vote when no witness can decide",
           lambda real, state, now: False, rows=("14",)),
    Mutant("may_open_pair", "a follower gets its vote back", lambda real, state, now: False, rows=("48",)),
    Mutant("may_skip_major", "the pair can leave a proposal behind that nobody answers",
           lambda real, state, now: False, rows=("51",)),
    Mutant("may_lead_past", "an epoch that only a replicator has not forgotten shuts no data out for ever",
           lambda real, state, now: False,
           faults=(Fault(0, "one-way", "standby", 300),
                   Fault(0, "order", "standby", what="maintenance-on"), Fault(300, "torn", "standby", 50)),
           takeover="logical"),
    Mutant("paused", "a pause is noticed by the wall clock as well",
           lambda real, before, tick, now: False,
           faults=(Fault(0, "vm-pause", "preferred", 5000, value=1), Fault(100, "isolate", "preferred")),
           module=clock_rules),
)  # fmt: skip
_DATA: tuple[Mutant, ...] = (
    Mutant("joined", "a standby that gets no data has no vote, and the active does not depend on it",
           lambda real, state, beat: True, rows=("37c",), module=data_rules, takeover="complete"),
    Mutant("joined", "an image that is not whole gets no vote", lambda real, state, beat: True,
           rows=("35b",), module=data_rules, takeover="logical"),
    Mutant("follows", "a switch waits until the peer has everything", lambda real, state, now: True,
           rows=("30",), module=data_rules, takeover="logical"),
    Mutant("seen", "who gave the group away and follows nobody yet does not take it back",
           lambda real, state: DataState.OUTDATED if state.durable.stale else state.data,
           faults=(Fault(0, "files-held", "active"), Fault(10, "order", "active", what="switch"),
                   Fault(3000, "crash", "active")),
           module=data_rules, takeover="complete"),
    Mutant("short", "a standby with less than its source counted on is not complete",
           lambda real, state: False,
           faults=(Fault(0, "snapshot", "standby"), Fault(2000, "data-cut"),
                   Fault(2000, "rolled-back", "standby", 10), Fault(4500, "crash", "active")),
           module=data_rules, takeover="complete"),
    Mutant("set_back", "of one line of writes the shorter image does not start",
           lambda real, state, theirs: False,
           faults=(Fault(0, "snapshot", "active"), Fault(3000, "rolled-back", "active", 300)),
           module=data_rules, takeover="complete"),
    Mutant("newer", "an image that goes on from the other is the newer one",
           lambda real, theirs, mine: False,
           faults=(Fault(0, "disk-replaced", "active", 300),), module=data_rules, takeover="logical"),
    Mutant("why_leave", "who must not start on its data gives the group away",
           lambda real, state, beat, now: "",
           faults=(Fault(0, "disk-replaced", "active", 300), Fault(200, "agent-kill", "standby")),
           module=data_rules, takeover="logical"),
    Mutant("given_up", "flushes do not wait for ever for a standby that gets no data",
           lambda real, state, beat, now: False, rows=("37a",), module=data_rules, takeover="complete"),
    Mutant("caught_up", "a standby that has everything again counts as such",
           lambda real, state, now: False, rows=("10",), module=data_rules, takeover="logical"),
    Mutant("forfeits", "a holder that cannot read its data hands over", lambda real, state, now: False,
           rows=("24",), module=data_rules, takeover="complete"),
    Mutant("leads", "data that are in use are never given up", lambda real, me, active, holder: True,
           rows=("39",), module=data_rules, takeover="complete"),
    Mutant("gate", "the policy says which data are taken over", lambda real, policy, data: True,
           rows=("35a",), module=data_rules, takeover="complete"),
    Mutant("gate", "an image that is no picture of one moment is never taken over",
           lambda real, policy, data: data is DataState.INCONSISTENT or real(policy, data),
           rows=("35a",), module=data_rules, takeover="logical"),
    Mutant("may_write_alone", "flushes go on alone only once the standby has no vote",
           lambda real, state: facts.is_holder(state),
           faults=(Fault(0, "data-cut"), Fault(2000, "crash", "active")),
           module=data_rules, takeover="complete"),
    Mutant("peer_is_newer", "of two images the older one does not start", lambda real, state, beat: False,
           faults=(Fault(0, "disk-replaced", "active", 300),), module=data_rules, takeover="logical"),
    Mutant("may_serve", "the holder starts on an image that it may serve only",
           lambda real, state, now: True,
           faults=(Fault(0, "service-link-down", "standby"), Fault(100, "disk-replaced", "active", 300)),
           module=data_rules, takeover="complete"),
    Mutant("may_be_forced", "no word makes a torn image whole", lambda real, data: True,
           faults=(Fault(0, "resync", "standby", value=20_000), Fault(2000, "crash", "active"),
                   Fault(7000, "order", "standby", what="takeover")),
           module=data_rules, takeover="logical"),
)  # fmt: skip
MUTANTS = (*_RULES, *_DATA)


@contextmanager
def mutated(mutant: Mutant) -> Iterator[None]:
    """The core runs with this rule replaced. For one process, one at a time."""
    real = getattr(mutant.module, mutant.rule)
    setattr(mutant.module, mutant.rule, lambda *args, **kwargs: mutant.replacement(real, *args, **kwargs))
    try:
        yield
    finally:
        setattr(mutant.module, mutant.rule, real)


def hunt(mutant: Mutant, spec: Spec, first: int, seeds: int) -> Kill:
    """Search rows first, then seeds, until the mutant is killed."""

    def kill(by: str, message: str) -> Kill:
        return Kill(rule=mutant.rule, breaks=mutant.breaks, killed_by=by, message=message)

    if mutant.takeover and spec.replication is None:
        spec = with_data(spec, mutant.takeover)
    with mutated(mutant):
        for row in select(spec, mutant.rows) if mutant.rows else ():
            verdict = run_row(spec, row)
            if verdict.verdict == "violated":
                return kill(f"row {row.row}", verdict.complaints[-1])
        if mutant.faults:
            outcome = run(spec, _own_schedule(mutant, spec))
            if outcome.invariant:
                return kill("its own schedule", outcome.message)
        for seed in range(first, first + seeds):
            outcome = run(spec, draw(spec, seed))
            if outcome.invariant:
                return kill(f"seed {seed}", outcome.message)
    return kill("", "")


def hunt_all(spec: Spec, first: int, seeds: int, jobs: int) -> list[Kill]:
    """Every mutant, over several processes."""
    data = encode(spec)
    numbers = range(len(MUTANTS))
    if jobs <= 1:
        return [_hunt_numbered(n, data, first, seeds) for n in numbers]
    with ProcessPoolExecutor(max_workers=jobs) as pool:
        tasks = [pool.submit(_hunt_numbered, n, data, first, seeds) for n in numbers]
        return [t.result() for t in tasks]


def _own_schedule(mutant: Mutant, spec: Spec) -> Schedule:
    """The mutant's schedule, in the proportions of the pair's lease."""
    scale = spec.policy.lease_ms / _LEASE
    faults = tuple(
        replace(
            f,
            at=int(f.at * scale),
            lasts=int(f.lasts * scale),
            value=f.value * scale if f.kind in ("slow", "clock-step") else f.value,
        )
        for f in mutant.faults
    )
    return Schedule(seed=0, faults=faults, watch=mutant.watch)


def _hunt_numbered(number: int, data: bytes, first: int, seeds: int) -> Kill:
    return hunt(MUTANTS[number], decode_spec(data), first, seeds)


def _won(state: State) -> bool:
    witness = state.witness
    return witness.owner == state.me and witness.major == state.durable.config.epoch.major + 1
