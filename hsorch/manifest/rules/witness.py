"""Rules on the third vote: it must not share the fate of the servers it judges."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from hsorch.manifest.diagnostics import Severity
from hsorch.manifest.model import Nic
from hsorch.manifest.rules.table import Finding, Place, Rule, Scene, value
from hsorch.spec import HttpWitness, IsolationWitness

_URL: Place = value("witness", "http", "url")


def witness_is_elsewhere(scene: Scene) -> Iterator[Finding]:
    """A witness on one of the two servers dies with it, and its server wins every vote."""
    host = _host(scene)
    for server in scene.cluster.servers:
        addresses = [nic.address.ip for nic in server.nics.values()]
        if host and (_ip(host) in addresses or host.casefold() == server.name.casefold()):
            message = f"the witness stands on `{server.name}`: both are lost in one crash"
            yield Finding(at=_URL, message=message, hint="run it on a third machine")
    if _ip(host) in [vip.address.ip for vip in scene.cluster.group.vips]:
        message = "the witness stands behind the virtual address: it is gone when it is needed"
        yield Finding(
            at=_URL, message=message, hint="run it on a third machine, under that machine's address"
        )


def witness_has_its_own_way(scene: Scene) -> Iterator[Finding]:
    """One switch between the servers and the witness, and a link on it, fail together."""
    address = _ip(_host(scene))
    roles = {nic.role for s in scene.cluster.servers for nic in s.nics.values() if _inside(address, nic)}
    own = {nic.address.ip for s in scene.cluster.servers for nic in s.nics.values()}
    own |= {vip.address.ip for vip in scene.cluster.group.vips}
    for role in sorted(roles if address not in own else ()):
        message = f"the witness stands on the `{role}` network: a failed switch takes both away at once"
        hint = "reach it over a network that carries no link, or have a link on another network too"
        yield Finding(at=_URL, message=message, hint=hint)


def no_witness_is_meant(scene: Scene) -> Iterator[Finding]:
    """Without a third vote a crash cannot be told from a cut: the standby waits for an operator."""
    if scene.data.get("witness", "none") == "none" and "manual-takeover" not in scene.cluster.accept_risk:
        message = "no witness: after a crash of the active server an operator must order the takeover"
        hint = (
            "add `witness: {http: ...}` or `{share: ...}`; if this is meant: accept_risk: [manual-takeover]"
        )
        yield Finding(at=value("witness"), message=message, hint=hint)


def isolation_witness_is_accepted(scene: Scene) -> Iterator[Finding]:
    """Two servers that both reach the gateway but not each other both go on."""
    cluster = scene.cluster
    if not isinstance(cluster.witness, IsolationWitness):
        return
    place = value("witness", "isolation")
    if "split-brain" not in cluster.accept_risk:
        message = "reference addresses are a guess, not a vote: both servers may become active"
        hint = "use an http or share witness, or write accept_risk: [split-brain]"
        yield Finding(at=place, message=message, hint=hint)
    if not cluster.policy.isolation.addresses:
        message = "the isolation witness has no reference address"
        hint = "name at least one in policy.isolation.addresses, for example the gateway"
        yield Finding(at=place, message=message, hint=hint)
    if len({link.nic for link in cluster.links}) < 2:
        message = "the isolation witness needs two links over different NICs"
        yield Finding(at=place, message=message, hint="add a link over another NIC")


def reference_addresses_are_foreign(scene: Scene) -> Iterator[Finding]:
    """REQ-G07: an own address always answers, so it proves nothing."""
    own = {nic.address.ip: s.name for s in scene.cluster.servers for nic in s.nics.values()}
    own |= {vip.address.ip: "the group" for vip in scene.cluster.group.vips}
    for index, text in enumerate(scene.cluster.policy.isolation.addresses):
        owner = own.get(ip_address(text))
        if owner:
            message = f"{text} belongs to {owner}: it answers even when the network is gone"
            place = value("policy", "isolation", "addresses", index)
            yield Finding(at=place, message=message, hint="name the gateway or another machine")


def _inside(address: IPv4Address | IPv6Address | None, nic: Nic) -> bool:
    return address is not None and address in nic.address.network


def _host(scene: Scene) -> str:
    witness = scene.cluster.witness
    if not isinstance(witness, HttpWitness):
        return ""
    try:
        return urlsplit(witness.url).hostname or ""
    except ValueError:
        return ""


def _ip(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


RULES = (
    Rule("HS355", Severity.WARNING, ("witness", "accept_risk"), no_witness_is_meant),
    Rule(
        "HS352", Severity.ERROR, ("witness", "accept_risk", "policy", "links"), isolation_witness_is_accepted
    ),
    Rule("HS357", Severity.ERROR, ("policy", "servers", "group"), reference_addresses_are_foreign),
    Rule("HS360", Severity.WARNING, ("witness", "servers", "group"), witness_has_its_own_way),
    Rule("HS361", Severity.WARNING, ("witness", "servers", "group"), witness_is_elsewhere),
)
