"""One run: make a healthy pair, let faults strike, heal all, see whether the pair comes back.

Both halves of the simulator use it: the fault table (scenario.py) and random schedules (schedules.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from hsorch.sim.clock import MS, SECOND
from hsorch.sim.fault import Fault
from hsorch.sim.faults import heal_all, schedule
from hsorch.sim.invariants import Violation
from hsorch.sim.world import Story, World
from hsorch.spec import Spec


@dataclass(frozen=True, slots=True)
class Setting:
    """How the world is before anything goes wrong. rates: parts per 10^9; times: milliseconds."""

    seed: int = 0
    rates: tuple[int, int] = (0, 0)
    disk_ms: int = 0
    service_ms: int = 20


def healthy_world(spec: Spec, setting: Setting, story: Story | None = None) -> World:
    """A pair that has just come in sync. Its monitor says so when it never does."""
    world = World(spec, setting.seed, rates=setting.rates, story=story)
    for machine in world.machines.values():
        machine.disk.latency = setting.disk_ms * MS
        for item in machine.services.items.values():
            if not item.address:
                item.start_time = item.stop_time = setting.service_ms * MS
    world.start()
    reach(world, "a fresh pair never came in sync")
    return world


def strike(world: World, faults: tuple[Fault, ...], watch_ms: int) -> None:
    """The faults strike, counted from now, and the world goes on for watch_ms."""
    world.start_of_faults = world.now
    schedule(world, faults, world.now)
    world.run_for(watch_ms * MS)


def heal(world: World) -> None:
    """All is healed; I8 is broken when the pair does not come back in time."""
    if not world.monitor.violations:
        heal_all(world)
        reach(world, "all was healed, and the pair did not come back in sync")
        world.run_for((world.spec.policy.lease_ms + world.spec.policy.fence_ms) * MS)


def reach(world: World, complaint: str) -> None:
    """Run until the pair is in sync; I8 is broken when it never is."""
    limit = patience(world.spec)
    if not world.run_until(world.now + limit, world.healthy) and not world.monitor.violations:
        roles = ", ".join(
            f"{b.sender} {b.role} {b.config.epoch.major}.{b.config.epoch.minor}" for b in world.beats.values()
        )
        world.monitor.broke("I8", world.now, f"{complaint} within {limit / SECOND:g} s ({roles})")


def patience(spec: Spec) -> int:
    """Nanoseconds in which a pair must be in sync once nothing is wrong any more."""
    policy = spec.policy
    limits = sum(r.start_limit_ms + r.stop_limit_ms for r in spec.group.resources)
    return (policy.start_wait_ms + 10 * (policy.lease_ms + policy.fence_ms) + limits) * MS


def first_violation(world: World) -> Violation | None:
    return world.monitor.violations[0] if world.monitor.violations else None
