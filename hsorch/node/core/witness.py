"""The witness as this node uses it: proposals for the next major, health probes, forced takeovers.

One question at a time. An answer is a fact about a register that never changes, so it counts whichever
question it belongs to; what follows from a fact is worked out by `resolve`.
"""

from __future__ import annotations

from hsorch.node.core import epoch, facts, group, rules
from hsorch.node.core.actions import AskWitness, Severity
from hsorch.node.core.state import NEVER, SECOND
from hsorch.node.core.turn import Turn
from hsorch.node.core.types import Instant, Span, WitnessAnswer

PROBE = Span(5 * SECOND)
"""Health of the witness is looked at this often; proposals do not wait for it."""


def ask(turn: Turn) -> None:
    """Put the question that is due, if any."""
    state, now = turn.state, turn.now
    if not facts.has_witness(state) or state.broken:
        return
    witness = state.witness
    if witness.forced >= 0:
        _question(turn, witness.forced, create=True, urgent=False)
    elif witness.proposed:
        _question(turn, state.durable.config.epoch.major + 1, create=True, urgent=False)
    elif rules.may_propose(state, now):
        _propose(turn)
    elif _owns_next(turn):
        turn.witness(proposed=True)
    elif now >= witness.due:
        _question(turn, state.durable.config.epoch.major + 1, create=False, urgent=False)


def answered(turn: Turn, event: WitnessAnswer) -> None:
    """Record what an answer proves."""
    state, now = turn.state, turn.now
    current = event.request == state.witness.request
    if current:
        turn.witness(asked=NEVER)
    trusted = state.durable.witness_id
    if event.witness_id and event.witness_id != trusted and not state.broken:
        trusted = _meet_register(turn, event.witness_id)
    if not rules.plain_answer(event, trusted):
        _unanswered(turn, current)
        return
    turn.witness(ok=True, lost_since=NEVER, replaced="")
    if current:
        turn.witness(due=Instant(now + PROBE))
    if event.owner and event.major >= state.witness.major:
        turn.witness(major=event.major, owner=event.owner)


def resolve(turn: Turn) -> None:
    """Draw the consequences of a resolved proposal or a forced takeover."""
    state = turn.state
    witness = state.witness
    if state.broken:
        return
    if witness.forced >= 0:
        _resolve_forced(turn)
    elif rules.may_adopt_win(state):
        _win(turn)
    elif rules.lost_to_peer(state):
        config = rules.won(state.durable.config, witness.major, witness.owner)
        if facts.acting(state):
            group.fence(turn, f"the witness gave epoch {epoch.show(config)} to {witness.owner}")
        else:
            epoch.adopt(turn, config)


def force(turn: Turn) -> None:
    """Start a forced takeover: the next major, by the operator's word (rule 8d)."""
    turn.witness(forced=max(turn.state.durable.config.epoch.major, 0) + 1, due=NEVER)
    if not facts.has_witness(turn.state):
        _take_by_force(turn, turn.state.witness.forced)


def _propose(turn: Turn) -> None:
    state = turn.state
    turn.lease(grants=0)
    turn.witness(proposed=True)
    turn.emit(
        Severity.WARNING,
        "proposed",
        f"{state.me} asks the witness for epoch {state.durable.config.epoch.major + 1}",
    )
    _question(turn, state.durable.config.epoch.major + 1, create=True, urgent=True)


def _question(turn: Turn, major: int, *, create: bool, urgent: bool) -> None:
    """Ask, unless the last question is still in flight or was just answered; an urgent one does not wait."""
    state, now = turn.state, turn.now
    witness = state.witness
    limit = state.timing.witness_limit
    in_flight = witness.asked != NEVER and now - witness.asked < limit + SECOND
    if not urgent and (now < witness.due or in_flight):
        return
    turn.witness(request=witness.request + 1, asked=now)
    turn.do(AskWitness(request=witness.request + 1, major=major, create=create, limit=limit))


def _unanswered(turn: Turn, current: bool) -> None:
    state, now = turn.state, turn.now
    lost = state.witness.lost_since
    turn.witness(ok=False, lost_since=now if lost == NEVER else lost)
    if current:
        waiting = state.witness.proposed or state.witness.forced >= 0
        turn.witness(due=Instant(now + (state.timing.suspect if waiting else PROBE)))
    if state.witness.forced >= 0 and current:
        _take_by_force(turn, state.witness.forced)


def _meet_register(turn: Turn, identity: str) -> str:
    """A register of another identity: the first is trusted, a replacement only when nothing hangs on it."""
    state = turn.state
    if not state.durable.witness_id:
        turn.save(witness_id=identity)
    elif rules.may_trust_new_register(state, turn.now):
        turn.save(witness_id=identity)
        turn.witness(major=-1, owner="")
        turn.emit(
            Severity.ALARM,
            "witness_replaced",
            "the witness was replaced by another register; the pair goes on with the new one",
            "HS712",
            identity=identity,
        )
    else:
        turn.witness(replaced=identity)
    return turn.state.durable.witness_id


def _owns_next(turn: Turn) -> bool:
    """A forgotten proposal of the holder has won: propose again, so that the win can be adopted."""
    state = turn.state
    return (
        rules.owns_next_register(state)
        and facts.is_holder(state)
        and rules.may_act(state, turn.now)
        and rules.has_vote(state.durable.config)
        and state.durable.evidence
    )


def _win(turn: Turn) -> None:
    state = turn.state
    took_over = not facts.is_holder(state)
    epoch.adopt(turn, rules.won(state.durable.config, state.witness.major, state.me))
    if took_over:
        epoch.count_takeover(turn)
        turn.group(reason=f"{state.peer_name} is gone")
        how = f"{state.me} takes over from {state.peer_name}"
        epoch.tell_takeover(turn, state, "takeover_begin", how)


def _resolve_forced(turn: Turn) -> None:
    witness = turn.state.witness
    if witness.major == witness.forced:
        if witness.owner == turn.state.me:
            _take_by_force(turn, witness.forced)
        else:
            turn.witness(forced=witness.forced + 1, due=NEVER)


def _take_by_force(turn: Turn, major: int) -> None:
    state = turn.state
    # The peer could have gone on alone only by the register that is now this node's.
    sure = rules.has_vote(state.durable.config) and rules.owns_next_register(state)
    epoch.adopt(turn, rules.won(state.durable.config, major, state.me))
    turn.save(cleared=True)
    turn.group(reason="forced by an operator")
    how = f"{state.me} takes over by the operator's word as epoch {major}"
    epoch.tell_takeover(turn, state, "takeover_forced", how, "HS742", sure=sure)
