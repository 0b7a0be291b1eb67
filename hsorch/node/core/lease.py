"""Both ends of the lease: the holder asks and is granted, the standby grants and waits (rules 1 and 2).

The request rides on every beat of the holder, the grant on every beat of the standby and names one
request. Nothing here decides to fence: decide.py does when rules.lease_over says so.
"""

from __future__ import annotations

from hsorch.node.core import facts, rules
from hsorch.node.core.actions import Arm, Disarm
from hsorch.node.core.state import NEVER, Lease, Phase, State
from hsorch.node.core.turn import Turn
from hsorch.node.core.types import Beat, Instant


def asks(state: State) -> bool:
    """The holder of a PAIR wants, or needs, the lease."""
    config = state.durable.config
    return (
        config.holder == state.me
        and not config.solo
        and not state.broken
        and state.group.phase is not Phase.FENCING
        and (facts.wanted(state) or facts.acting(state))
        and not (state.leaving and not facts.acting(state))
    )


def note_request(turn: Turn, seq: int) -> None:
    """A beat with this seq is about to be sent: remember when, if it asks for the lease.

    Who asks no more, and has nothing running, gives the rest of its lease up: that could end while the next
    effects begin."""
    state, now = turn.state, turn.now
    if not asks(state):
        if state.lease.asked or state.lease.answered != NEVER:
            rest = state.lease.until
            turn.lease(asked=(), answered=NEVER, until=rest if _has_effects(state) else min(rest, now))
        return
    oldest = now - state.timing.lease
    asked = (*(entry for entry in state.lease.asked if entry[1] > oldest), (seq, now))
    answered = state.lease.answered
    turn.lease(asked=asked, answered=now if answered == NEVER else answered)


def exchange(turn: Turn, beat: Beat) -> None:
    """Take the grant a fresh beat carries, or grant what it asks for."""
    if facts.is_holder(turn.state):
        if beat.grants and beat.config == turn.state.durable.config and not beat.config.solo:
            _granted(turn, beat)
    else:
        heed(turn, beat)
        _grant(turn, beat)


def _granted(turn: Turn, beat: Beat) -> None:
    state = turn.state
    sent = next((at for seq, at in state.lease.asked if seq == beat.grants), None)
    if sent is None or (state.lease.proven and sent <= state.lease.answered):
        return
    length = state.timing.lease
    until = rules.lease_end(sent, turn.now, length)
    turn.lease(until=until, proven=True, answered=sent)
    if _has_effects(state) and turn.now < until:
        turn.do(Arm(until=rules.watchdog_until(sent, length, state.timing)))


def _grant(turn: Turn, beat: Beat) -> None:
    state = turn.state
    if beat.renew and rules.may_grant(state, beat, turn.now):
        turn.lease(
            grants=beat.seq,
            waits_from=turn.now,
            waits=rules.standby_wait(state.timing, beat.hold),
            released=False,
        )
    elif state.lease.grants:
        turn.lease(grants=0)


def heed(turn: Turn, beat: Beat) -> None:
    """A run that may have forgotten its grants learns how long the holder may act on them."""
    waits = rules.standby_wait(turn.state.timing, beat.hold)
    if waits > turn.state.lease.waits:
        turn.lease(waits=waits)


def retime(turn: Turn) -> None:
    """A new spec: no lease is longer than the new one from now on, and older requests are not granted."""
    state = turn.state
    limit = Instant(turn.now + state.timing.lease)
    turn.lease(asked=(), until=min(state.lease.until, limit))
    if _has_effects(state):
        arm(turn)


def _has_effects(state: State) -> bool:
    """There is something to watch over, and it is not being ended anyway."""
    group = state.group
    return facts.acting(state) and group.phase is not Phase.FENCING and not group.fenced


def _known_hold(state: State) -> int:
    return state.peer.beat.hold if state.peer.beat is not None else 0


def release(turn: Turn) -> None:
    """The holder's effects are known to have ended: nothing to wait for until the next grant."""
    turn.lease(released=True, grants=0)


def arm(turn: Turn) -> None:
    """Before the first effect: arm the watchdog for the running lease, or say that none is needed."""
    state = turn.state
    if rules.exclusive(state.durable.config, state.me):
        turn.do(Disarm())
        return
    length = state.timing.lease
    sent = Instant(state.lease.until - length)
    turn.do(Arm(until=rules.watchdog_until(sent, length, state.timing)))


def restart(turn: Turn, keep: bool = False) -> None:
    """A new config: as standby the whole wait begins; as acting holder (keep) the lease runs on."""
    state, now = turn.state, turn.now
    old = state.lease
    waits = rules.standby_wait(state.timing, _known_hold(state))
    fresh = Lease(waits_from=rules.wait_starts(now), waits=waits)
    if keep:
        fresh = Lease(
            until=old.until,
            proven=old.proven,
            answered=old.answered,
            waits_from=fresh.waits_from,
            waits=fresh.waits,
        )
    turn.set(lease=fresh)


def begin_implicit(turn: Turn) -> None:
    """Rejoin: the first lease of an opened PAIR counts from the moment before it was made durable."""
    state, now = turn.state, turn.now
    length = state.timing.lease
    restart(turn)
    turn.lease(until=rules.lease_end(now, now, length), proven=True, answered=now)
    if facts.acting(state):
        turn.do(Arm(until=rules.watchdog_until(now, length, state.timing)))
