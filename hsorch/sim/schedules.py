"""Random schedules of faults by seed, and one run of each: safety mode, then liveness mode.

Safety mode: faults strike in any combination that the protocol claims to survive. Liveness mode: all is
healed and the pair must come back in sync. A schedule is data: the same one gives the same run.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec

from hsorch.sim.clock import MS
from hsorch.sim.fault import Fault, Schedule
from hsorch.sim.run import Setting, first_violation, heal, healthy_world, strike
from hsorch.sim.shrink import shrink
from hsorch.sim.story import Chronicle, Told
from hsorch.sim.table import bounds, program
from hsorch.sim.world import Story
from hsorch.spec import NoWitness, Spec


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """invariant: the first one broken, or empty."""

    seed: int
    invariant: str = ""
    message: str = ""
    exceptions: int = 0
    overlaps: int = 0
    moves: int = 0
    outage_ms: float = 0.0


_STORM = (
    ("crash", 6), ("torn", 1), ("crash-on-write", 3), ("agent-kill", 3), ("agent-loop", 1),
    ("agent-freeze", 4), ("guard-kill", 1), ("node-freeze", 1), ("vm-pause", 1), ("link-cut", 2),
    ("partition", 8), ("one-way", 5), ("isolate", 5), ("lossy", 3), ("slow", 2), ("reorder", 2),
    ("duplicate", 2), ("service-link-down", 2), ("replay", 1), ("witness-down", 4), ("witness-slow", 2),
    ("witness-read-only", 1), ("witness-cut", 3), ("clock-step", 1), ("disk-full", 2), ("disk-slow", 1),
    ("service-kill", 2), ("service-hang", 1), ("start-fails", 1), ("stop-hangs", 1), ("order", 4),
    ("fence-fails", 1), ("witness-replaced", 1), ("retimed", 1),
)  # fmt: skip
_DATA = (("data-cut", 6), ("data-slow", 4), ("data-fails", 3), ("files-held", 2), ("resync", 6))
_SINGLE = tuple(
    (k, w)
    for k, w in _STORM
    if k not in ("disk-full", "start-fails", "stop-hangs", "order", "node-freeze", "retimed")
)
_STILL = {"vm-pause", "node-freeze"}
_AGENT = {"agent-kill", "agent-loop", "agent-freeze"}
_GUARD = {"guard-kill", "fence-fails"}
_ONCE = {"torn", *_STILL}
"""At most one of these per schedule: two lost disks leave nobody who remembers."""
_NOT_TOGETHER = ((_STILL, _AGENT), (_STILL, _GUARD), (_AGENT, _GUARD))
_ORDERS = ("switch", "switch", "switch", "bring-out", "maintenance-on", "shutdown")


def draw(spec: Spec, seed: int) -> Schedule:
    """Fault times and lengths scale with the pair's own takeover time."""
    rng = random.Random(seed)
    unit = bounds(spec).crash
    single = rng.random() < 0.25
    drawn = _SINGLE if single else _STORM
    if spec.replication is not None:
        drawn = (*drawn, *(kind for kind in _DATA if not single or kind[0] != "data-fails"))
    kinds, weights = zip(*drawn, strict=True)
    faults: list[Fault] = []
    for _ in range(1 if single else rng.randint(2, 8)):
        fault = _fault(spec, rng, rng.choices(kinds, weights)[0], unit)
        if _allowed(faults, fault):
            faults.append(fault)
    drift = spec.policy.drift_ppm * 1000
    return Schedule(
        seed=seed,
        faults=tuple(sorted(faults, key=lambda f: f.at)),
        watch=4 * unit if single else 6 * unit,
        rates=(rng.randint(-drift, drift), rng.randint(-drift, drift)),
        disk_ms=rng.choice((0, 0, 0, spec.policy.lease_ms // 100)),
        service_ms=rng.choice((5, 20, spec.policy.lease_ms // 20)),
        single=single,
    )


def run(spec: Spec, schedule: Schedule, story: Story | None = None) -> Outcome:
    setting = Setting(schedule.seed, schedule.rates, schedule.disk_ms, schedule.service_ms)
    world = healthy_world(spec, setting, story)
    outage = 0.0
    if not world.monitor.violations:
        strike(world, schedule.faults, schedule.watch)
        outage = world.client.longest_outage(world.now, world.start_of_faults) / MS
        limit = bounds(spec).crash + bounds(spec).restart
        if schedule.single and outage > limit and not isinstance(spec.witness, NoWitness):
            after = f"after {schedule.faults[0]} the client was not served for {outage:.0f} ms"
            world.monitor.broke("I6", world.now, f"{after}, at most {limit} ms")
        heal(world)
    broken = first_violation(world)
    return Outcome(
        seed=schedule.seed,
        invariant=broken.invariant if broken else "",
        message=str(broken) if broken else "",
        exceptions=len(world.monitor.exceptions),
        overlaps=world.monitor.overlaps,
        moves=len(world.monitor.moves),
        outage_ms=round(outage, 1),
    )


def tell(spec: Spec, schedule: Schedule) -> Told:
    """One schedule with its timeline."""
    chronicle = Chronicle()
    outcome = run(spec, schedule, chronicle)
    return Told(
        title=f"seed {schedule.seed}",
        faults=schedule.faults,
        lines=tuple(chronicle.lines),
        broken=(outcome.message,) if outcome.invariant else (),
    )


def shrunk(spec: Spec, seed: int) -> Schedule:
    """The schedule of a seed, as small as it gets while it breaks the same invariant; else as it is."""
    schedule = draw(spec, seed)
    broken = run(spec, schedule).invariant
    if not broken:
        return schedule
    return shrink(schedule, lambda smaller: run(spec, smaller).invariant == broken)


def _fault(spec: Spec, rng: random.Random, kind: str, unit: int) -> Fault:
    what, value = _details(spec, rng, kind)
    node = rng.choice(("active", "active", "standby", "preferred", "other"))
    return Fault(
        at=rng.randrange(3 * unit),
        kind=kind,
        node=node,
        lasts=int(unit * 10 ** rng.uniform(-2, 0.5)),
        what=what,
        value=value,
    )


def _details(spec: Spec, rng: random.Random, kind: str) -> tuple[str, float]:
    lease = spec.policy.lease_ms
    what: dict[str, Callable[[], str]] = {
        "link-cut": lambda: rng.choice(spec.links).name,
        "order": lambda: rng.choice(_ORDERS),
        **dict.fromkeys(("service-kill", "service-hang", "start-fails", "stop-hangs"), lambda: program(spec)),
    }
    value: dict[str, Callable[[], float]] = {
        "lossy": lambda: rng.choice((10, 30, 60, 90)),
        "vm-pause": lambda: rng.randrange(2),
        "retimed": lambda: rng.choice((70, 150)),
        "slow": lambda: rng.randrange(1, 2 * lease),
        "reorder": lambda: rng.randrange(1, 2 * lease),
        "duplicate": lambda: rng.choice((10, 50)),
        "clock-step": lambda: rng.choice((-3_600_000, -700, 700, 3_600_000)),
        "disk-slow": lambda: rng.randrange(1, lease),
        "data-slow": lambda: rng.randrange(1, 2 * lease),
        "resync": lambda: rng.randrange(100, 4 * lease),
    }
    return what.get(kind, str)(), value.get(kind, float)()


def _allowed(faults: list[Fault], fault: Fault) -> bool:
    """Leaves out what no protocol in user mode survives: docs/simulator.md says why for each."""
    kinds = {f.kind for f in faults}
    if fault.kind in _ONCE and kinds & _ONCE:
        return False
    return not any(
        (fault.kind in one and kinds & other) or (fault.kind in other and kinds & one)
        for one, other in _NOT_TOGETHER
    )
