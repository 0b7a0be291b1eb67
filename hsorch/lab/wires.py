"""The network of a lab as text for `ip` and `nft`: cables, and what standing faults do to frames. Pure.

Faults live in the switches, never inside a machine: a reboot does not mend a cable. Loss is drawn per frame
by nftables, because not every kernel has netem.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hsorch.lab.faults import Fault
from hsorch.lab.topology import Machine, Port, Topology


def bridges_batch(topology: Topology) -> str:
    """Input of `ip -batch` in the chassis, once."""
    lines = ["link set lo up"]
    for bridge in topology.bridges:
        # A MAC of its own: else it takes that of a port, and changes it when that machine goes off.
        lines.append(
            f"link add {bridge.device} address {bridge.mac} "
            "type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
        )
        lines.append(f"link set {bridge.device} up")
        lines += [_address(bridge.device, address) for address in bridge.addresses]
    return _batch(lines)


def cables_batch(topology: Topology, machine: Machine, pid: int) -> str:
    """Input of `ip -batch` in the chassis at a machine's boot: cables from its namespace to the bridges."""
    devices = {bridge.name: bridge.device for bridge in topology.bridges}
    lines = []
    for port in machine.ports:
        lines.append(f"link add {port.name} type veth peer name {port.device} address {port.mac} netns {pid}")
        lines.append(f"link set {port.name} master {devices[port.bridge]} up")
    return _batch(lines)


def addresses_batch(machine: Machine) -> str:
    """Input of `ip -batch` inside the machine at its boot."""
    lines = ["link set lo up"]
    for port in machine.ports:
        lines.append(f"link set {port.device} up")
        lines += [_address(port.device, address) for address in port.addresses]
    return _batch(lines)


def silence_batch(machine: Machine) -> str:
    """All cables dead at once: what the machine sends while it dies is heard by nobody."""
    return _batch([f"link set {port.name} down" for port in machine.ports])


def unplug_batch(machine: Machine) -> str:
    return _batch([f"link del {port.name}" for port in machine.ports])


def carrier_batch(topology: Topology, faults: Sequence[Fault], powered: frozenset[str]) -> str:
    """Carrier of every cable of a machine that is on, as the standing faults want it."""
    down = {port.name for fault in faults if fault.kind == "link-down" for port in _ends(topology, fault)}
    ports = [port for machine in topology.machines if machine.name in powered for port in machine.ports]
    return _batch([f"link set {port.name} {'down' if port.name in down else 'up'}" for port in ports])


def rules(topology: Topology, faults: Sequence[Fault]) -> str:
    """Input of `nft -f -`: replaces all rules of the lab in one transaction."""
    chains: dict[str, list[str]] = {"prerouting": [], "forward": [], "postrouting": []}
    for fault in faults:
        for chain, rule in _rules_of(topology, fault):
            chains[chain].append(rule)
    lines = ["table bridge lab", "delete table bridge lab", "table bridge lab {"]
    for name, found in chains.items():
        lines += [f"chain {name} {{", f"type filter hook {name} priority 0;", *found, "}"]
    return _batch([*lines, "}"])


def _rules_of(topology: Topology, fault: Fault) -> Iterator[tuple[str, str]]:
    match fault.kind:
        case "partition":
            first, second = topology.nodes
            yield from _between(first.ports, second.ports, "drop")
        case "one-way":
            sender = topology.machine(fault.node)
            receiver = next(node for node in topology.nodes if node is not sender)
            yield _toward(sender.ports, receiver.ports, "drop")
        case "isolate":
            yield from _around(topology.machine(fault.node).ports, "drop")
        case "witness-cut":
            yield from _between(topology.machine(fault.node).ports, topology.machine("witness").ports, "drop")
        case "link-loss":
            verdict = "drop" if fault.amount == 100 else f"numgen random mod 100 < {fault.amount} drop"
            ends = _ends(topology, fault)
            if fault.node:
                yield from _around(ends, verdict)
            else:
                yield from _between(ends[:1], ends[1:], verdict)


def _ends(topology: Topology, fault: Fault) -> tuple[Port, ...]:
    """Cables of a link: one node's, or both nodes'."""
    bridge = topology.links[fault.link]
    nodes = (topology.machine(fault.node),) if fault.node else topology.nodes
    return tuple(port for node in nodes for port in node.ports if port.bridge == bridge)


def _between(one: Sequence[Port], other: Sequence[Port], verdict: str) -> Iterator[tuple[str, str]]:
    yield _toward(one, other, verdict)
    yield _toward(other, one, verdict)


def _toward(sources: Sequence[Port], targets: Sequence[Port], verdict: str) -> tuple[str, str]:
    return "forward", f"iifname {_set(sources)} oifname {_set(targets)} {verdict}"


def _around(ports: Sequence[Port], verdict: str) -> Iterator[tuple[str, str]]:
    yield "prerouting", f"iifname {_set(ports)} {verdict}"
    yield "postrouting", f"oifname {_set(ports)} {verdict}"


def _set(ports: Sequence[Port]) -> str:
    return "{ " + ", ".join(f'"{port.name}"' for port in ports) + " }"


def _address(device: str, address: str) -> str:
    # The lab gives each address once: no duplicate detection, which would delay IPv6 by a second.
    return f"addr add {address} dev {device}" + (" nodad" if ":" in address else " broadcast +")


def _batch(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
