"""Heartbeats: what is believed of a received beat, what a sent one says, and the health of the links.

A beat is the whole public state of a node, so that loss and order do not matter. The lease rides on it:
lease.py does the two ends of that.
"""

from __future__ import annotations

from msgspec.structs import replace

from hsorch.node.core import data_rules, epoch, facts, group, lease, rules
from hsorch.node.core.actions import Send, Severity
from hsorch.node.core.report import role
from hsorch.node.core.shown import LinkStat
from hsorch.node.core.state import NEVER, LinkMemory, Phase, State
from hsorch.node.core.turn import Turn
from hsorch.node.core.types import Beat, DataState, Instant, Received, Rejected
from hsorch.spec import WIRE


def received(turn: Turn, event: Received) -> None:
    beat, state = event.beat, turn.state
    if beat.sender != state.peer_name or beat.cluster != state.spec.cluster or beat.wire != WIRE:
        rejected(turn, Rejected(link=event.link, why=f"from {beat.sender} of cluster {beat.cluster}"))
        return
    _count(turn, event.link, beat)
    if rules.from_our_future(beat, state.durable.incarnation, state.seq):
        _set_back(turn, beat)
        return
    if not rules.newer(beat, state.peer):
        return
    if rules.fresh(beat, state.durable.incarnation):
        _believe(turn, beat)
        return
    if beat.incarnation != state.peer.incarnation:
        # A new run of the peer: answer at once, so that its next beat is fresh. A grant names a beat of the
        # old run by number; echoed to the new one it would grant whichever beat bears that number there.
        turn.set(due=turn.now)
        turn.lease(grants=0)
    turn.set(peer=replace(state.peer, incarnation=beat.incarnation, seq=beat.seq))


def rejected(turn: Turn, event: Rejected) -> None:
    """Count a frame that is not for the protocol; say so once per link and reason."""
    links = tuple(
        replace(link, rejected=link.rejected + 1) if link.name == event.link else link
        for link in turn.state.links
    )
    first = any(link.name == event.link and link.rejected == 1 for link in links)
    turn.set(links=links)
    if first:
        turn.emit(
            Severity.WARNING,
            "beat_rejected",
            f"a heartbeat on link {event.link} was rejected: {event.why}",
            "HS730",
            link=event.link,
        )


def send_if_due(turn: Turn) -> None:
    """Send when the interval is over, or at once when something changed that the peer must know."""
    state, now = turn.state, turn.now
    shown = _told_at_once(state, now)
    if state.left or (now < state.due and shown == state.shown):
        return
    seq = state.seq + 1
    lease.note_request(turn, seq)
    due = Instant(now + state.timing.interval) if now >= state.due else state.due
    turn.set(seq=seq, due=due, shown=shown)
    turn.do(Send(beat=_compose(turn.state, seq, now)))


def watch_links(turn: Turn) -> None:
    """Links that fell silent are down (REQ-C05)."""
    state, now = turn.state, turn.now
    for link in state.links:
        if link.up and now - link.heard >= link.timeout:
            _replace_link(turn, replace(link, up=False))
            turn.emit(
                Severity.WARNING, "link_down", f"link {link.name}: nothing heard", "HS720", link=link.name
            )


# ------------------------------------------------------------------------------------------- receiving


def _believe(turn: Turn, beat: Beat) -> None:
    """A fresh and newest beat: update what is known of the peer and both ends of the lease."""
    state, now = turn.state, turn.now
    peer = state.peer
    old = peer.beat
    broken_off = not facts.heard_lately(state, now)
    restarted = old is None or old.incarnation != beat.incarnation
    unknown = now if broken_off or peer.data_unknown == NEVER else peer.data_unknown
    speaks = beat.image.source and beat.image.behind_ms >= 0
    hears = restarted or beat.echo_seq > peer.echo_seq
    if rules.releases(state, beat) and not facts.is_holder(state):
        lease.release(turn)
        rebooted = old is not None and old.boot != beat.boot and old.acting
        if rebooted and rules.has_vote(state.durable.config):
            turn.set(want=f"{state.peer_name} rebooted")
    turn.set(
        peer=replace(
            peer,
            incarnation=beat.incarnation,
            seq=beat.seq,
            beat=beat,
            heard=now,
            since=now if broken_off else peer.since,
            echo_seq=max(beat.echo_seq, 0 if restarted else peer.echo_seq),
            echoed=now if hears else peer.echoed,
            asked=now if beat.renew or restarted else peer.asked,
            data_unknown=unknown if beat.data is DataState.UNKNOWN else NEVER,
            source=beat.image if speaks else peer.source,
            source_at=now if speaks else peer.source_at,
        )
    )
    lease.exchange(turn, beat)


def _set_back(turn: Turn, beat: Beat) -> None:
    """This node runs from an old image: take a new identity in time and trust only what the peer says."""
    state = turn.state
    if state.broken:
        return
    turn.emit(
        Severity.ALARM,
        "set_back",
        f"{state.me} was set back to an old image: its peer has heard run {beat.echo_incarnation}",
        "HS740",
    )
    turn.save(incarnation=max(beat.echo_incarnation, state.durable.incarnation) + 1)
    turn.set(seq=0, peer=replace(state.peer, beat=None), due=turn.now)
    epoch.forget(turn)
    group.fence(turn, "this node was set back to an old image")


def _count(turn: Turn, name: str, beat: Beat) -> None:
    for link in turn.state.links:
        if link.name == name:
            break
    else:
        return
    now = turn.now
    same_run = link.incarnation == beat.incarnation
    gap = beat.seq - link.seq - 1 if same_run and link.seq else 0
    _replace_link(
        turn,
        LinkMemory(
            name=name,
            timeout=link.timeout,
            heard=now,
            up=True,
            incarnation=beat.incarnation,
            seq=max(beat.seq, link.seq) if same_run else beat.seq,
            received=link.received + 1,
            lost=max(0, link.lost + gap),
            rejected=link.rejected,
            rtt_us=_round_trip(turn.state, beat, now) or link.rtt_us,
        ),
    )
    if not link.up:
        turn.emit(Severity.INFO, "link_up", f"link {name} is up", link=name)


def _round_trip(state: State, beat: Beat, now: Instant) -> int:
    """Upper bound in µs: it includes the time until the peer's next beat; 0: unknown."""
    for seq, sent in state.lease.asked:
        if seq == beat.echo_seq and beat.echo_incarnation == state.durable.incarnation:
            return (now - sent) // 1_000
    return 0


def _replace_link(turn: Turn, changed: LinkMemory) -> None:
    turn.set(links=tuple(changed if x.name == changed.name else x for x in turn.state.links))


# --------------------------------------------------------------------------------------------- sending


def _told_at_once(state: State, now: Instant) -> tuple[object, ...]:
    return (
        state.durable.config,
        state.durable.intent,
        state.group.phase,
        state.group.release,
        state.witness.proposed,
        state.lease.grants,  # the holder counts the silence from the newest request that was granted
        lease.asks(state),
        state.want,
        state.leaving,
        not rules.why_not_take_over(state, now),
        not rules.why_unable(state, now),
    )


def _compose(state: State, seq: int, now: Instant) -> Beat:
    durable, peer = state.durable, state.peer
    return Beat(
        wire=WIRE,
        cluster=state.spec.cluster,
        sender=state.me,
        boot=durable.boot,
        incarnation=durable.incarnation,
        seq=seq,
        echo_incarnation=peer.incarnation,
        echo_seq=peer.seq,
        config=durable.config,
        role=role(state, now),
        acting=facts.acting(state),
        proposed=state.witness.proposed,
        stale=durable.stale,
        renew=lease.asks(state),
        hold=state.timing.lease + state.timing.fence,
        grants=state.lease.grants,
        intent=durable.intent,
        data=data_rules.seen(state),
        image=state.image,
        revision=state.spec.revision,
        digest=state.digest,
        leaving=state.leaving and state.group.phase is Phase.OFF,
        want=state.want,
        release=state.group.release,
        witness_ok=state.witness.ok and state.witness.lost_since == NEVER,
        able=not state.leaving and not rules.why_unable(state, now),
        can_take=not state.leaving and not rules.why_not_take_over(state, now),
        resources=tuple((m.name, m.status) for m in state.group.members),
        links=tuple(
            LinkStat(
                name=x.name,
                up=x.up,
                received=x.received,
                lost=x.lost,
                rejected=x.rejected,
                rtt_us=x.rtt_us,
            )
            for x in state.links
        ),
        isolated=state.isolation.isolated,
    )
