"""The resource group: ordered start, reverse stop, roll back, local restart, hung stop → kill → fence.

One operation at a time. Whether the group may run is decided by rules.py; what its checks say is looked
at in monitor.py.
"""

from __future__ import annotations

from msgspec.structs import replace

from hsorch.node.core import data_rules, facts, lease, rules
from hsorch.node.core.actions import Disarm, Fence, Severity
from hsorch.node.core.shown import ResourceStatus
from hsorch.node.core.state import MS, NEVER, SECOND, Group, Member, Phase, State
from hsorch.node.core.turn import Turn
from hsorch.node.core.types import Desired, Fenced, Instant, Operation, Span
from hsorch.spec import AnyResource, Data, Script, Spec

RETRY = Span(10 * SECOND)
"""A holder that gave up on the group tries again after this, when nobody else can."""


def members_of(spec: Spec, old: tuple[Member, ...] = ()) -> tuple[Member, ...]:
    """One member per resource in start order; those known by name keep what is known of them."""
    known = {member.name: member for member in old}
    return tuple(known.get(r.name, Member(name=r.name)) for r in spec.group.resources)


def resource(state: State, name: str) -> AnyResource:
    return next(r for r in state.spec.group.resources if r.name == name)


def drive(turn: Turn) -> None:
    """Start or stop the group as rights and wishes demand; a fence that failed is tried again."""
    state, now = turn.state, turn.now
    group = state.group
    match group.phase:
        case Phase.FENCING:
            if group.retry != NEVER and now >= group.retry:
                turn.group(retry=NEVER)
                turn.do(Fence(reason=group.reason))
        case Phase.OFF:
            if _should_run(state, now) and rules.may_act(state, now):
                _begin_start(turn)
        case Phase.ON:
            if reason := should_stop(state) or _left_behind(state, now):
                stop(turn, reason)
            elif facts.wanted(state) and _incomplete(group):
                turn.group(phase=Phase.STARTING)
                start_next(turn)
        case Phase.CHECKING:
            _adopt_running(turn)
        case Phase.STARTING | Phase.STOPPING:
            pass  # the result of the call in flight carries on


def stop(turn: Turn, reason: str, *, only: tuple[str, ...] = (), again: bool = False) -> None:
    """Stop all members (or `only` these) in reverse order; `again`: then start what is stopped."""
    group = turn.state.group
    members = tuple(
        replace(m, status=ResourceStatus.STOPPING, call=0)
        if m.status is not ResourceStatus.STOPPED and (not only or m.name in only)
        else m
        for m in group.members
    )
    turn.group(
        phase=Phase.STOPPING, members=members, reason=reason, again=again, since=turn.now, current="", call=0
    )
    turn.emit(Severity.INFO, "group_stop_begin", f"stopping {turn.state.spec.group.name}: {reason}")
    stop_next(turn)


def fence(turn: Turn, reason: str) -> None:
    """All effects off at once; the group is not OFF before that is verified."""
    if turn.state.group.phase is Phase.FENCING:
        return
    turn.group(
        phase=Phase.FENCING, reason=reason, since=turn.now, current="", call=0, retry=NEVER, again=False
    )
    turn.do(Fence(reason=reason))
    turn.emit(Severity.ALARM, "fence_begin", f"{turn.state.me} fences itself: {reason}", "HS710")


def fenced(turn: Turn, event: Fenced) -> None:
    """The world says whether the fence is verified."""
    state = turn.state
    if not facts.acting(state):
        return
    if not rules.effects_gone(event.ok):
        turn.group(retry=Instant(turn.now + max(state.timing.fence, 500 * MS)))
        turn.emit(
            Severity.ALARM, "fence_failed", f"effects may remain on {state.me}: {event.detail}", "HS711"
        )
        return
    owed = _stops_after_unclean(state)
    members = tuple(
        Member(name=m.name, status=ResourceStatus.STOPPING if m.name in owed else ResourceStatus.STOPPED)
        for m in state.group.members
    )
    turn.group(phase=Phase.STOPPING, members=members, again=False, current="", call=0, fenced=True)
    turn.emit(Severity.INFO, "fenced", f"no effect is left on {state.me}")
    if state.durable.unclean:
        turn.emit(
            Severity.WARNING,
            "unclean_stop",
            f"ended without their stop: {', '.join(state.durable.unclean)}",
            "HS714",
        )
    if owed:
        turn.do(Disarm())  # nothing is left to end: those stops may take their time
    stop_next(turn)


def reconfigured(turn: Turn) -> None:
    """The spec has changed: forget what went out; `drive` starts what came in."""
    group = turn.state.group
    members = members_of(turn.state.spec, group.members)
    turn.group(members=members)
    lost_call = group.call and group.current not in {m.name for m in members}
    if lost_call:
        turn.group(call=0, current="")
    if lost_call and group.phase is Phase.STARTING:
        start_next(turn)
    elif lost_call and group.phase is Phase.STOPPING:
        stop_next(turn)


def set_member(turn: Turn, name: str, **changes: object) -> None:
    turn.group(
        members=tuple(replace(m, **changes) if m.name == name else m for m in turn.state.group.members)
    )


# --------------------------------------------------------------------------------------------- starting


def _should_run(state: State, now: Instant) -> bool:
    group = state.group
    if not facts.wanted(state) or state.leaving or group.release or state.broken:
        return False
    if group.failed != NEVER and now - group.failed < RETRY:
        return False  # the same attempt again at once would fail again
    return rules.may_start_alone(state, now) and data_rules.may_serve(state, now)


def should_stop(state: State) -> str:
    """Why the group must not go on here; maintenance leaves it alone, but an agent leaves nothing behind."""
    if state.leaving:
        return state.group.release or "shutdown"
    if state.durable.intent.maintenance:
        return ""
    if state.group.release:
        return state.group.release
    return "bring-out" if state.durable.intent.desired is Desired.OUT else ""


def _begin_start(turn: Turn) -> None:
    turn.save(unclean=tuple(m.name for m in turn.state.group.members), stale=False)
    turn.group(phase=Phase.STARTING, since=turn.now, failed=NEVER)
    lease.arm(turn)
    turn.emit(Severity.INFO, "group_begin", f"starting {turn.state.spec.group.name} on {turn.state.me}")
    start_next(turn)


def start_next(turn: Turn) -> None:
    state = turn.state
    if reason := should_stop(state):
        stop(turn, reason)
        return
    name = next((m.name for m in state.group.members if m.status is not ResourceStatus.RUNNING), "")
    if not name:
        _is_on(turn)
        return
    limit = Span(resource(state, name).start_limit_ms * MS)
    set_member(turn, name, status=ResourceStatus.STARTING)
    group_name = state.spec.group.name
    turn.emit(
        Severity.INFO,
        "resource_begin",
        f"begins to start resource ({name}) of the resource group ({group_name})",
        resource=name,
    )
    call = turn.run(name, Operation.START, limit)
    turn.group(current=name, call=call)


def _is_on(turn: Turn) -> None:
    state, now = turn.state, turn.now
    turn.group(phase=Phase.ON, since=now)
    turn.save(cleared=False)
    turn.emit(Severity.INFO, "group_online_end", f"{state.spec.group.name} is online on {state.me}")
    turn.emit(Severity.INFO, "group_started", f"{state.spec.group.name} is started")
    if state.group.reason:
        turn.emit(
            Severity.INFO,
            "takeover_done",
            f"{state.spec.group.name} was taken over by {state.me}: {state.group.reason}",
        )
    turn.group(reason="")
    if state.lost_service != NEVER:
        turn.set(outage=Span(now - state.lost_service), lost_service=NEVER)


def _adopt_running(turn: Turn) -> None:
    """A restarted agent has asked what runs: go on from there once its right is proven."""
    state, now = turn.state, turn.now
    if any(m.call for m in state.group.members) or not rules.may_act(state, now):
        return
    if _data_ended(state) and data_rules.not_heard_yet(state, now):
        return
    lease.arm(turn)
    if reason := _left_behind(state, now):
        stop(turn, reason)
        return
    turn.emit(Severity.INFO, "group_adopted", f"{state.me} goes on with what runs")
    if state.durable.intent.maintenance:
        turn.group(phase=Phase.ON, since=now)
    else:
        turn.group(phase=Phase.STARTING, since=now)
        start_next(turn)


def _left_behind(state: State, now: Instant) -> str:
    """Why the data that were found ended are not started: the peer may have gone on from them."""
    if not _data_ended(state) or data_rules.may_serve(state, now):
        return ""
    return "the data are not in use here any more"


def _data_ended(state: State) -> bool:
    """They were fenced while no agent ran, and are wanted."""
    return facts.wanted(state) and any(
        m.status is ResourceStatus.STOPPED and isinstance(resource(state, m.name), Data)
        for m in state.group.members
    )


def _incomplete(group: Group) -> bool:
    """Something came in with a new spec, or was found stopped in maintenance."""
    return any(m.status is ResourceStatus.STOPPED for m in group.members)


# --------------------------------------------------------------------------------------------- stopping


def stop_next(turn: Turn) -> None:
    state = turn.state
    name = next((m.name for m in reversed(state.group.members) if m.status is ResourceStatus.STOPPING), "")
    if name:
        limit = Span(resource(state, name).stop_limit_ms * MS)
        call = turn.run(name, Operation.STOP, limit)
        turn.group(current=name, call=call)
    elif state.group.again and facts.wanted(state) and not should_stop(state):
        turn.group(phase=Phase.STARTING, again=False)
        start_next(turn)
    elif any(m.status is not ResourceStatus.STOPPED for m in state.group.members):
        stop(turn, should_stop(state) or state.group.reason)
    else:
        _is_off(turn)


def is_stopped(turn: Turn, name: str) -> None:
    set_member(turn, name, status=ResourceStatus.STOPPED)
    turn.emit(Severity.INFO, "resource_stopped", f"stopped the resource ({name})", resource=name)
    stop_next(turn)


def _is_off(turn: Turn) -> None:
    turn.save(unclean=())
    turn.group(phase=Phase.OFF, since=turn.now, again=False, fenced=False, reason="")
    turn.do(Disarm())
    turn.emit(Severity.INFO, "group_offline_end", f"{turn.state.spec.group.name} is off on {turn.state.me}")


def can_release(state: State, now: Instant) -> bool:
    """The peer is there and able to take the group."""
    beat = facts.peer_beat(state, now)
    return (
        facts.is_holder(state)
        and not state.group.release
        and not state.witness.proposed
        and beat is not None
        and beat.able
        and not beat.leaving
        and (data_rules.follows(state, now) or data_rules.forfeits(state, now))
        and beat.config.epoch.major == state.durable.config.epoch.major
    )


def _stops_after_unclean(state: State) -> tuple[str, ...]:
    return tuple(
        r.name
        for r in state.spec.group.resources
        if isinstance(r, Script) and r.run_stop_after_unclean and r.name in state.durable.unclean
    )
