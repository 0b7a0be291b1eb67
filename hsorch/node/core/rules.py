"""Every safety rule of the failover protocol, one small pure function each (docs/protocol.md).

Nothing here changes state. A rule is decided here and nowhere else, and is always called through this
module, so that a test can weaken one and show that something then breaks. Numbers in brackets are the
rules of docs/protocol.md.
"""

from __future__ import annotations

from hsorch.node.core import clock_rules, data_rules, facts
from hsorch.node.core.state import NEVER, SECOND, Peer, Phase, State, Timing
from hsorch.node.core.types import (
    Beat,
    Config,
    Epoch,
    Instant,
    NodeName,
    Span,
    WitnessAnswer,
    WitnessOutcome,
)
from hsorch.spec import Policy

FAILED_HOLD, PROVEN = Span(60 * SECOND), Span(30 * SECOND)

# ------------------------------------------------------------------------------------------- the lease


def lease_end(sent: Instant, received: Instant, length: Span) -> Instant:
    """[1] A lease runs from the send time of its request. Not from `received`, when the grant came:
    counted from there a slow answer would outlive the standby's wait."""
    return Instant(sent + length)


def standby_wait(timing: Timing, hold: int = 0) -> Span:
    """[2] W_b = (L+F)(1+ρ)/(1−ρ)+ε, rounded up. Proof in docs/protocol.md.

    hold: L+F of the holder, by its own word; it counts if it is longer (another spec runs there).
    """
    million = 1_000_000
    held = max(timing.lease + timing.fence, hold) * (million + timing.drift_ppm)
    return Span(-(-held // (million - timing.drift_ppm)) + timing.slack)


def wait_starts(now: Instant) -> Instant:
    """[2] A new run may have forgotten a grant of the last one, and an adopted config may have been
    acted upon: both start the whole wait."""
    return now


def wait_over(state: State, now: Instant) -> bool:
    """[2] Every lease this node ever granted has ended, effects included."""
    return state.lease.released or now >= state.lease.waits_from + state.lease.waits


def may_grant(state: State, beat: Beat, now: Instant) -> bool:
    """[1] Only for the config both hold, only to a holder that hears us, never with effects here."""
    return (
        beat.config == state.durable.config
        and beat.config.holder == beat.sender
        and not beat.config.solo
        and not facts.acting(state)
        and not state.broken
        and facts.heard_by_peer(state, now)
        and no_open_proposal(state)
    )


def no_open_proposal(state: State) -> bool:
    """[1] A proposal may win at the witness at any later time: until it is resolved nothing is granted."""
    return not state.witness.proposed


def exclusive(config: Config, me: NodeName) -> bool:
    """[6] SOLO(me) needs nobody's leave."""
    return config.solo and config.holder == me


def may_act(state: State, now: Instant) -> bool:
    """[1, 6] Effects may begin: exclusive, or under a running lease of the present config."""
    lease = state.lease
    leased = facts.is_holder(state) and lease.proven and now < lease.until
    return leased or exclusive(state.durable.config, state.me)


def lease_over(state: State, now: Instant) -> bool:
    """[5] Effects without an exclusive config end with the lease."""
    return not exclusive(state.durable.config, state.me) and now >= state.lease.until


def watchdog_until(sent: Instant, length: Span, timing: Timing) -> Instant:
    """[5] The watchdog fires after the agent should have fenced and before F is used up."""
    return Instant(sent + length + timing.fence // 2)


def adoption_limit(started: Instant, timing: Timing) -> Instant:
    """[10] A restarted agent must prove its lease again at once; the watchdog stays armed meanwhile."""
    return Instant(started + timing.suspect)


def effects_gone(ok: bool) -> bool:
    """[5] Only a verified fence ends the effects (and disarms the watchdog)."""
    return ok


# --------------------------------------------------------------------------------------------- messages


def newer(beat: Beat, peer: Peer) -> bool:
    """[10] Beats of one node are ordered by (incarnation, seq); what is older, or seen, is dropped."""
    return (beat.incarnation, beat.seq) > (peer.incarnation, peer.seq)


def fresh(beat: Beat, incarnation: int) -> bool:
    """[10] Only an answer to this run of ours proves that a beat is not a recording."""
    return beat.echo_incarnation == incarnation


def from_our_future(beat: Beat, incarnation: int, seq: int) -> bool:
    """[10] The peer has heard a later self of ours: this node was set back to an old image."""
    return (beat.echo_incarnation, beat.echo_seq) > (incarnation, seq)


def releases(state: State, beat: Beat) -> bool:
    """[9, 10] A holder on a new boot, or one that left for good, has no effects of the last lease."""
    old = state.peer.beat
    return (old is not None and beat.boot != old.boot) or (beat.leaving and not beat.acting)


# ------------------------------------------------------------------------------------ epochs and configs


def supersedes(theirs: Config, mine: Config, stays: NodeName) -> bool:
    """[4] The higher epoch wins. Two configs of one epoch exist only by an operator's force or by the
    isolation heuristic: then the node that `on_conflict` names stays."""
    if theirs.epoch != mine.epoch:
        return theirs.epoch > mine.epoch
    return theirs != mine and theirs.holder == stays


def pair_change(config: Config, me: NodeName) -> Epoch:
    """[4] The next minor: even ones are the holder's to write, odd ones the standby's, so that no epoch
    has two authors. The major stays: only the witness decides majors."""
    minor = config.epoch.minor + 1
    odd = config.holder != me
    return Epoch(config.epoch.major, minor + (minor % 2 != odd))


def won(config: Config, major: int, owner: NodeName) -> Config:
    """[4] What the register of a major says: its owner is alone."""
    return Config(epoch=Epoch(major, 0), holder=owner, solo=True)


def has_vote(config: Config) -> bool:
    """[6] Only PAIR gives the standby a vote: under SOLO it must not ask the witness."""
    return not config.solo


def evidence_after_skip() -> bool:
    """[8] After leaving a burnt register behind, nothing is known of the peer's major."""
    return False


def may_hand_over(state: State, now: Instant) -> bool:
    """[9] PAIR(peer) is written only with the effects verified gone and no proposal of ours open."""
    beat = facts.peer_beat(state, now)
    return (
        state.group.phase is Phase.OFF
        and facts.is_holder(state)
        and no_open_proposal(state)
        and not state.broken
        and beat is not None
        and beat.config.epoch.major == state.durable.config.epoch.major
    )


def may_open_pair(state: State, now: Instant) -> bool:
    """[6] Rejoin: the exclusive node writes PAIR first; the follower gets its vote by adopting that.
    Not while the loss of the peer could then not be decided (no witness, maintenance)."""
    if not exclusive(state.durable.config, state.me) or state.broken or state.leaving:
        return False
    beat = facts.in_step(state, now)
    return (
        beat is not None
        and not beat.acting
        and not beat.leaving
        and facts.contact_lasts(state, now)
        and facts.heard_by_peer(state, now)
        and not state.durable.intent.maintenance
        and facts.has_witness(state)
        and data_rules.joined(state, beat)
        and ((state.witness.ok and beat.witness_ok) or state.spec.policy.witness_lost == "require_both")
    )


def may_give_up_vote(state: State, now: Instant) -> bool:
    """[7] The standby gives up first, by its own durable word; the holder becomes exclusive by reading it.
    When no witness can decide, in maintenance, when its data do not follow, or before the standby leaves."""
    beat = _led(state, now)
    if beat is None or not has_vote(state.durable.config):
        return False
    if state.leaving or state.durable.intent.maintenance or data_rules.given_up(state, beat, now):
        return True
    return witness_given_up(state, beat, now)


def may_lead_past(state: State, now: Instant) -> bool:
    """[7, 11] The replicator of this standby has heard of an epoch that neither node knows: the standby leads
    the pair above it. As it keeps no vote there, that says nothing but that the holder may act alone."""
    beat = _led(state, now)
    return beat is not None and data_rules.shut_out(state, beat, now)


def _led(state: State, now: Instant) -> Beat | None:
    """[7, 8] Beat of a holder that this standby can lead into another config: it uses no right of its own,
    and no answer on its way can bring it one."""
    if facts.is_holder(state) or state.broken or facts.acting(state) or not no_open_proposal(state):
        return None
    return facts.in_step(state, now) if facts.contact_lasts(state, now) else None


def witness_given_up(state: State, beat: Beat, now: Instant) -> bool:
    """[7] There is no witness, or both nodes have been without it for long enough."""
    if state.spec.policy.witness_lost == "require_both":
        return False
    if not facts.has_witness(state):
        return True
    lost = state.witness.lost_since
    return lost != NEVER and now - lost >= state.timing.witness_lost and not beat.witness_ok


def may_skip_major(state: State, now: Instant) -> bool:
    """[8] The standby's proposal is unresolved and the witness is silent: the holder may lead both to
    major+2, where that proposal means nothing. Nobody acts meanwhile."""
    if not facts.is_holder(state) or state.witness.lost_since == NEVER or facts.acting(state):
        return False
    beat = facts.peer_beat(state, now)
    return (
        has_vote(state.durable.config)
        and not state.broken
        and beat is not None
        and beat.proposed
        and not beat.acting
        and beat.config.epoch.major == state.durable.config.epoch.major
        and facts.contact_lasts(state, now)
    )


def may_retire_register(state: State, now: Instant) -> bool:
    """[8] The register of major+1 names this standby, which forgot it and has granted again: it leads the
    pair to major+2, else the holder could never survive the loss of the standby."""
    beat = _led(state, now)
    free = beat is not None and not beat.proposed
    return free and has_vote(state.durable.config) and owns_next_register(state)


def owns_next_register(state: State) -> bool:
    """The register of major+1 is known to name this node."""
    return state.witness.owner == state.me and state.witness.major == state.durable.config.epoch.major + 1


# ------------------------------------------------------------------------------- proposing and taking over


def may_propose(state: State, now: Instant) -> bool:
    """[3, 4] Ask the witness for major+1. The holder once its requests go unanswered; the standby only
    when its wait is over, the holder is gone, and nothing speaks against this node."""
    if not (has_vote(state.durable.config) and state.durable.evidence and facts.has_witness(state)):
        return False
    if state.leaving or not start_wait_over(state, now) or not store_proven(state, now):
        return False
    if not clock_rules.listened(state, now):
        return False
    if facts.is_holder(state):
        return unanswered(state, now) and not prefers_peer(state)
    free = facts.wanted(state) and wait_over(state, now) and holder_gone(state, now)
    return free and not why_not_take_over(state, now)


def store_proven(state: State, now: Instant) -> bool:
    """[4] The disk took a probe since the silence began: a win that cannot be stored would leave the pair
    without anybody. After a hand-over there was no silence, and a late proof does."""
    proven = state.store_proven
    if state.broken or proven == NEVER or now - proven >= PROVEN:
        return False
    return proven >= facts.silence_counts_from(state) or (state.lease.released and not facts.is_holder(state))


def unanswered(state: State, now: Instant) -> bool:
    """[3] The holder's requests have not been granted for the suspect time (from their send time)."""
    return state.lease.answered != NEVER and now - state.lease.answered >= state.timing.suspect


def prefers_peer(state: State) -> bool:
    """[REQ-G07] An isolated holder leaves the race to a peer that is not isolated."""
    cut_off = state.isolation.isolated or facts.service_down(state)
    return cut_off and state.peer.beat is not None and state.peer.beat.can_take


def holder_gone(state: State, now: Instant) -> bool:
    """[4] Silent, or deaf, or for the suspect time unable to ask for the lease. A holder that has just
    rebooted gets that time to hand over in order."""
    beat = facts.peer_beat(state, now)
    if beat is None or not facts.heard_by_peer(state, now):
        return True
    return not beat.renew and now - state.peer.asked >= state.timing.suspect


def start_wait_over(state: State, now: Instant) -> bool:
    """[8, REQ-G08] After a boot the peer gets time to be heard; it ends as soon as its state is known."""
    return facts.peer_known(state) or now >= state.started + state.timing.start_wait


def why_not_take_over(state: State, now: Instant) -> str:
    """[12, REQ-G13] The first reason against an automatic takeover by this node; empty: none."""
    return data_rules.why_not_take(state) or why_unable(state, now)


def why_unable(state: State, now: Instant) -> str:
    """The first reason why the group could not run here, whatever the data; empty: none."""
    policy = state.spec.policy
    if state.broken:
        return "the state cannot be stored"
    if state.isolation.isolated:
        return "this node is isolated"
    if facts.service_down(state):
        return "the service link is down here"
    if not flap_allowed(state.durable.failovers, facts.wall_seconds(state, now), policy):
        return "too many takeovers"
    if failed_lately(state, now):
        return "the group failed here a short while ago"
    return ""


def failed_lately(state: State, now: Instant) -> bool:
    """[REQ-F11] A node that gave up on the group is no target for a while: no ping-pong."""
    return state.group.failed != NEVER and now - state.group.failed < FAILED_HOLD


def flap_allowed(failovers: tuple[int, ...], wall_s: int, policy: Policy) -> bool:
    """[REQ-G12] At most max_failovers automatic takeovers by this node within the window."""
    recent = sum(1 for at in failovers if (wall_s - at) * 1_000 < policy.failover_window_ms)
    return recent < policy.max_failovers


def plain_answer(answer: WitnessAnswer, trusted: str) -> bool:
    """[3, 5] Only the trusted register says anything, and only when it answers: silence, a refusal or
    another register never confirm."""
    known = not trusted or not answer.witness_id or answer.witness_id == trusted
    return known and answer.outcome is not WitnessOutcome.FAILED


def may_adopt_win(state: State) -> bool:
    """[4] A win is adopted only by the run that proposed: a later one may have granted since."""
    return state.witness.proposed and owns_next_register(state)


def lost_to_peer(state: State) -> bool:
    """[4] The register this node asked for names the peer: it holds no right in this epoch any more."""
    told = state.witness.proposed and state.witness.owner == state.peer_name
    return told and state.witness.major == state.durable.config.epoch.major + 1


def may_trust_new_register(state: State, now: Instant) -> bool:
    """[5] A replaced witness is trusted only while no takeover can be under way: the holder is exclusive
    or has its lease, the standby has just granted and been heard, or has no vote."""
    config = state.durable.config
    if facts.is_holder(state):
        return exclusive(config, state.me) or now < state.lease.until
    recent = now - state.timing.suspect // 2
    granting = state.lease.grants > 0 and min(state.lease.waits_from, state.peer.echoed) > recent
    return facts.in_step(state, now) is not None and (config.solo or granting)


def may_force(state: State, now: Instant) -> bool:
    """[8d] An operator's word replaces the witness, never the wait and never a peer that still acts."""
    beat = facts.peer_beat(state, now)
    return wait_over(state, now) and (beat is None or not beat.acting)


def may_start_alone(state: State, now: Instant) -> bool:
    """[8b] SOLO(me) may start without the peer, after a short chance to hear of a newer epoch."""
    return facts.peer_known(state) or now >= state.started + state.timing.suspect
