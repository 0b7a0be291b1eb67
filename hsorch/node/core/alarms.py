"""What an operator must hear of unasked: each alarm is told once when it rises and once when it is over.

Looked at on ticks only. Decides nothing.
"""

from __future__ import annotations

from hsorch.node.core import facts, report, rules
from hsorch.node.core.actions import Severity
from hsorch.node.core.state import NEVER, State
from hsorch.node.core.turn import Turn
from hsorch.node.core.types import Instant

_ALARMS = {
    "degraded": ("HS720", "a heartbeat link is down"),
    "unprotected": ("HS719", "a crash of the active node would not be survived"),
    "down": ("HS718", "the group is to run, and no node runs it"),
    "witness_lost": ("HS721", "the witness does not answer"),
    "guard_lost": ("HS731", "the watchdog process does not answer"),
    "store_failed": ("HS725", "the state cannot be stored"),
    "config_differs": ("HS744", "the two nodes run different specs"),
    "isolated": ("HS726", "this node reaches none of its reference addresses"),
    "flapping": ("HS729", "too many takeovers: the next one needs an operator"),
    "refused_takeover": ("HS717", "this node does not take over although the active node is gone"),
}


def watch(turn: Turn) -> None:
    state, now = turn.state, turn.now
    up = _up(state, now)
    if up == state.alarms:
        return
    turn.set(alarms=up)
    for kind in up:
        if kind not in state.alarms:
            code, message = _ALARMS[kind]
            why = rules.why_not_take_over(state, now) if kind == "refused_takeover" else ""
            way_out = "; hsorch takeover --force is the way out" if why else ""
            turn.emit(Severity.ALARM, kind, f"{message}{': ' + why if why else ''}{way_out}", code)
    for kind in state.alarms:
        if kind not in up:
            turn.emit(Severity.INFO, f"{kind}_over", f"not so any more: {_ALARMS[kind][1]}")


def watch_role(turn: Turn) -> None:
    """Tell a change of role, and keep the time since when nobody serves."""
    state, now = turn.state, turn.now
    role = report.role(state, now)
    if role is not state.role:
        turn.set(role=role)
        turn.emit(Severity.INFO, "role_changed", f"{state.me} is {role.value}", "", before=state.role.value)
    if not facts.wanted(state) or facts.active_node(state, now):
        if state.lost_service != NEVER and not facts.acting(state):
            turn.set(lost_service=NEVER)
    elif state.lost_service == NEVER:
        beat = state.peer.beat
        turn.set(lost_service=state.peer.heard if beat is not None and beat.acting else now)


def _up(state: State, now: Instant) -> tuple[str, ...]:
    beat = facts.peer_beat(state, now)
    wanted = facts.wanted(state)
    serving = report.up(state, now)
    links_up = sum(1 for link in state.links if link.up)
    gone = (
        wanted
        and not facts.is_holder(state)
        and not state.durable.config.solo
        and rules.wait_over(state, now)
        and rules.holder_gone(state, now)
    )
    raised = {
        "degraded": 0 < links_up < len(state.links),
        "unprotected": wanted and serving and not report.protected(state, now),
        "down": wanted and not serving and not facts.active_node(state, now),
        "witness_lost": facts.has_witness(state) and state.witness.lost_since != NEVER,
        "guard_lost": not state.guard_alive,
        "store_failed": state.broken,
        "config_differs": beat is not None and beat.digest != state.digest,
        "isolated": state.isolation.isolated,
        "flapping": not rules.flap_allowed(
            state.durable.failovers, facts.wall_seconds(state, now), state.spec.policy
        ),
        "refused_takeover": gone and bool(rules.why_not_take_over(state, now)),
    }
    return tuple(kind for kind, on in raised.items() if on)
