"""Everything of the group off this node, fast and verified. Needs no agent: the guard calls `fence` alone.

What there is to end is read from the records below /run (resource/records.py) and found by the mark that
every process of the group inherits; a spec, when there is one, adds the addresses and units it names.
Order: traffic of the virtual addresses blocked in the kernel, addresses deleted, units and process trees
killed, then looked at again. A step that fails never keeps the next one from being done.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from hsorch.errors import HsorchError
from hsorch.node.resource.records import Records
from hsorch.node.system.base import Deadline, Running, System
from hsorch.spec import Ip, Service, Spec


@dataclass
class _Effects:
    """What may be present: (NIC, CIDR, virtual MAC), unit → control group, known processes."""

    addresses: set[tuple[str, str, str]] = field(default_factory=set)
    units: dict[str, str] = field(default_factory=dict)
    known: list[Running] = field(default_factory=list)


def mark(cluster: str, me: str, name: str = "") -> str:
    """Mark of a resource's processes; without a name, the prefix of all of this node's."""
    return f"{cluster}/{me}/{name}/" if name else f"{cluster}/{me}/"


def fence(
    *,
    cluster: str,
    me: str,
    directory: Path,
    system: System,
    spec: Spec | None = None,
    limit_s: float = 1.0,
    reason: str = "",
) -> tuple[bool, str]:
    """(verified gone, what was done and what is left). directory: Paths.resources. Never raises."""
    began = time.monotonic()
    deadline = Deadline.after(limit_s)
    records = Records(directory)
    effects = _effects(records, spec, me, system)
    faults: list[str] = []
    dead_man = system.dead_man(cluster)  # kept to the end: to close its channel takes longer than all else
    blocked = dead_man.block()
    _addresses_off(effects, system, faults)
    # Before the processes: one that waits for a flush in a mount can't be killed.
    cut, uncut = system.mounts.cut(_folders(spec))
    faults += uncut
    prefix = mark(cluster, me)
    killed = system.processes.kill(prefix, effects.known, deadline)
    faults += [f"process {pid} ({command}) is still there" for pid, command in killed.left.items()]
    for unit, group in effects.units.items():
        _unit_off(unit, group, prefix, system, deadline, faults)
    if not faults:
        for record in records:
            records.drop(record.name)
    took = round((time.monotonic() - began) * 1000)
    done = (
        f"{len(effects.addresses)} addresses off, {killed.count} processes killed, "
        f"{len(effects.units)} units stopped, {len(cut)} mounts cut, "
        f"traffic {'blocked' if blocked else 'not filtered'} in {took} ms ({reason})"
    )
    return (not faults, done if not faults else "; ".join([*faults, done]))


def _effects(records: Records, spec: Spec | None, me: str, system: System) -> _Effects:
    effects = _Effects()
    for record in records:
        if record.address:
            effects.addresses.add((record.nic, record.address, record.virtual_mac))
        if record.unit:
            effects.units[record.unit] = record.group
        if record.running is not None:
            effects.known.append(record.running)
    if spec is not None:
        for resource in spec.group.resources:
            if isinstance(resource, Ip):
                nic = spec.node(me).nics[resource.nic].name
                effects.addresses.add((nic, resource.address, resource.virtual_mac))
            elif isinstance(resource, Service) and system.services.available():
                effects.units.setdefault(resource.unit, "")
    return effects


def _folders(spec: Spec | None) -> list[str]:
    replication = spec.replication if spec is not None else None
    return [binding.path for binding in replication.bindings] if replication is not None else []


def _addresses_off(effects: _Effects, system: System, faults: list[str]) -> None:
    network = system.network
    for nic, cidr, virtual_mac in effects.addresses:
        carrier = network.virtual_name(nic, virtual_mac) if virtual_mac else nic
        try:
            network.remove_address(carrier, cidr)
            if virtual_mac:
                network.remove_virtual(nic, virtual_mac)
            if network.has_address(carrier, cidr):
                faults.append(f"{cidr} is still on {carrier}")
        except (HsorchError, OSError) as error:
            faults.append(f"{cidr} on {carrier}: {error}")


def _unit_off(
    unit: str, group: str, prefix: str, system: System, deadline: Deadline, faults: list[str]
) -> None:
    try:
        system.services.kill(unit, group, prefix, deadline)
        state = system.services.state(unit, deadline)
    except (HsorchError, OSError) as error:
        faults.append(f"unit {unit}: {error}")
        return
    if not state.gone:
        faults.append(f"unit {unit} is {state.active} ({state.sub})")
