"""What a pause of this node means: a suspend, a thawed guest, an agent without a processor (rules 3, 4, 13).

Pure, like rules.py, and for the same reason always called through this module.
"""

from __future__ import annotations

from hsorch.node.core import facts
from hsorch.node.core.state import MS, NEVER, ClockMemory, State
from hsorch.node.core.types import Instant, Span, Tick

STEP, SLEEP = Span(100 * MS), Span(20 * MS)
"""Wall and boottime clock may run ahead of the monotonic one by this much before it counts."""


def suspended(before: ClockMemory, tick: Tick, now: Instant) -> bool:
    """[13] The machine slept while the monotonic clock stood still: leases are over."""
    return (tick.boottime - before.boottime) - (now - before.mono) > SLEEP


def paused(before: ClockMemory, tick: Tick, now: Instant) -> bool:
    """[13] The wall clock ran ahead: a pause of the whole machine, or just a clock step. Not enough to
    fence, enough to have the lease proven again at once."""
    return (tick.wall - before.wall) - (now - before.mono) > STEP


def overslept(state: State, now: Instant) -> bool:
    """[3, 4] Nothing was decided here for more than two beats: the silence may be its own. Who is late
    again and again listens once, until the peer is heard."""
    listened_for_nothing = state.awake_from != NEVER and state.peer.heard < state.awake_from
    return now - state.now > 2 * state.timing.interval and not listened_for_nothing


def listens_until(state: State) -> Instant:
    """[3, 4] By then it has read what came while it was late, and the peer has answered: its first beat may
    have left before that was read, and the peer grants nothing to one that seems deaf."""
    return Instant(state.awake_from + 5 * state.timing.interval // 4)


def listened(state: State, now: Instant) -> bool:
    """[3, 4] A pause of this node is no silence of the peer. With a lease that would end first, or before the
    witness can answer then, there is no time to find out."""
    until, answer = listens_until(state), state.timing.interval // 4
    return now >= until or (facts.is_holder(state) and state.lease.until < until + answer)
