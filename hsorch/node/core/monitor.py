"""Health of what runs here: checks of the resources, isolation of this node, moves that follow from it.

Checks run only while the group is ON; in maintenance their results change nothing.
"""

from __future__ import annotations

from msgspec.structs import replace

from hsorch.node.core import data_rules, facts, group, rules
from hsorch.node.core.actions import ProbeIsolation, Severity
from hsorch.node.core.state import MS, NEVER, IsolationMemory, Member, Phase
from hsorch.node.core.turn import Turn
from hsorch.node.core.types import (
    DataState,
    GuardState,
    Image,
    Instant,
    IsolationResult,
    NicChanged,
    Operation,
    Span,
)

STABLE = Span(60_000 * MS)
"""A group that ran this long has earned its local restarts anew."""


def check_members(turn: Turn) -> None:
    """Ask for the checks that are due."""
    state, now = turn.state, turn.now
    if state.group.phase is not Phase.ON or state.durable.intent.maintenance:
        return
    if state.group.restarts and now - state.group.since >= STABLE:
        turn.group(restarts=0)
    for member in state.group.members:
        if not member.call and now >= member.due:
            call_check(turn, member)


def call_check(turn: Turn, member: Member) -> None:
    limit = Span(group.resource(turn.state, member.name).check_limit_ms * MS)
    call = turn.run(member.name, Operation.CHECK, limit)
    group.set_member(turn, member.name, call=call)


def forget_checks(turn: Turn) -> None:
    """What was asked for together with a write that failed was never asked: ask again."""
    members = tuple(replace(m, call=0) if m.call else m for m in turn.state.group.members)
    turn.group(members=members)


def forget_data(turn: Turn) -> None:
    """They are written to from now on: what the replicator said before is not what lies here."""
    starts = turn.state.data_starts + 1
    turn.set(data_starts=starts, data=DataState.UNKNOWN, guarded=False, followed=False, image=Image())


def probe_isolation(turn: Turn) -> None:
    """Reference addresses are asked all the time: a takeover must not wait for them (REQ-G07)."""
    state, now = turn.state, turn.now
    if state.spec.policy.isolation.addresses and now >= state.isolation.due:
        turn.set(isolation=replace(state.isolation, due=Instant(now + state.timing.isolation)))
        turn.do(ProbeIsolation())


def isolation_result(turn: Turn, event: IsolationResult) -> None:
    old = turn.state.isolation
    missed = 0 if event.answered else old.missed + 1
    isolated = missed >= turn.state.spec.policy.isolation.max_missed
    turn.set(isolation=IsolationMemory(missed=missed, due=old.due, isolated=isolated))


def nic_changed(turn: Turn, event: NicChanged) -> None:
    down = {*turn.state.nics_down} - {event.nic} if event.up else {*turn.state.nics_down, event.nic}
    if down == {*turn.state.nics_down}:
        return  # the kernel repeats itself with every change of the NIC
    turn.set(nics_down=tuple(sorted(down)))
    severity = Severity.INFO if event.up else Severity.WARNING
    turn.emit(severity, "nic_changed", f"NIC {event.nic} is {'up' if event.up else 'down'}", nic=event.nic)


def guard_state(turn: Turn, event: GuardState) -> None:
    turn.set(guard_alive=event.alive)


def relocate(turn: Turn) -> None:
    """Hand the group over, in order, when the peer can serve better (REQ-L03) or asked for it."""
    state, now = turn.state, turn.now
    if not facts.is_holder(state) or state.broken or state.durable.intent.maintenance:
        return
    if not group.can_release(state, now):
        return
    beat = facts.peer_beat(state, now)
    reason = ""
    if beat is not None and beat.want:
        reason = beat.want
    elif not facts.wanted(state):
        return
    elif state.leaving:
        reason = "shutdown"
    elif facts.service_down(state):
        reason = "the service link is down"
    elif state.isolation.isolated:
        reason = "the active node is isolated"
    elif state.group.phase is Phase.OFF and state.group.failed != NEVER and rules.failed_lately(state, now):
        reason = "the group failed here"
    elif state.group.phase is Phase.OFF:
        reason = data_rules.why_leave(state, beat, now)
    if reason:
        turn.group(release=reason)
