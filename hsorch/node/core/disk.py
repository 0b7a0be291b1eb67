"""The node's own disk: a promise that was not stored was not made, and a bad disk is known in time.

A disk is broken from the first refusal, or from a probe that hangs for too long, until a Persist succeeds:
what stands on it may be the old or the new state. Meanwhile nothing durable changes (Turn.save).
"""

from __future__ import annotations

from hsorch.node.core import facts, group, monitor, rules
from hsorch.node.core.actions import Disarm, ProbeStore, Severity
from hsorch.node.core.state import NEVER, SECOND, Phase, State
from hsorch.node.core.turn import Turn
from hsorch.node.core.types import Instant, Persisted, Span, StoreProbed

CHECK = Span(10 * SECOND)
"""A node that has nothing to write finds only so that it could not: an active gives the group away then."""
RETRY = Span(SECOND)
HANGS = Span(20 * SECOND)
"""A probe without an answer for so long: whatever had to be stored now would stop the whole agent. Shorter
than that, a disk that writes much back is only slow, and asked so often it would move the group each time."""
_MOVING = (Phase.STARTING, Phase.STOPPING, Phase.CHECKING)


def look_after(turn: Turn) -> None:
    """Ask now and then, and in time before a proposal, which must not wait for a disk while a lease runs
    out. At most one probe is under way, however long it hangs."""
    state, now = turn.state, turn.now
    if state.store_asked == NEVER:
        if now >= state.store_due or _needed_soon(state, now):
            turn.set(store_asked=now)
            turn.do(ProbeStore())
    elif not state.broken and now - state.store_asked >= HANGS:
        _broken(turn, f"the disk does not answer within {HANGS // SECOND} s")


def _needed_soon(state: State, now: Instant) -> bool:
    """This node may propose soon, and the last proof is from before the silence or gets old."""
    since = facts.silence_counts_from(state)
    if state.broken or state.store_proven >= max(since, now - rules.PROVEN // 2):
        return False
    if facts.is_holder(state):
        return state.lease.answered != NEVER and now >= since
    silent = state.lease.released or now >= since
    return silent and facts.wanted(state) and rules.has_vote(state.durable.config)


def probed(turn: Turn, event: StoreProbed) -> None:
    state = turn.state
    turn.set(store_asked=NEVER, store_due=Instant(turn.now + (CHECK if event.ok else RETRY)))
    if event.ok:
        turn.set(store_proven=state.store_asked)
    if not event.ok and not state.broken:
        _broken(turn, event.detail)
    elif event.ok and state.broken:
        turn.prove_store()


def persisted(turn: Turn, event: Persisted) -> None:
    if event.ok:
        turn.set(broken=False, store_due=Instant(turn.now + CHECK))
        turn.emit(Severity.INFO, "store_repaired", "the state can be stored again")
        return
    state = turn.state
    turn.revert()
    _broken(turn, event.detail)
    # What stood behind the write in the list was never asked for: ask again, and watch over nothing new.
    turn.witness(asked=NEVER)
    monitor.forget_checks(turn)
    alone = facts.acting(state) and rules.exclusive(turn.state.durable.config, state.me)
    if alone and state.group.phase not in _MOVING:
        turn.do(Disarm())


def _broken(turn: Turn, why: str) -> None:
    """No promise any more: no lease, no grant, no question to the witness; a move under way is ended."""
    moving, known = turn.state.group.phase in _MOVING, turn.state.broken
    turn.set(broken=True, store_proven=NEVER, store_due=Instant(turn.now + RETRY))
    turn.lease(grants=0)
    if not known:
        turn.emit(Severity.ALARM, "store_failed", f"the state cannot be stored: {why}", "HS725")
    if moving:
        group.fence(turn, "the state cannot be stored")
