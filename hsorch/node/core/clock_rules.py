"""What a pause of this node means: a suspend, a thawed guest, an agent without a processor (rules 3, 4, 13).

Pure, like rules.py, and for the same reason always called through this module.
"""

from __future__ import annotations

from hsorch.node.core import facts
from hsorch.node.core.state import MS, ClockMemory, State
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
    """[3, 4] Nothing was decided here for more than two beats: the silence may be this node's own."""
    return now - state.now > 2 * state.timing.interval


def listens_until(state: State) -> Instant:
    """[3, 4] By then it has read what came while it was late, and the peer has answered what it asks now."""
    return Instant(state.awake_from + state.timing.interval // 2)


def listened(state: State, now: Instant) -> bool:
    """[3, 4] A pause of this node is no silence of the peer. With a lease that would end first there is no
    time to find out."""
    until = listens_until(state)
    return now >= until or (facts.is_holder(state) and state.lease.until < until)
