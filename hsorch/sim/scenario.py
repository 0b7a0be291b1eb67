"""Runs rows of the fault table and judges them against what must come of each."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Literal

import msgspec

from hsorch.node.core import data_rules
from hsorch.sim.clock import MS
from hsorch.sim.expect import Active, Bound, Expect, Row
from hsorch.sim.expected import expectation, not_promised
from hsorch.sim.invariants import DATA, TITLES
from hsorch.sim.run import Setting, heal, healthy_world, strike
from hsorch.sim.story import Chronicle, Told
from hsorch.sim.table import Bounds, bounds, select
from hsorch.sim.world import Story, World
from hsorch.spec import Spec, decode_spec, encode


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Outcome of one row. Times in milliseconds."""

    row: str
    name: str
    title: str
    verdict: Literal["held", "violated", "not run"]
    active_before: str = ""
    active: str = ""
    """Who served while the fault lasted; empty: nobody."""
    active_after: str = ""
    """Who served after the repair."""
    outage_ms: float = 0.0
    """Longest gap of the client while the fault lasted."""
    bound_ms: int = -1
    """-1: no limit."""
    data: str = "nothing replicated"
    """What lay on each node while the fault lasted."""
    broken: tuple[str, ...] = ()
    """Invariants that did not hold; all others did or are not applicable."""
    complaints: tuple[str, ...] = ()
    exceptions: tuple[str, ...] = ()
    alarms: tuple[str, ...] = ()
    not_promised: str = ""
    """Why less is expected of this pair than of one with a witness."""


def run_row(spec: Spec, row: Row, seed: int = 0, story: Story | None = None) -> Verdict:
    if row.needs:
        return Verdict(
            row=row.row, name=row.name, title=row.title, verdict="not run", complaints=(f"needs {row.needs}",)
        )
    expect, limits = expectation(row, spec), bounds(spec)
    world = healthy_world(spec, Setting(seed), story)
    before = world.client.served_by
    if not world.monitor.violations:
        strike(world, row.faults, row.watch)
    during = world.client.served_by
    outage = world.client.longest_outage(world.now, world.start_of_faults) / MS
    complaints = _judge(world, expect, limits, before, outage)
    data = _data(world)
    heal(world)
    after = world.client.served_by
    if row.stays and after != during:
        complaints.append(f"served by {after or 'nobody'} after the repair, should have stayed on {during}")
    broken = sorted({v.invariant for v in world.monitor.violations})
    if expect.outage is not Bound.REPAIR and outage > limits.of(expect.outage):
        broken.append("I6")
    return Verdict(
        row=row.row,
        name=row.name,
        title=row.title,
        verdict="violated" if complaints or broken else "held",
        active_before=before,
        active=during,
        active_after=after,
        outage_ms=round(outage, 1),
        bound_ms=limits.of(expect.outage),
        data=data,
        broken=tuple(broken),
        complaints=(*complaints, *map(str, world.monitor.violations)),
        exceptions=tuple(world.monitor.exceptions),
        alarms=tuple(dict.fromkeys(a[3] or a[2] for a in world.alarms if a[0] >= world.start_of_faults)),
        not_promised=not_promised(row, spec),
    )


def run_rows(spec: Spec, rows: Sequence[Row], jobs: int) -> list[Verdict]:
    """In the order of `rows`, over several processes."""
    if jobs <= 1:
        return [run_row(spec, row) for row in rows]
    with ProcessPoolExecutor(max_workers=jobs) as pool:
        return list(pool.map(_run_named, [encode(spec)] * len(rows), [row.row for row in rows]))


def _run_named(data: bytes, row: str) -> Verdict:
    spec = decode_spec(data)
    return run_row(spec, select(spec, (row,))[0])


def tell_row(spec: Spec, row: Row) -> Told:
    """One row with its timeline."""
    chronicle = Chronicle()
    verdict = run_row(spec, row, story=chronicle)
    return Told(
        title=f"row {row.row}: {row.title}",
        faults=row.faults,
        lines=tuple(chronicle.lines),
        broken=verdict.complaints if verdict.verdict == "violated" else (),
    )


def held(verdict: Verdict) -> str:
    """`I1-I3 I6-I8` in short: the invariants that were checked and held."""
    plain = verdict.data == "nothing replicated"
    return " ".join(i for i in TITLES if i not in verdict.broken and not (plain and i in DATA))


def _data(world: World) -> str:
    """`a complete, b logical`: as each core knows its own; a node without power says nothing."""
    if world.data is None:
        return "nothing replicated"
    states = ((name, machine.agent.state) for name, machine in world.machines.items())
    return ", ".join(f"{name} {'off' if s is None else data_rules.seen(s).value}" for name, s in states)


def _judge(world: World, expect: Expect, limits: Bounds, before: str, outage: float) -> list[str]:
    complaints = []
    now = world.client.served_by
    wanted = {
        Active.SAME: now == before,
        Active.MOVED: now not in ("", before),
        Active.NONE: not now,
        Active.ONE: bool(now),
    }
    if not wanted[expect.active]:
        complaints.append(f"served by {now or 'nobody'} (was {before}), expected: {expect.active}")
    limit = limits.of(expect.outage)
    if limit >= 0 and outage > limit:
        complaints.append(f"the client was not served for {outage:.1f} ms, at most {limit} ms are allowed")
    if expect.alarm and not any(at >= world.start_of_faults for at, *_ in world.alarms):
        complaints.append("no warning and no alarm was raised")
    if expect.code and not any(a[3] == expect.code for a in world.alarms):
        complaints.append(f"nothing was refused with {expect.code}")
    return complaints
