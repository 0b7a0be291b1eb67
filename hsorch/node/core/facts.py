"""Plain facts derived from a State. No rule and no transition lives here."""

from __future__ import annotations

from hsorch.node.core.state import MS, NEVER, SECOND, Phase, State, Timing
from hsorch.node.core.types import Beat, Desired, Instant, NodeName, Span
from hsorch.spec import Ip, NoWitness, Spec


def timing_of(spec: Spec) -> Timing:
    policy = spec.policy
    return Timing(
        interval=Span(min(link.interval_ms for link in spec.links) * MS),
        lease=Span(policy.lease_ms * MS),
        fence=Span(policy.fence_ms * MS),
        suspect=Span(policy.suspect_ms * MS),
        slack=Span(policy.slack_ms * MS),
        drift_ppm=policy.drift_ppm,
        start_wait=Span(policy.start_wait_ms * MS),
        witness_limit=Span(policy.witness_timeout_ms * MS),
        witness_lost=Span(policy.witness_lost_after_ms * MS),
        isolation=Span(policy.isolation.timeout_ms * MS),
    )


def is_holder(state: State) -> bool:
    return state.durable.config.holder == state.me


def acting(state: State) -> bool:
    """Effects may be present on this node."""
    return state.group.phase is not Phase.OFF


def wanted(state: State) -> bool:
    """The operators want the group to run, and to be moved if need be."""
    intent = state.durable.intent
    return intent.desired is Desired.IN and not intent.maintenance


def heard_lately(state: State, now: Instant) -> bool:
    """A fresh beat arrived within the suspect time."""
    return state.peer.beat is not None and now - state.peer.heard < state.timing.suspect


def silence_counts_from(state: State) -> Instant:
    """Half of the suspect time after the peer was heard last, and more than a beat: from here on a proposal
    is made ready."""
    heard = state.lease.answered if is_holder(state) else state.lease.waits_from
    return Instant(heard + max(state.timing.suspect // 2, 3 * state.timing.interval // 2))


def heard_by_peer(state: State, now: Instant) -> bool:
    """The peer's beats prove that it heard us within the suspect time."""
    return state.peer.beat is not None and now - state.peer.echoed < state.timing.suspect


def peer_beat(state: State, now: Instant) -> Beat | None:
    """The peer's newest fresh beat while the contact lasts."""
    return state.peer.beat if heard_lately(state, now) else None


def in_step(state: State, now: Instant) -> Beat | None:
    """The peer's beat while the contact lasts and both hold the same config."""
    beat = peer_beat(state, now)
    return beat if beat is not None and beat.config == state.durable.config else None


def replicates(spec: Spec) -> bool:
    return spec.replication is not None


def has_witness(state: State) -> bool:
    return not isinstance(state.spec.witness, NoWitness)


def service_down(state: State) -> bool:
    """A NIC that carries an address of the group is down here."""
    return bool(state.nics_down) and any(
        isinstance(r, Ip) and r.nic in state.nics_down for r in state.spec.group.resources
    )


def wall_seconds(state: State, now: Instant) -> int:
    return (state.clock.wall + now - state.clock.mono) // SECOND


def peer_known(state: State) -> bool:
    """The peer's state became known in this run: the start wait is over (REQ-G08)."""
    return state.peer.beat is not None


def active_node(state: State, now: Instant) -> NodeName:
    """Who has effects, as this node knows it; empty: nobody known."""
    if acting(state) and state.group.phase is not Phase.FENCING:
        return state.me
    beat = peer_beat(state, now)
    return state.peer_name if beat is not None and beat.acting else ""


def contact_lasts(state: State, now: Instant) -> bool:
    """The peer has been heard without a break for the suspect time."""
    peer = state.peer
    return heard_lately(state, now) and peer.since is not NEVER and now - peer.since >= state.timing.suspect
