"""Rules on what the operator wants: risks are named and taken, never slipped in (REQ-G02 to G04, D20)."""

from __future__ import annotations

from collections.abc import Iterator

from hsorch.manifest.diagnostics import Severity
from hsorch.manifest.rules.table import Finding, Rule, Scene, value
from hsorch.spec import IsolationWitness, NoWitness


def complete_may_refuse(scene: Scene) -> Iterator[Finding]:
    """REQ-G02, REQ-G14."""
    if scene.cluster.policy.takeover == "complete":
        message = "with `complete` the standby may refuse to take over after a power loss"
        hint = "`logical` takes over from a consistent state and may lose the last milliseconds"
        yield Finding(at=value("policy", "takeover"), message=message, hint=hint)


def unconditional_is_accepted(scene: Scene) -> Iterator[Finding]:
    """REQ-G04."""
    if scene.cluster.policy.takeover == "unconditional" and "data-loss" not in scene.cluster.accept_risk:
        message = "`unconditional` takes over from whatever data there are"
        hint = "write `takeover: logical`, or accept_risk: [data-loss]"
        yield Finding(at=value("policy", "takeover"), message=message, hint=hint)


def only_logical_asks_before_data_flow_back(scene: Scene) -> Iterator[Finding]:
    """REQ-G05."""
    policy = scene.data.get("policy", {})
    if policy.get("reverse_replication") is False and scene.cluster.policy.takeover != "logical":
        message = f"with `{scene.cluster.policy.takeover}` data always flow back after a takeover"
        hint = "leave `reverse_replication` out, or write `takeover: logical`"
        yield Finding(at=value("policy", "reverse_replication"), message=message, hint=hint)


def virtual_mac_is_local(scene: Scene) -> Iterator[Finding]:
    """IEEE 802: an own address is locally administered (bit 1 set) and unicast (bit 0 clear)."""
    for vip in scene.cluster.group.vips:
        first = int(vip.virtual_mac[:2] or "2", 16)
        if first & 1 or not first & 2:
            kind = "a group address" if first & 1 else "an address that belongs to a manufacturer"
            fix = f"{(first & ~1) | 2:02x}{vip.virtual_mac[2:]}"
            place = value(*vip.path, "virtual_mac")
            yield Finding(at=place, message=f"{vip.virtual_mac} is {kind}", hint=f"write {fix}", fix=fix)


def virtual_mac_is_accepted(scene: Scene) -> Iterator[Finding]:
    """REQ-D20."""
    for vip in scene.cluster.group.vips:
        if vip.virtual_mac and "virtual-mac" not in scene.cluster.accept_risk:
            message = "with a virtual MAC the active server's own address may be unreachable"
            hint = "leave it out (gratuitous ARP does the same), or write accept_risk: [virtual-mac]"
            yield Finding(at=value(*vip.path, "virtual_mac"), message=message, hint=hint)


def accepted_risks_are_taken(scene: Scene) -> Iterator[Finding]:
    """A risk that is accepted and not there hides the day it comes back."""
    cluster = scene.cluster
    taken = {
        "split-brain": isinstance(cluster.witness, IsolationWitness),
        "data-loss": cluster.policy.takeover == "unconditional",
        "virtual-mac": any(vip.virtual_mac for vip in cluster.group.vips),
        "manual-takeover": isinstance(cluster.witness, NoWitness),
    }
    for index, risk in enumerate(cluster.accept_risk):
        if not taken[risk]:
            message = f"risk `{risk}` is accepted, but nothing in this manifest takes it"
            yield Finding(at=value("accept_risk", index), message=message, hint="remove it")


RULES = (
    Rule("HS350", Severity.INFO, ("policy",), complete_may_refuse),
    Rule("HS351", Severity.ERROR, ("policy", "accept_risk"), unconditional_is_accepted),
    Rule("HS358", Severity.WARNING, ("policy",), only_logical_asks_before_data_flow_back),
    Rule("HS353", Severity.ERROR, ("group",), virtual_mac_is_local),
    Rule("HS354", Severity.ERROR, ("group", "accept_risk"), virtual_mac_is_accepted),
    Rule("HS356", Severity.WARNING, ("policy", "group", "witness", "accept_risk"), accepted_risks_are_taken),
)
