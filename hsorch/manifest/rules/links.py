"""Rules on heartbeat links (REQ-C02 to REQ-C04)."""

from __future__ import annotations

from collections.abc import Iterator

from hsorch.manifest.diagnostics import Severity
from hsorch.manifest.rules.addresses import lacking_nic
from hsorch.manifest.rules.table import Finding, Rule, Scene, key, value


def there_is_a_link(scene: Scene) -> Iterator[Finding]:
    """REQ-C03."""
    if not scene.cluster.links:
        hint = "add one link per network, for example `direct: {nic: heartbeat}` and `lan: {nic: service}`"
        yield Finding(at=key("links"), message="no link: the servers cannot hear each other", hint=hint)


def there_is_a_second_link(scene: Scene) -> Iterator[Finding]:
    """REQ-C03."""
    links = scene.cluster.links
    if len(links) == 1:
        message = f"`{links[0].name}` is the only link: one cable is a single point of failure"
        hint = "add a link over another NIC"
        yield Finding(at=key("links", links[0].name), message=message, hint=hint)


def links_take_different_ways(scene: Scene) -> Iterator[Finding]:
    """REQ-C03: links over one NIC fail together."""
    links = scene.cluster.links
    if len(links) > 1 and len({link.nic for link in links}) == 1:
        message = f"all links run over NIC `{links[0].nic}`: they fail together"
        related = ((value("links", links[0].name, "nic"), "the same NIC"),)
        place = value("links", links[1].name, "nic")
        yield Finding(at=place, message=message, hint="run one over another NIC", related=related)


def link_nic_exists(scene: Scene) -> Iterator[Finding]:
    """REQ-C01."""
    for link in scene.cluster.links:
        yield from lacking_nic(scene, link.nic, value("links", link.name, "nic"))


def link_ends_share_a_subnet(scene: Scene) -> Iterator[Finding]:
    """REQ-A08, REQ-C04. The service network has its own rule."""
    for link in scene.cluster.links:
        ends = [(s, s.nics[link.nic]) for s in scene.cluster.servers if link.nic in s.nics]
        if len(ends) != 2 or link.nic == "service":
            continue
        (one, first), (other, second) = ends
        if first.address.network != second.address.network:
            message = (
                f"the ends of link `{link.name}` stand in two networks, "
                f"{first.address.network} and {second.address.network}"
            )
            places = [value("servers", s.name, "nics", link.nic, "address") for s in (one, other)]
            related = ((places[0], one.name), (places[1], other.name))
            hint = "re-address one end, or correct the prefix"
            yield Finding(at=value("links", link.name, "nic"), message=message, hint=hint, related=related)


def link_ports_differ(scene: Scene) -> Iterator[Finding]:
    """Two links on one NIC and port are one socket (REQ-A12)."""
    seen: dict[tuple[str, int], str] = {}
    for link in scene.cluster.links:
        end = (link.nic, link.port)
        if end in seen:
            message = f"links `{seen[end]}` and `{link.name}` both use port {link.port} of NIC `{link.nic}`"
            related = ((key("links", seen[end]), "first used here"),)
            hint = "give one of them another port or another NIC"
            yield Finding(at=value("links", link.name, "port"), message=message, hint=hint, related=related)
        seen.setdefault(end, link.name)


RULES = (
    Rule("HS320", Severity.ERROR, ("links",), there_is_a_link),
    Rule("HS321", Severity.WARNING, ("links",), there_is_a_second_link),
    Rule("HS322", Severity.ERROR, ("links", "servers"), link_nic_exists),
    Rule("HS323", Severity.ERROR, ("links", "servers"), link_ends_share_a_subnet),
    Rule("HS324", Severity.ERROR, ("links",), link_ports_differ),
    Rule("HS325", Severity.WARNING, ("links",), links_take_different_ways),
)
