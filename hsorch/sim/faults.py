"""Puts faults into a world when they are due, and puts everything right again at the end.

Times of a fault are virtual milliseconds. Which faults belong together, and what must come of them, is
said elsewhere (table.py, schedules.py).
"""

from __future__ import annotations

from hsorch.node.core.types import Desired, Intent, Verb
from hsorch.sim.breakage import same_spec
from hsorch.sim.clock import MS
from hsorch.sim.fault import Fault
from hsorch.sim.kinds import KINDS
from hsorch.sim.machine import Machine
from hsorch.sim.stream import HOP, RESYNC
from hsorch.sim.wires import Heal, set_service_link
from hsorch.sim.witness import WitnessMode
from hsorch.sim.world import World


def schedule(world: World, faults: tuple[Fault, ...], start: int) -> None:
    """Put faults into the world's queue, counted from the real time `start`."""
    for fault in faults:
        world.timeline.at(start + fault.at * MS, inject, world, fault)


def inject(world: World, fault: Fault) -> None:
    if world.healed:
        return
    machine = resolve(world, fault.node)
    world.note("fault", str(fault), machine.name)
    heal = KINDS[fault.kind](world, machine, fault)
    if heal is not None and fault.lasts:
        world.timeline.after(fault.lasts * MS, _heal, world, fault, heal)


def _heal(world: World, fault: Fault, heal: Heal) -> None:
    if not world.healed:
        world.note("fault", f"over: {fault}")
        heal()


def resolve(world: World, node: str) -> Machine:
    match node:
        case "active":
            return world.active()
        case "standby":
            return world.standby()
        case "" | "preferred":
            return world.machines[world.spec.preferred]
        case "other":
            return world.peer[world.spec.preferred]
        case _:
            return world.machines[node]


def heal_all(world: World) -> None:
    """Everything works again from now on, and no scheduled fault strikes any more."""
    world.note("fault", "all healed")
    world.healed = True
    for path in world.paths.values():
        path.restore()
    world.off_lan.clear()
    world.no_witness.clear()
    world.deaf_to_arp = 0
    world.register.mode = WitnessMode.UP
    if world.data is not None:
        world.data.cut, world.data.hop, world.data.resync = False, HOP, RESYNC
    for machine in world.machines.values():
        if machine.replica is not None:
            machine.replica.runs, machine.replica.held = True, False
        machine.disk.full, machine.disk.latency = False, 0
        machine.services.repair()
        machine.agent.may_run = machine.fence_works = True
        machine.agent.set_frozen(False)
        if machine.still:
            machine.set_still()
        set_service_link(world, machine, True)
        machine.boot()
        machine.agent.start_again()
    same_spec(world)
    world.timeline.after(world.spec.policy.lease_ms * MS, _want_again, world)


def _want_again(world: World) -> None:
    """Operators who took the group out, held it, or let an agent leave, want it all back: they look again
    and again, for an order from before may take its time."""
    world.timeline.after(world.spec.policy.lease_ms * MS, _want_again, world)
    if world.data is not None and any(r.refused for r in world.data.replicas.values()):
        world.choose(world.active())
    for machine in world.machines.values():
        machine.agent.start_again()
        intent = machine.disk.durable.intent if machine.disk.durable else Intent()
        if intent.by and intent.maintenance:
            world.order(world.active(), Verb.MAINTENANCE_OFF)
            return
        if intent.by and intent.desired is Desired.OUT:
            world.order(world.active(), Verb.BRING_IN)
            return
