"""What the node shows of itself: role, the two lights, what is left of the lease. Decides nothing."""

from __future__ import annotations

from hsorch.node.core import data_rules, facts, rules
from hsorch.node.core.state import NEVER, Phase, State
from hsorch.node.core.types import DataState, Image, Instant, NodeName, Role
from hsorch.spec import IsolationWitness, NoWitness

_HOLDER_ROLES = {
    Phase.CHECKING: Role.STARTING,
    Phase.STARTING: Role.STARTING,
    Phase.STOPPING: Role.RELEASING,
    Phase.FENCING: Role.FENCING,
}


def role(state: State, now: Instant) -> Role:
    """This node's place in the protocol."""
    config, phase = state.durable.config, state.group.phase
    if phase is Phase.FENCING:
        return Role.FENCING
    if config.holder != state.me:
        return _other_role(state, now)
    if phase is Phase.ON:
        return Role.ACTIVE_SOLO if config.solo else Role.ACTIVE
    if phase is not Phase.OFF:
        return _HOLDER_ROLES[phase]
    if not facts.wanted(state):
        return Role.IDLE
    return Role.FENCED if state.lease.proven and not config.solo else Role.STARTING_UP


def _other_role(state: State, now: Instant) -> Role:
    if state.group.phase is not Phase.OFF:
        return Role.RELEASING
    if state.durable.config.solo:
        return Role.OBSERVER
    if state.witness.proposed:
        return Role.PROPOSING
    if facts.heard_lately(state, now):
        return Role.STANDBY
    return Role.SUSPECT if rules.wait_over(state, now) else Role.WAITING


def active(state: State, now: Instant) -> NodeName:
    """Node with effects, as this node knows it; empty: none known."""
    return facts.active_node(state, now)


def up(state: State, now: Instant) -> bool:
    """The group answers here or at the peer."""
    if state.group.phase is Phase.ON:
        return True
    beat = facts.peer_beat(state, now)
    return beat is not None and beat.role in (Role.ACTIVE, Role.ACTIVE_SOLO)


def protected(state: State, now: Instant) -> bool:
    """A crash of the active node would be survived now, without an operator."""
    beat = facts.in_step(state, now)
    if beat is None or not up(state, now) or not facts.wanted(state) or state.durable.config.solo:
        return False
    if facts.is_holder(state):
        able, sees_witness = beat.can_take and _is_followed(state, state.image), beat.witness_ok
    else:
        able = not rules.why_not_take_over(state, now) and _is_followed(state, beat.image)
        sees_witness = state.witness.ok
    return able and sees_witness and facts.heard_by_peer(state, now)


def _is_followed(state: State, source: Image) -> bool:
    return source.level or not facts.replicates(state.spec)


NOT_KNOWN = (-1, -1)


def bound(state: State, now: Instant) -> tuple[int, int]:
    """Bytes and ms that a takeover by this node loses at most (REQ-G03), if the peer ended with its lease.

    The peer may have written until then, and its last word is older, and what it knew was up to FRESH old: so
    the ms are the bound, and the bytes are what its last heartbeat knew of.
    """
    peer, mine = state.peer, state.image
    if data_rules.seen(state) is DataState.COMPLETE:
        return 0, 0
    if peer.beat is None or peer.source_at == NEVER or peer.source.generation != mine.generation:
        return NOT_KNOWN
    silent = min(now - peer.heard, max(peer.beat.hold, state.timing.lease + state.timing.fence))
    known = silent + peer.heard - peer.source_at + data_rules.FRESH
    return max(0, peer.source.lsn - mine.lsn), peer.source.behind_ms + known // 1_000_000


def losing(state: State, lost: tuple[int, int]) -> str:
    """What a takeover by this node loses, as the end of a sentence; empty: nothing is replicated."""
    if not facts.replicates(state.spec):
        return ""
    data, (size, age) = data_rules.seen(state), lost
    if lost == NOT_KNOWN:
        return f"; its data are {data.value}, what is lost is not known"
    if data is DataState.COMPLETE:
        return "; its data are complete: nothing that was confirmed is lost"
    return (
        f"; its data are {data.value}: lost are at most the last {age} ms of {state.peer_name} "
        f"({size} bytes by its last heartbeat)"
    )


def lease_left_ms(state: State, now: Instant) -> int:
    """As holder: until fencing; as standby: until it may propose. 0: none runs."""
    config, lease = state.durable.config, state.lease
    if config.solo:
        return 0
    end = lease.until if config.holder == state.me else lease.waits_from + lease.waits
    if config.holder != state.me and lease.released:
        return 0
    return max(0, end - now) // 1_000_000


def witness_state(state: State) -> str:
    """`none`, `ok`, `unreachable`, `replaced` or `heuristic`."""
    if isinstance(state.spec.witness, NoWitness):
        return "none"
    if isinstance(state.spec.witness, IsolationWitness):
        return "heuristic"
    if state.witness.replaced:
        return "replaced"
    return "ok" if state.witness.ok and state.witness.lost_since == NEVER else "unreachable"
