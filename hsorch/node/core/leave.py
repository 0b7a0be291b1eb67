"""A clean shutdown: hand over, give up the vote, and go only when the peer needs nothing more.

commands.py takes the order; epoch.py and group.py do the steps because `state.leaving` is set.
"""

from __future__ import annotations

from hsorch.node.core import facts, group
from hsorch.node.core.actions import Exit
from hsorch.node.core.state import Phase
from hsorch.node.core.turn import Turn


def when_safe(turn: Turn) -> None:
    """Go once nothing runs here and the peer has what it needs, or cannot be told."""
    state, now = turn.state, turn.now
    running, order = state.group, state.pending
    if order is None or running.phase is not Phase.OFF:
        return
    if running.release and group.can_release(state, now):
        return
    beat = facts.in_step(state, now)
    config = state.durable.config
    told = beat is not None and config.solo and config.holder == state.peer_name
    waited = now - max(running.since, order.since) >= 2 * state.timing.suspect
    if told or waited or facts.peer_beat(state, now) is None:
        turn.answer(order.id, True, f"{state.me} has left")
        turn.set(left=True, pending=None)
        turn.do(Exit())
