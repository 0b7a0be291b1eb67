"""What differs on each node itself: the runtime, membership, the service; and what moved by itself (drift).

Pure: Facts in, a list of needs and items out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hsorch.node.deployment.wire import Facts
from hsorch.plan.model import Action, Item, NodeState
from hsorch.plan.observe import Observation
from hsorch.spec import Spec


@dataclass(frozen=True, slots=True)
class NodeNeeds:
    """What is to be done on one node."""

    install: bool = False
    enroll: bool = False
    pin: bool = False
    """Its peer's certificate for the data channel is not the one that it trusts."""
    commit: bool = False
    start: bool = False
    """Install the service, start it, or both."""
    reload: bool = False
    """The agent runs, on another spec than the one that is, or is to be, committed."""
    restart: bool = False
    """It runs, but on another runtime, or its agent gives no answer."""

    @property
    def any(self) -> bool:
        return any((self.install, self.enroll, self.pin, self.commit, self.start, self.reload, self.restart))


def target_revision(seen: Mapping[str, Observation], digest: str) -> int:
    """Of the desired spec. A commit that reached one node only is completed under its own number."""
    committed = [(f.spec.revision, f.digest) for o in seen.values() if (f := o.facts) and f.spec]
    newest = max((revision for revision, _ in committed), default=0)
    done = {found for revision, found in committed if revision == newest} == {digest}
    return newest if done else newest + 1


def needs(
    seen: Mapping[str, Observation], runtime: str, revision: int, digest: str, *, replicates: bool = False
) -> dict[str, NodeNeeds]:
    """By node. revision, digest, replicates: of the desired spec, which both nodes must hold."""
    facts = {name: observation.facts for name, observation in seen.items()}
    odd_keys = len({f.key for f in facts.values() if f and f.key}) > 1
    found = {name: _needs_of(f, runtime, odd_keys, (revision, digest)) for name, f in facts.items()}
    if replicates:
        found = {name: replace(need, pin=_is_stranger(facts, name)) for name, need in found.items()}
    return found


def _is_stranger(facts: Mapping[str, Facts | None], name: str) -> bool:
    mine = facts[name]
    theirs = next((f for other, f in facts.items() if other != name), None)
    return mine is None or theirs is None or not theirs.channel or mine.channel_peer != theirs.channel


def _needs_of(facts: Facts | None, runtime: str, odd_keys: bool, wanted: tuple[int, str]) -> NodeNeeds:
    if facts is None:
        return NodeNeeds(install=True, enroll=True, commit=True, start=True)
    enroll = facts.identity is None or not facts.key or odd_keys
    agent, running = facts.agent, facts.service == "running"
    restart = running and (enroll or agent is None or facts.running != runtime)
    return NodeNeeds(
        install=facts.runtime != runtime,
        enroll=enroll,
        commit=facts.spec is None or (facts.spec.revision, facts.digest) != wanted,
        start=not running,
        reload=agent is not None and not restart and (agent.revision, agent.digest) != wanted,
        restart=restart,
    )


def node_items(
    seen: Mapping[str, Observation], wanted: Mapping[str, NodeNeeds], runtime: str
) -> tuple[Item, ...]:
    """What apply brings to nodes that never had it, or had an older runtime."""
    items: list[Item] = []
    for name, need in wanted.items():
        facts = seen[name].facts
        if need.install:
            before = facts.runtime if facts else ""
            impact = "restart" if need.restart else "live"
            action = Action.CHANGE if before else Action.ADD
            items.append(
                Item(address=f"{name}.runtime", action=action, before=before, after=runtime, impact=impact)
            )
        if facts is None or facts.identity is None:
            items.append(
                Item(address=f"{name}.membership", action=Action.ADD, after="identity and cluster key")
            )
        if need.pin:
            action = Action.CHANGE if facts and facts.channel_peer else Action.ADD
            items.append(Item(address=f"{name}.channel", action=action, after="the peer's key is trusted"))
        if facts is None or facts.service == "absent":
            kind = "systemd unit" if facts and facts.machine.systemd else "on-boot script"
            items.append(Item(address=f"{name}.service", action=Action.ADD, after=kind))
    return tuple(items)


def drift(seen: Mapping[str, Observation], spec: Spec) -> tuple[Item, ...]:
    """What is not as the last apply left it. A node that was never enrolled has not drifted."""
    items: list[Item] = []
    known = {n: o.facts for n, o in seen.items() if o.facts is not None and o.facts.identity is not None}
    newest = max((f.spec.revision for f in known.values() if f.spec), default=0)
    keys = {facts.key for facts in known.values()}
    for name, facts in known.items():
        if not facts.key:
            items.append(_changed(name, "key", "missing or readable by others", "in place, 0600"))
        elif len(keys - {""}) > 1:
            items.append(_changed(name, "key", f"{facts.key}, not the peer's", "the same on both nodes"))
        if newest and (facts.spec is None or facts.spec.revision != newest):
            before = str(facts.spec.revision) if facts.spec else facts.trouble or "none"
            items.append(_changed(name, "revision", before, f"{newest} or newer, the same on both nodes"))
        elif len({f.digest for f in known.values() if f.spec and f.spec.revision == newest}) > 1:
            items.append(
                _changed(name, "spec", f"{facts.digest[:12]}, not the peer's", "the same on both nodes")
            )
        if facts.service == "stopped":
            items.append(_changed(name, "service", "stopped", "running"))
        elif facts.service == "running" and facts.agent is None:
            items.append(_changed(name, "agent", "gives no answer", "answers"))
        elif facts.agent and facts.spec and facts.agent.revision != facts.spec.revision:
            before = f"runs revision {facts.agent.revision}"
            items.append(_changed(name, "agent", before, f"revision {facts.spec.revision} as committed"))
        items += _stray_addresses(name, facts, spec)
    return tuple(items)


def _stray_addresses(name: str, facts: Facts, spec: Spec) -> list[Item]:
    """A service address on a node whose agent does not hold the group there (REQ-D28)."""
    ours = {r.address for r in spec.group.resources if hasattr(r, "address")}
    held = {address for addresses in facts.machine.nics.values() for address in addresses}
    acting = facts.agent is not None and any(r.status != "stopped" for r in facts.agent.resources)
    stray = [] if acting else sorted(ours & held)
    return [
        _changed(name, "address", f"{a} without an owner", "removed when the agent starts") for a in stray
    ]


def _changed(node: str, what: str, before: str, after: str) -> Item:
    return Item(address=f"{node}.{what}", action=Action.CHANGE, before=before, after=after)


def node_state(observation: Observation) -> NodeState:
    """What a saved plan remembers of a node."""
    facts = observation.facts
    if facts is None:
        return NodeState(exists=False)
    return NodeState(
        runtime=facts.runtime,
        cluster_id=facts.identity.cluster_id if facts.identity else "",
        key=facts.key,
        channel=facts.channel,
        channel_peer=facts.channel_peer,
        revision=facts.spec.revision if facts.spec else 0,
        digest=facts.digest,
        service=facts.service,
        group_in=facts.agent is not None and facts.agent.desired == "in",
    )
