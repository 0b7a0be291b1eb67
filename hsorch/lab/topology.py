"""What a lab is made of, derived from a Spec: machines, their ports, the bridges between. Pure.

A bridge per subnet of the nodes; a client on every subnet that has a VIP; the witness on the subnet of its
address, or, when the nodes have no NIC there, on a network of its own with an extra NIC in each node.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from ipaddress import (
    IPv4Interface,
    IPv4Network,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
)
from pathlib import PurePosixPath
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from hsorch.errors import LabError
from hsorch.spec import HttpWitness, Ip, ShareWitness, Spec

Interface = IPv4Interface | IPv6Interface
Network = IPv4Network | IPv6Network

DURABLE = ("/var/lib/hsorch", "/srv")
"""A machine's private disk: what survives its crash."""


class Bridge(msgspec.Struct, frozen=True, kw_only=True):
    """One switch. addresses: what it answers itself, as a router would (the isolation addresses)."""

    name: str
    """The NIC role it carries, or `witness`."""
    device: str
    mac: str
    networks: tuple[str, ...]
    addresses: tuple[str, ...] = ()


class Port(msgspec.Struct, frozen=True, kw_only=True):
    """A cable: `device` inside the machine, `name` at the bridge."""

    name: str
    device: str
    mac: str
    bridge: str
    addresses: tuple[str, ...]


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    alias: str = ""
    kind: Literal["node", "client", "witness"]
    ports: tuple[Port, ...]


class WitnessPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What the witness machine serves. token_file: path on each node."""

    listen: str
    token_file: str


class Topology(msgspec.Struct, frozen=True, kw_only=True):
    cluster: str
    bridges: tuple[Bridge, ...]
    machines: tuple[Machine, ...]
    links: dict[str, str]
    """Heartbeat link → bridge."""
    vip: str = ""
    """The first one, without its prefix."""
    witness: WitnessPlan | None = None
    share: str = ""
    """Folder that both nodes see: a witness by share."""

    @property
    def nodes(self) -> tuple[Machine, ...]:
        return tuple(m for m in self.machines if m.kind == "node")

    def machine(self, name: str) -> Machine:
        return next(m for m in self.machines if name in (m.name, m.alias))


def topology_of(spec: Spec) -> Topology:
    """Raises LabError HS803 for a pair that the lab cannot stand in for."""
    wiring = _Wiring(spec)
    witness = wiring.place_witness()
    return Topology(
        cluster=spec.cluster,
        bridges=tuple(wiring.bridges()),
        machines=(*wiring.nodes(), wiring.client(), *wiring.witness_machine()),
        links={link.name: wiring.bridge_of_role(link.nic) for link in spec.links},
        vip=first_address(spec),
        witness=witness,
        share=spec.witness.path if isinstance(spec.witness, ShareWitness) else "",
    )


class _Wiring:
    """Collects networks and addresses on the way from Spec to Topology."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.networks: dict[str, list[Network]] = {}
        self.used = {ip_interface(nic.address).ip for node in spec.nodes for nic in node.nics.values()}
        self.used |= {ip_interface(ip.address).ip for ip in self.vips()}
        self.used |= {ip_address(a) for a in spec.policy.isolation.addresses}
        self.witness_at: tuple[str, Interface] | None = None
        self.extra: dict[str, Interface] = {}
        """Address of a node's additional NIC, where the witness has a network of its own."""
        for node in spec.nodes:
            if node.name in ("client", "witness") or node.alias in ("client", "witness"):
                raise _unfit(
                    f"the server name {node.name} ({node.alias}) is taken by the lab", "rename the server"
                )
            for role, nic in node.nics.items():
                self._join(role, ip_interface(nic.address).network)
        for ip in self.vips():
            self._join(ip.nic, ip_interface(ip.address).network)

    def bridge_of_role(self, role: str) -> str:
        """Roles whose nodes share a subnet share a bridge; it is named after its first role."""
        network = ip_interface(self.spec.nodes[0].nics[role].address).network
        return next(name for name, networks in self.networks.items() if network in networks)

    def bridges(self) -> Iterator[Bridge]:
        isolation = [ip_address(a) for a in self.spec.policy.isolation.addresses]
        for number, (name, networks) in enumerate(self.networks.items()):
            own = tuple(f"{a}/{n.prefixlen}" for n in networks for a in isolation if a in n)
            yield Bridge(
                name=name,
                device=f"br{number}",
                mac=self._mac(255, number),
                networks=tuple(map(str, networks)),
                addresses=own,
            )

    def nodes(self) -> Iterator[Machine]:
        for index, node in enumerate(self.spec.nodes):
            ports = [
                self._port(index, number, self.bridge_of_role(role), nic.name, nic.address)
                for number, (role, nic) in enumerate(node.nics.items())
            ]
            if node.name in self.extra:
                address = str(self.extra[node.name])
                ports.append(self._port(index, len(ports), "witness", "witness0", address))
            yield Machine(name=node.name, alias=node.alias, kind="node", ports=tuple(ports))

    def client(self) -> Machine:
        seen = dict.fromkeys(self.bridge_of_role(ip.nic) for ip in self.vips()) or {"service": None}
        ports = [
            self._port(2, number, bridge, f"eth{number}", *map(str, map(self._free, self.networks[bridge])))
            for number, bridge in enumerate(b for b in seen if b in self.networks)
        ]
        return Machine(name="client", kind="client", ports=tuple(ports))

    def place_witness(self) -> WitnessPlan | None:
        witness = self.spec.witness
        if not isinstance(witness, HttpWitness):
            return None
        url = urlsplit(witness.url)
        try:
            address = ip_address(url.hostname or "")
        except ValueError:
            raise _unfit(
                f"the witness {witness.url} is named by host name", "give its IP address: a lab has no DNS"
            ) from None
        if url.scheme != "http":
            raise _unfit(
                f"the lab's witness speaks http, the manifest says {witness.url}", "use http:// in a lab"
            )
        if address in self.used:
            raise _unfit(
                f"{address} of the witness is in use by the pair itself", "give the witness its own address"
            )
        token_file = witness.token.file
        if not token_file or not PurePosixPath(token_file).is_relative_to(DURABLE[0]):
            raise _unfit(
                f"the lab puts the witness token into a file on each node, below {DURABLE[0]}",
                f"write token: {{file: {DURABLE[0]}/witness.token}}",
            )
        self.used.add(address)
        self._place(address)
        port = url.port or 80
        host = f"[{address}]" if address.version == 6 else str(address)
        return WitnessPlan(listen=f"{host}:{port}", token_file=token_file)

    def witness_machine(self) -> Iterator[Machine]:
        if self.witness_at is not None:
            bridge, address = self.witness_at
            yield Machine(
                name="witness", kind="witness", ports=(self._port(3, 0, bridge, "eth0", str(address)),)
            )

    def _place(self, address: object) -> None:
        for name, networks in self.networks.items():
            for network in networks:
                if address in network:
                    self.witness_at = name, ip_interface(f"{address}/{network.prefixlen}")
                    return
        prefix = 64 if ip_address(str(address)).version == 6 else 24
        own = ip_interface(f"{address}/{prefix}")
        self.networks["witness"] = [own.network]
        self.witness_at = "witness", own
        self.extra = {node.name: self._free(own.network) for node in self.spec.nodes}

    def vips(self) -> tuple[Ip, ...]:
        return _vips(self.spec)

    def _join(self, role: str, network: Network) -> None:
        """A role's further networks (an IPv6 VIP) share its bridge; a known network brings its own bridge."""
        if not any(network in networks for networks in self.networks.values()):
            self.networks.setdefault(role, []).append(network)

    def _free(self, network: Network) -> Interface:
        """The highest address nobody has: the low ones are what people write into manifests."""
        top = int(network.broadcast_address) - (1 if network.version == 4 else 0)
        for number in range(top, int(network.network_address), -1):
            address = ip_address(number)
            if address not in self.used:
                self.used.add(address)
                return ip_interface(f"{address}/{network.prefixlen}")
        raise _unfit(f"no address is left in {network} for the lab's client", "use a wider network in a lab")

    def _port(self, machine: int, number: int, bridge: str, device: str, *addresses: str) -> Port:
        mac = self._mac(machine, number)
        return Port(name=f"m{machine}p{number}", device=device, mac=mac, bridge=bridge, addresses=addresses)

    def _mac(self, machine: int, number: int) -> str:
        """The same at each boot: a replaced network card would be another story than a reboot."""
        seed = hashlib.sha256(self.spec.cluster.encode()).hexdigest()
        return f"02:{seed[:2]}:{seed[2:4]}:{seed[4:6]}:{machine:02x}:{number:02x}"


def first_address(spec: Spec) -> str:
    """The pair's first VIP without its prefix; empty: it has none."""
    return next((str(ip_interface(ip.address).ip) for ip in _vips(spec)), "")


def _vips(spec: Spec) -> tuple[Ip, ...]:
    return tuple(r for r in spec.group.resources if isinstance(r, Ip))


def _unfit(message: str, hint: str) -> LabError:
    return LabError(message, hint=hint, code="HS803")
