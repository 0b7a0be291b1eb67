"""Faults of replicated data: one function per kind. They do nothing where nothing is replicated."""

from __future__ import annotations

from collections.abc import Callable

from hsorch.sim.clock import MS
from hsorch.sim.fault import Fault
from hsorch.sim.machine import Machine
from hsorch.sim.stream import HOP, RESYNC, DataWorld
from hsorch.sim.wires import Heal
from hsorch.sim.world import World


def data_cut(world: World, machine: Machine, fault: Fault) -> Heal:
    """The data connection is down; heartbeats pass."""
    return _data(world, lambda data: setattr(data, "cut", True), lambda data: setattr(data, "cut", False))


def data_slow(world: World, machine: Machine, fault: Fault) -> Heal:
    """Each frame of the stream takes `value` milliseconds."""
    hop = int(fault.value) * MS
    return _data(world, lambda data: setattr(data, "hop", hop), lambda data: setattr(data, "hop", HOP))


def data_fails(world: World, machine: Machine, fault: Fault) -> Heal:
    """The disk of the data gives errors: the replicator can do nothing, and what is mounted fails."""
    replica = machine.replica
    if replica is not None:
        replica.abort()
        replica.runs = False

    def over() -> None:
        if replica is not None:
            replica.runs = True

    return over


def files_held(world: World, machine: Machine, fault: Fault) -> Heal:
    """A program holds files of the folders open: the node's replicator cannot become the target."""
    replica = machine.replica
    if replica is not None:
        replica.held = True

    def over() -> None:
        if replica is not None:
            replica.held = False

    return over


def resync(world: World, machine: Machine, fault: Fault) -> Heal:
    """The node's data are found damaged; a resync of `value` milliseconds makes them whole again."""
    return _data(
        world,
        lambda data: data.damage(machine.name, int(fault.value) * MS),
        lambda data: setattr(data, "resync", RESYNC),
    )


def choose(world: World, machine: Machine, fault: Fault) -> None:
    """An operator orders that this node's data count, whatever the other side wrote."""
    if world.data is not None:
        world.choose(machine)


def _data(world: World, begin: Callable[[DataWorld], None], end: Callable[[DataWorld], None]) -> Heal:
    if world.data is not None:
        begin(world.data)
    return lambda: None if world.data is None else end(world.data)
