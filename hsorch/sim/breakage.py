"""Faults of machines, processes, clocks, disks and services: one function per kind.

Each puts one thing wrong in a world and returns how to put it right; what ends by itself returns nothing.
"""

from __future__ import annotations

import msgspec

from hsorch.node.core.types import Verb
from hsorch.sim.clock import MS
from hsorch.sim.fault import Fault
from hsorch.sim.machine import Machine
from hsorch.sim.replica import ReplicaDisk
from hsorch.sim.services import Item
from hsorch.sim.wires import Heal
from hsorch.sim.world import World

# ------------------------------------------------------------------------------------------------- power


def crash(world: World, machine: Machine, fault: Fault) -> Heal:
    """Power loss; back on when it is over."""
    machine.power_off()
    return machine.boot


def torn(world: World, machine: Machine, fault: Fault) -> Heal:
    """Power loss that also ruins the state file."""
    machine.power_off()
    machine.disk.tear()
    world.monitor.forgets(machine.name)
    return machine.boot


def disk_replaced(world: World, machine: Machine, fault: Fault) -> Heal:
    """Power loss; the machine comes back with new disks: its state and its data are gone."""
    heal = torn(world, machine, fault)
    if machine.replica is not None:
        machine.replica.disk = ReplicaDisk()
    return heal


def snapshot(world: World, machine: Machine, fault: Fault) -> None:
    """Somebody keeps a copy of all its disks."""
    machine.take_snapshot()


def rolled_back(world: World, machine: Machine, fault: Fault) -> Heal:
    """Power loss; the machine comes back with its disks as they were in the snapshot."""
    machine.power_off()
    world.monitor.forgets(machine.name)
    machine.restore_snapshot()
    return machine.boot


def crash_on_write(world: World, machine: Machine, fault: Fault) -> Heal:
    """Power loss right after the node's next durable write, before anything that follows it."""
    machine.crash_on_write = True

    def back() -> None:
        machine.crash_on_write = False
        machine.boot()

    return back


# ------------------------------------------------------------------------------------ processes, machines


def agent_kill(world: World, machine: Machine, fault: Fault) -> None:
    machine.agent.kill()


def agent_loop(world: World, machine: Machine, fault: Fault) -> Heal:
    """The agent dies, and each new one dies at once."""
    machine.agent.may_run = False
    machine.agent.kill()

    def over() -> None:
        machine.agent.may_run = True

    return over


def agent_freeze(world: World, machine: Machine, fault: Fault) -> Heal:
    machine.agent.set_frozen(True)
    return lambda: machine.agent.set_frozen(False)


def guard_kill(world: World, machine: Machine, fault: Fault) -> None:
    machine.watchdog.die(back_after=100 * MS)


def node_freeze(world: World, machine: Machine, fault: Fault) -> Heal:
    """Every process stands still, the watchdog too."""
    return _stand_still(machine, frozen=True)


def vm_pause(world: World, machine: Machine, fault: Fault) -> Heal:
    """The machine stops, and its clock: a suspend, or with value 1 a hypervisor's pause."""
    machine.suspended = not fault.value
    return _stand_still(machine, paused=True)


# ------------------------------------------------------------------------------------------ clocks, disks


def clock_step(world: World, machine: Machine, fault: Fault) -> None:
    """The wall clock jumps by `value` milliseconds."""
    machine.clock.step_wall(int(fault.value * MS))


def clock_rate(world: World, machine: Machine, fault: Fault) -> None:
    """The node's clock runs `value` parts per million too fast (negative: too slow)."""
    machine.set_rate(int(fault.value * 1000))


def disk_full(world: World, machine: Machine, fault: Fault) -> Heal:
    machine.disk.full = True

    def over() -> None:
        machine.disk.full = False

    return over


def disk_slow(world: World, machine: Machine, fault: Fault) -> Heal:
    """Each durable write takes `value` milliseconds."""
    machine.disk.latency = int(fault.value * MS)

    def over() -> None:
        machine.disk.latency = 0

    return over


# ---------------------------------------------------------------------------------------------- services


def service_kill(world: World, machine: Machine, fault: Fault) -> None:
    """The program dies."""
    machine.services.fail(_program(machine, fault).name)


def service_hang(world: World, machine: Machine, fault: Fault) -> Heal:
    """The program runs but does not answer."""
    item = _program(machine, fault)
    item.answering = False
    world.effects_changed()

    def over() -> None:
        item.answering = True
        world.effects_changed()

    return over


def start_fails(world: World, machine: Machine, fault: Fault) -> Heal:
    item = _program(machine, fault)
    item.start_fails = True
    return lambda: setattr(item, "start_fails", False)


def stop_hangs(world: World, machine: Machine, fault: Fault) -> Heal:
    item = _program(machine, fault)
    item.stop_hangs = True
    return lambda: setattr(item, "stop_hangs", False)


def fence_fails(world: World, machine: Machine, fault: Fault) -> Heal:
    """The agent's own fence ends nothing, and it says so; the watchdog's still works."""
    machine.fence_works = False
    return lambda: setattr(machine, "fence_works", True)


def address_taken(world: World, machine: Machine, fault: Fault) -> Heal:
    """A third host answers the virtual address when this node wants to take it."""
    item = next(i for i in machine.services.items.values() if i.address)
    item.taken = True
    return lambda: setattr(item, "taken", False)


def config_differs(world: World, machine: Machine, fault: Fault) -> None:
    """A spec of another content comes into force on this node alone."""
    policy = msgspec.structs.replace(machine.spec.policy, start_wait_ms=machine.spec.policy.start_wait_ms + 1)
    machine.reconfigure(msgspec.structs.replace(machine.spec, policy=policy))


def retimed(world: World, machine: Machine, fault: Fault) -> Heal:
    """A newer spec comes into force on this node alone, with `value` percent of lease and suspect time."""
    policy = world.spec.policy
    lease, suspect = (int(t * fault.value / 100) for t in (policy.lease_ms, policy.suspect_ms))
    other = msgspec.structs.replace(policy, lease_ms=lease, suspect_ms=suspect)
    revision = machine.spec.revision + 1
    machine.reconfigure(msgspec.structs.replace(world.spec, policy=other, revision=revision))
    return lambda: same_spec(world)


def order(world: World, machine: Machine, fault: Fault) -> None:
    """An operator's verb (`what`) on this node."""
    world.order(machine, Verb(fault.what))


def same_spec(world: World) -> None:
    """The spec of the world comes into force on both nodes, if one of them runs another."""
    newest = max(m.spec.revision for m in world.machines.values())
    if any(m.spec.policy != world.spec.policy for m in world.machines.values()):
        for machine in world.machines.values():
            machine.reconfigure(msgspec.structs.replace(world.spec, revision=newest + 1))


def _stand_still(machine: Machine, *, paused: bool = False, frozen: bool = False) -> Heal:
    if machine.powered:
        machine.set_still(paused=paused, frozen=frozen)

    def go_on() -> None:
        if machine.powered and machine.still:
            machine.set_still()

    return go_on


def _program(machine: Machine, fault: Fault) -> Item:
    items = machine.services.items
    if fault.what:
        return items[fault.what]
    return next((i for i in items.values() if i.effect and not i.address), next(iter(items.values())))
