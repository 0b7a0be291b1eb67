"""Rules on times: the arithmetic under which the lease protocol is safe and does not cry wolf."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hsorch.manifest.diagnostics import Severity
from hsorch.manifest.model import DRIFT_PPM, Policy
from hsorch.manifest.rules.table import Finding, Rule, Scene, value
from hsorch.manifest.units import milliseconds, shown
from hsorch.spec import NoWitness

_TIMES = ("start_limit", "stop_limit", "interval", "timeout", "lease", "fence", "suspect", "witness_timeout")
SHORTEST_INTERVAL, LONGEST_TIMEOUT = 200, 60_000
"""Of checks, in milliseconds."""


def times_are_positive(scene: Scene) -> Iterator[Finding]:
    """A limit of nothing can't be kept; a fence budget of nothing promises the impossible."""
    sections = {name: scene.data.get(name, {}) for name in ("links", "group", "policy")}
    for path in _times(sections, ()):
        message = f"`{path[-1]}` is zero"
        yield Finding(at=value(*path), message=message, hint="give it some time, for example 500ms")


def _times(node: Any, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    if isinstance(node, Mapping):
        for name, item in node.items():
            here = (*path, name)
            if name in _TIMES and isinstance(item, str) and milliseconds(item) == 0:
                yield here
            elif path[-1:] != ("environment",):
                yield from _times(item, here)


def witness_can_answer_within_the_lease(scene: Scene) -> Iterator[Finding]:
    """The active server asks the witness after `suspect`; the answer must come before its lease ends."""
    policy = scene.cluster.policy
    if policy.suspect + policy.witness_timeout >= policy.lease:
        message = (
            f"suspect {shown(policy.suspect)} + witness timeout {shown(policy.witness_timeout)} "
            f"is not below the lease of {shown(policy.lease)}"
        )
        room = policy.suspect + policy.witness_timeout
        hint = (
            f"make the lease longer than {shown(room)}, or suspect shorter: else every cut link is an outage"
        )
        yield Finding(at=value("policy", _written(scene, "lease", "suspect")), message=message, hint=hint)


def lease_survives_lost_heartbeats(scene: Scene) -> Iterator[Finding]:
    """A lease is renewed by heartbeats: fewer than four tries in its length lose it by chance."""
    lease = scene.cluster.policy.lease
    for link in scene.cluster.links:
        if link.interval * 4 > lease:
            message = f"link `{link.name}` beats every {shown(link.interval)}, the lease lasts {shown(lease)}"
            hint = f"beat at least four times in a lease: interval {shown(lease // 4)} or less"
            place = value("links", link.name, "interval")
            yield Finding(at=place, message=message, hint=hint)


def one_lost_heartbeat_is_no_suspicion(scene: Scene) -> Iterator[Finding]:
    """REQ-C05."""
    suspect = scene.cluster.policy.suspect
    for link in scene.cluster.links:
        if 0 < suspect < 2 * link.interval:
            message = (
                f"the peer is suspected after {shown(suspect)}, link `{link.name}` beats every "
                f"{shown(link.interval)}: one lost heartbeat is enough"
            )
            hint = f"suspect after {shown(2 * link.interval)} or more, or beat more often"
            place = value("policy", _written(scene, "suspect", "timing"))
            yield Finding(at=place, message=message, hint=hint)


def checks_have_sane_times(scene: Scene) -> Iterator[Finding]:
    """A check runs on the active server all the time; one that never gives up hides what it should find."""
    for resource in scene.cluster.group.resources:
        health = resource.health
        written = _health_at(scene, resource.path)
        if 0 < health.interval < SHORTEST_INTERVAL:
            yield Finding(
                at=value(*written, "interval"),
                message=f"`{resource.name}` is checked every {shown(health.interval)}",
                hint=f"{shown(SHORTEST_INTERVAL)} or more: else the checks are the load, 1s is usual",
            )
        if health.timeout > LONGEST_TIMEOUT:
            yield Finding(
                at=value(*written, "timeout"),
                message=f"a check of `{resource.name}` may take {shown(health.timeout)}",
                hint=f"{shown(LONGEST_TIMEOUT)} or less: so long a service that hangs counts as healthy",
            )


def _health_at(scene: Scene, path: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Programs and services say it in `probe`, scripts in their own section."""
    node: Any = scene.data
    for part in path:
        node = node[part]
    return (*path, "probe") if isinstance(node, Mapping) and "probe" in node else path


def detection_time_is_known(scene: Scene) -> Iterator[Finding]:
    """What the times add up to; the derivation is in docs/protocol.md (the standby's wait)."""
    if isinstance(scene.cluster.witness, NoWitness):
        return
    policy = scene.cluster.policy
    message = (
        f"a crash of the active server is answered after {shown(standby_wait(policy))} at most, "
        f"plus the start of the group"
    )
    hint = "lease + fence + slack decide; `timing: fast` shortens all of them"
    yield Finding(at=value("policy", "timing"), message=message, hint=hint)


def standby_wait(policy: Policy) -> int:
    """Milliseconds from the last grant until the standby may act: (L+F)(1+ρ)/(1−ρ) + ε."""
    numerator = (policy.lease + policy.fence) * (1_000_000 + DRIFT_PPM)
    return -(-numerator // (1_000_000 - DRIFT_PPM)) + policy.slack


def _written(scene: Scene, first: str, second: str) -> str:
    """The key to point at: the first one that stands in the manifest."""
    policy = scene.data.get("policy", {})
    return first if first in policy or second not in policy else second


RULES = (
    Rule("HS330", Severity.ERROR, ("policy",), witness_can_answer_within_the_lease),
    Rule("HS331", Severity.ERROR, ("policy", "links"), lease_survives_lost_heartbeats),
    Rule("HS332", Severity.ERROR, ("links", "group", "policy"), times_are_positive),
    Rule("HS333", Severity.WARNING, ("policy", "links"), one_lost_heartbeat_is_no_suspicion),
    Rule("HS335", Severity.WARNING, ("group",), checks_have_sane_times),
    Rule("HS334", Severity.INFO, ("policy", "witness"), detection_time_is_known),
)
