"""Faults of links, NICs, clients and the witness: one function per kind.

Each puts one thing wrong in a world and returns how to put it right; what ends by itself returns nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from hsorch.node.core.types import NicChanged, Received, Rejected
from hsorch.sim.clock import MS
from hsorch.sim.fault import Fault
from hsorch.sim.machine import Machine
from hsorch.sim.network import Path
from hsorch.sim.witness import WitnessMode
from hsorch.sim.world import World

Heal = Callable[[], None]


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
    """`value` percent of the frames that the node sends are lost; of all when none is named."""
    return _disturb(_sent(world, machine, fault), "loss", fault.value / 100)


def slow(world: World, machine: Machine, fault: Fault) -> Heal:
    """Each frame that the node sends takes `value` milliseconds; each of both when none is named."""
    return _disturb(_sent(world, machine, fault), "delay", int(fault.value * MS))


def reorder(world: World, machine: Machine, fault: Fault) -> Heal:
    """Each such frame takes up to `value` milliseconds more, at random."""
    return _disturb(_sent(world, machine, fault), "jitter", int(fault.value * MS))


def duplicate(world: World, machine: Machine, fault: Fault) -> Heal:
    return _disturb(_sent(world, machine, fault), "duplicate", fault.value / 100)


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
    """The peer's beat of this moment arrives again and again, twice as often as beats do, on every link."""
    beat = world.beats.get(world.peer[machine.name].name)
    if beat is None:
        return
    spacing = world.spec.links[0].interval_ms * MS // 2
    for number in range(80):
        for link in world.spec.links:
            event = Received(link=link.name, beat=beat)
            world.timeline.after((1 + number) * spacing, machine.agent.deliver, event)


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


def deaf_to_arp(world: World, machine: Machine, fault: Fault) -> Heal:
    """Clients ignore announcements for the first `value` milliseconds after a move."""
    world.deaf_to_arp = int(fault.value * MS)
    return lambda: setattr(world, "deaf_to_arp", 0)


# ----------------------------------------------------------------------------------------------- helpers


def _paths(world: World, *, link: str = "", sender: str = "") -> list[Path]:
    name = world.spec.links[0].name if link == "first" else link
    return [p for (n, s), p in world.paths.items() if name in ("", n) and sender in ("", s)]


def _sent(world: World, machine: Machine, fault: Fault) -> list[Path]:
    return _paths(world, link=fault.what, sender=machine.name if fault.node else "")


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
