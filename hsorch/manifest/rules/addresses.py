"""Rules on addresses and networks (REQ-A07, REQ-A08, REQ-D16)."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from itertools import combinations

from hsorch.manifest.diagnostics import Severity
from hsorch.manifest.model import Interface, Nic, Server
from hsorch.manifest.rules.table import Finding, Place, Rule, Scene, key, value

_INTERFACE = re.compile(r"[^\s/\x00]+")


def addresses_differ(scene: Scene) -> Iterator[Finding]:
    """REQ-A07: service, heartbeat and virtual addresses are pairwise distinct."""
    seen: dict[object, Place] = {}
    for place, address in _all(scene):
        if address.ip in seen:
            related = ((seen[address.ip], "first used here"),)
            hint = "give each interface and each virtual address its own address"
            yield Finding(at=place, message=f"{address.ip} is used twice", hint=hint, related=related)
        seen.setdefault(address.ip, place)


def addresses_are_usable(scene: Scene) -> Iterator[Finding]:
    """RFC 1122, RFC 4291: no network, broadcast, multicast, loopback or unspecified address."""
    for place, address in _all(scene):
        reason = _unusable(address)
        if reason:
            hint = "use an address of a host in this network"
            yield Finding(at=place, message=f"{address} is {reason}", hint=hint)


def _unusable(address: Interface) -> str:
    ip, network = address.ip, address.network
    special = (
        (ip.is_unspecified, "the unspecified address"),
        (ip.is_loopback, "a loopback address"),
        (ip.is_multicast, "a multicast address"),
        (
            ip == network.network_address and network.num_addresses > 2,
            f"the address of the network {network}",
        ),
        (
            ip.version == 4 and ip == network.broadcast_address and network.num_addresses > 2,
            f"the broadcast address of {network}",
        ),
    )
    return next((name for applies, name in special if applies), "")


def service_addresses_share_a_subnet(scene: Scene) -> Iterator[Finding]:
    """REQ-A07."""
    servers = [s for s in scene.cluster.servers if "service" in s.nics]
    for first, second in combinations(servers, 2):
        one, other = first.nics["service"].address, second.nics["service"].address
        if one.network != other.network:
            message = f"the service addresses stand in two networks, {one.network} and {other.network}"
            hint = "the virtual address can move only inside one network: re-address, or correct the prefix"
            related = ((_nic_place(first, first.nics["service"]), str(one.network)),)
            yield Finding(
                at=_nic_place(second, second.nics["service"]), message=message, hint=hint, related=related
            )


def vip_is_in_the_subnet_of_its_nic(scene: Scene) -> Iterator[Finding]:
    """REQ-A07."""
    for vip in scene.cluster.group.vips:
        for server in scene.cluster.servers:
            nic = server.nics.get(vip.nic)
            if nic is not None and vip.address.ip not in nic.address.network:
                message = f"{vip.address.ip} is outside {nic.address.network}, the network of its NIC"
                hint = f"choose a free address of {nic.address.network}"
                related = ((_nic_place(server, nic), "the NIC's network"),)
                yield Finding(at=value(*vip.path, "address"), message=message, hint=hint, related=related)
                break


def vip_has_the_prefix_of_its_nic(scene: Scene) -> Iterator[Finding]:
    """REQ-D16: the mask is that of the service address."""
    for vip in scene.cluster.group.vips:
        for server in scene.cluster.servers:
            nic = server.nics.get(vip.nic)
            if nic is None or vip.address.ip not in nic.address.network:
                continue
            if vip.address.network != nic.address.network:
                prefix = nic.address.network.prefixlen
                message = f"prefix /{vip.address.network.prefixlen}, but its NIC has /{prefix}"
                fix = f"{vip.address.ip}/{prefix}"
                related = ((_nic_place(server, nic), "the NIC's network"),)
                yield Finding(
                    at=value(*vip.path, "address"),
                    message=message,
                    hint=f"write {fix}",
                    related=related,
                    fix=fix,
                )
                break


def vip_nic_exists(scene: Scene) -> Iterator[Finding]:
    """A virtual address needs its NIC on both servers."""
    for vip in scene.cluster.group.vips:
        yield from lacking_nic(scene, vip.nic, value(*vip.path, "nic"))


def lacking_nic(scene: Scene, role: str, place: Place) -> Iterator[Finding]:
    """Shared with links: a role that is named must be there on every server."""
    lacking = [s for s in scene.cluster.servers if role not in s.nics]
    if lacking:
        known = dict.fromkeys(known for s in lacking for known in s.nics)
        near = difflib.get_close_matches(role, known, n=1)
        message = f"no NIC `{role}` on {' and '.join(f'`{s.name}`' for s in lacking)}"
        hint = f"did you mean `{near[0]}`?" if near else f"known there: {', '.join(known)}"
        related = tuple((key("servers", s.name, "nics"), f"the NICs of {s.name}") for s in lacking)
        yield Finding(at=place, message=message, hint=hint, related=related, fix=near[0] if near else "")


def subnets_of_a_server_are_disjoint(scene: Scene) -> Iterator[Finding]:
    """REQ-A08: with one network on two NICs the kernel chooses the way out, not the manifest."""
    for server in scene.cluster.servers:
        for first, second in combinations(server.nics.values(), 2):
            if first.address.network.overlaps(second.address.network):
                message = f"NICs `{first.role}` and `{second.role}` of `{server.name}` share a network"
                hint = "put the heartbeat on a network of its own, such as 192.168.50.0/30"
                related = ((_nic_place(server, first), str(first.address.network)),)
                yield Finding(at=_nic_place(server, second), message=message, hint=hint, related=related)


def interfaces_differ(scene: Scene) -> Iterator[Finding]:
    """One interface in two roles is no second path."""
    for server in scene.cluster.servers:
        seen: dict[str, str] = {}
        for nic in server.nics.values():
            if nic.name in seen:
                message = f"interface `{nic.name}` has two roles, {seen[nic.name]} and {nic.role}"
                place = value("servers", server.name, "nics", nic.role, "name")
                related = (
                    (value("servers", server.name, "nics", seen[nic.name], "name"), "first used here"),
                )
                hint = "name the second physical interface"
                yield Finding(at=place, message=message, hint=hint, related=related)
            seen.setdefault(nic.name, nic.role)


def interfaces_have_names_of_linux(scene: Scene) -> Iterator[Finding]:
    """The kernel takes at most 15 bytes, no blank, no slash (IFNAMSIZ)."""
    for server in scene.cluster.servers:
        for nic in server.nics.values():
            if len(nic.name.encode()) > 15 or not _INTERFACE.fullmatch(nic.name):
                message = f"no interface of a Linux server can be called `{nic.name}`"
                place = value("servers", server.name, "nics", nic.role, "name")
                yield Finding(
                    at=place, message=message, hint="`ip -brief link` on the server lists the names"
                )


def roles_are_on_both(scene: Scene) -> Iterator[Finding]:
    """REQ-A05: what one server has for the pair, the other has too."""
    for server in scene.cluster.servers:
        for other in scene.cluster.servers:
            for role in [r for r in other.nics if r not in server.nics]:
                message = f"server `{server.name}` has no NIC `{role}`, `{other.name}` has one"
                related = ((key("servers", other.name, "nics", role), "here"),)
                hint = f"add `{role}` to `{server.name}`, or remove it from `{other.name}`"
                yield Finding(
                    at=key("servers", server.name, "nics"), message=message, hint=hint, related=related
                )


def _all(scene: Scene) -> Iterator[tuple[Place, Interface]]:
    for server in scene.cluster.servers:
        for nic in server.nics.values():
            yield _nic_place(server, nic), nic.address
    for vip in scene.cluster.group.vips:
        yield value(*vip.path, "address"), vip.address


def _nic_place(server: Server, nic: Nic) -> Place:
    return value("servers", server.name, "nics", nic.role, "address")


_BOTH = ("servers", "group")
RULES = (
    Rule("HS310", Severity.ERROR, _BOTH, addresses_differ),
    Rule("HS311", Severity.ERROR, _BOTH, vip_is_in_the_subnet_of_its_nic),
    Rule("HS312", Severity.ERROR, ("servers",), service_addresses_share_a_subnet),
    Rule("HS313", Severity.ERROR, ("servers",), subnets_of_a_server_are_disjoint),
    Rule("HS314", Severity.ERROR, _BOTH, addresses_are_usable),
    Rule("HS315", Severity.ERROR, ("servers",), interfaces_have_names_of_linux),
    Rule("HS316", Severity.ERROR, ("servers",), interfaces_differ),
    Rule("HS317", Severity.ERROR, ("servers",), roles_are_on_both),
    Rule("HS318", Severity.ERROR, _BOTH, vip_nic_exists),
    Rule("HS319", Severity.ERROR, _BOTH, vip_has_the_prefix_of_its_nic),
)
