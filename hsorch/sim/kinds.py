"""What each kind of fault does to a world: one function per kind, which returns how to put it right.

Faults that end by themselves return nothing. `faults.py` says what a fault is and when it strikes.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from hsorch.node.core.types import NicChanged, Received, Rejected, Verb
from hsorch.sim.clock import MS
from hsorch.sim.fault import Fault
from hsorch.sim.machine import Machine
from hsorch.sim.network import Path
from hsorch.sim.services import Item
from hsorch.sim.witness import WitnessMode
from hsorch.sim.world import World

Heal = Callable[[], None]
Kind = Callable[[World, Machine, Fault], Heal | None]


# ------------------------------------------------------------------------------------------------- power


def crash(world: World, machine: Machine, fault: Fault) -> Heal:
    """Power loss; back on when it is over."""
    machine.power_off()
    return machine.boot


def torn(world: World, machine: Machine, fault: Fault) -> Heal:
    """Power loss that also ruins the state file."""
    machine.power_off()
    machine.disk.tear()
    return machine.boot


def rolled_back(world: World, machine: Machine, fault: Fault) -> Heal:
    """Power loss; the disk comes back as it was `value` milliseconds into the run."""
    machine.power_off()
    machine.disk.restore(world.start_of_faults + int(fault.value) * MS)
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
    """The hypervisor stops the machine and its clock."""
    return _stand_still(machine, paused=True)


# ----------------------------------------------------------------------------------------------- network


def link_cut(world: World, machine: Machine, fault: Fault) -> Heal:
    """One link, both directions."""
    return _cut(_paths(world, link=fault.what), fault)


def partition(world: World, machine: Machine, fault: Fault) -> Heal:
    """All links between the nodes, both directions."""
    return _cut(_paths(world), fault)


def one_way(world: World, machine: Machine, fault: Fault) -> Heal:
    """Nothing that the node sends to its peer arrives."""
    return _cut(_paths(world, sender=machine.name), fault)


def isolate(world: World, machine: Machine, fault: Fault) -> Heal:
    """The node is cut from peer, witness and clients."""
    join = _cut(_paths(world), fault)
    world.off_lan.add(machine.name)
    world.effects_changed()

    def over() -> None:
        join()
        world.off_lan.discard(machine.name)
        world.effects_changed()

    return over


def lossy(world: World, machine: Machine, fault: Fault) -> Heal:
    """`value` percent of all frames between the nodes are lost."""
    return _disturb(_paths(world, link=fault.what), "loss", fault.value / 100)


def slow(world: World, machine: Machine, fault: Fault) -> Heal:
    """Each frame takes `value` milliseconds."""
    return _disturb(_paths(world, link=fault.what), "delay", int(fault.value * MS))


def reorder(world: World, machine: Machine, fault: Fault) -> Heal:
    """Each frame takes up to `value` milliseconds more, at random."""
    return _disturb(_paths(world, link=fault.what), "jitter", int(fault.value * MS))


def duplicate(world: World, machine: Machine, fault: Fault) -> Heal:
    return _disturb(_paths(world, link=fault.what), "duplicate", fault.value / 100)


def service_link_down(world: World, machine: Machine, fault: Fault) -> Heal:
    """The NIC in the role `service` loses its carrier."""
    set_service_link(world, machine, False)
    return lambda: set_service_link(world, machine, True)


def forged(world: World, machine: Machine, fault: Fault) -> None:
    """A stranger sends frames that fail authentication."""
    for number in range(20):
        link = world.spec.links[number % len(world.spec.links)].name
        event = Rejected(link=link, why="wrong authentication code")
        world.timeline.after(number * 50 * MS, machine.agent.deliver, event)


def replay(world: World, machine: Machine, fault: Fault) -> None:
    """The peer's beat of this moment arrives again and again for some seconds, on every link."""
    beat = world.beats.get(world.peer[machine.name].name)
    if beat is None:
        return
    for number in range(40):
        for link in world.spec.links:
            event = Received(link=link.name, beat=beat)
            world.timeline.after((1 + number) * 100 * MS, machine.agent.deliver, event)


def stranger_version(world: World, machine: Machine, fault: Fault) -> None:
    """The peer's frames of another wire version are dropped by the link layer."""
    event = Rejected(link=world.spec.links[0].name, why="wire version 2, this node speaks 1")
    world.timeline.after(0, machine.agent.deliver, event)


# ----------------------------------------------------------------------------------------------- witness


def witness_down(world: World, machine: Machine, fault: Fault) -> Heal:
    return _witness(world, WitnessMode.DOWN)


def witness_slow(world: World, machine: Machine, fault: Fault) -> Heal:
    return _witness(world, WitnessMode.SLOW)


def witness_read_only(world: World, machine: Machine, fault: Fault) -> Heal:
    return _witness(world, WitnessMode.READ_ONLY)


def witness_replaced(world: World, machine: Machine, fault: Fault) -> None:
    world.register.replace()


def witness_cut(world: World, machine: Machine, fault: Fault) -> Heal:
    """The node cannot reach the witness."""
    world.no_witness.add(machine.name)
    return lambda: world.no_witness.discard(machine.name)


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


def deaf_to_arp(world: World, machine: Machine, fault: Fault) -> Heal:
    """Clients ignore announcements for the first `value` milliseconds after a move."""
    world.deaf_to_arp = int(fault.value * MS)
    return lambda: setattr(world, "deaf_to_arp", 0)


def config_differs(world: World, machine: Machine, fault: Fault) -> None:
    """A spec of another content comes into force on this node alone."""
    policy = msgspec.structs.replace(machine.spec.policy, start_wait_ms=machine.spec.policy.start_wait_ms + 1)
    machine.reconfigure(msgspec.structs.replace(machine.spec, policy=policy))


def order(world: World, machine: Machine, fault: Fault) -> None:
    """An operator's verb (`what`) on this node."""
    world.order(machine, Verb(fault.what))


# ----------------------------------------------------------------------------------------------- helpers


def _paths(world: World, *, link: str = "", sender: str = "") -> list[Path]:
    name = world.spec.links[0].name if link == "first" else link
    return [p for (n, s), p in world.paths.items() if name in ("", n) and sender in ("", s)]


def _cut(paths: list[Path], fault: Fault) -> Heal:
    for path in paths:
        path.cut(fault.kind)

    def join() -> None:
        for path in paths:
            path.join(fault.kind)

    return join


def _disturb(paths: list[Path], attribute: str, value: float) -> Heal:
    healthy = Path()
    for path in paths:
        setattr(path, attribute, value)

    def over() -> None:
        for path in paths:
            setattr(path, attribute, getattr(healthy, attribute))

    return over


def _witness(world: World, mode: WitnessMode) -> Heal:
    world.register.mode = mode

    def up() -> None:
        world.register.mode = WitnessMode.UP

    return up


def _stand_still(machine: Machine, *, paused: bool = False, frozen: bool = False) -> Heal:
    if machine.powered:
        machine.set_still(paused=paused, frozen=frozen)

    def go_on() -> None:
        if machine.powered and machine.still:
            machine.set_still()

    return go_on


def set_service_link(world: World, machine: Machine, up: bool) -> None:
    if machine.service_link == up:
        return
    machine.service_link = up
    for link in world.spec.links:
        if link.nic == "service":
            for path in _paths(world, link=link.name):
                (path.join if up else path.cut)(f"{machine.name} nic")
    world.effects_changed()
    machine.agent.deliver(NicChanged(nic="service", up=up))


def _program(machine: Machine, fault: Fault) -> Item:
    items = machine.services.items
    if fault.what:
        return items[fault.what]
    return next((i for i in items.values() if i.effect and not i.address), next(iter(items.values())))


KINDS: dict[str, Kind] = {
    f.__name__.replace("_", "-"): f
    for f in (
        crash, torn, rolled_back, crash_on_write, agent_kill, agent_loop, agent_freeze, guard_kill,
        node_freeze, vm_pause, link_cut, partition, one_way, isolate, lossy, slow, reorder, duplicate,
        service_link_down, forged, replay, stranger_version, witness_down, witness_slow, witness_read_only,
        witness_replaced, witness_cut, clock_step, clock_rate, disk_full, disk_slow, service_kill,
        service_hang, start_fails, stop_hangs, fence_fails, address_taken, deaf_to_arp, config_differs, order,
    )
}  # fmt: skip
