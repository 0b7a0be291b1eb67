"""What became of an operation or a check, and what follows: go on, restart here, or give the group up.

The steps themselves (start next, stop next, fence) are in group.py.
"""

from __future__ import annotations

from hsorch.node.core import data_rules, group, monitor
from hsorch.node.core.actions import Severity
from hsorch.node.core.shown import ResourceStatus
from hsorch.node.core.state import MS, Phase, State
from hsorch.node.core.turn import Turn
from hsorch.node.core.types import Instant, Operation, ResourceOutcome, ResourceResult, Span
from hsorch.spec import Data, Ip, Script, Service


def finished(turn: Turn, event: ResourceResult) -> None:
    """The world's reply to a Run; replies to calls that no longer matter are dropped."""
    if event.operation is Operation.CHECK:
        _checked(turn, event)
    else:
        _operation_ended(turn, event)


def _checked(turn: Turn, event: ResourceResult) -> None:
    member = next((m for m in turn.state.group.members if m.call == event.call), None)
    if member is None or not event.call:
        return
    wanted = group.resource(turn.state, member.name)
    healthy = event.outcome is ResourceOutcome.OK
    misses = 0 if healthy else member.misses + 1
    due = Instant(turn.now + wanted.check_interval_ms * MS)
    group.set_member(turn, member.name, call=0, due=due, misses=misses, detail=event.detail)
    if turn.state.group.phase is Phase.CHECKING:
        status = ResourceStatus.RUNNING if healthy else ResourceStatus.STOPPED
        group.set_member(turn, member.name, status=status, misses=0)
    elif turn.state.group.phase is Phase.ON and not turn.state.durable.intent.maintenance:
        if misses >= wanted.max_check_failures and member.status is ResourceStatus.RUNNING:
            _lose_member(turn, member.name, event.detail or event.outcome.value)
        elif healthy and member.status is ResourceStatus.FAILED:
            group.set_member(turn, member.name, status=ResourceStatus.RUNNING)


def _operation_ended(turn: Turn, event: ResourceResult) -> None:
    """The operation in flight has ended."""
    running = turn.state.group
    if event.call != running.call or not running.call:
        return
    turn.group(call=0, current="")
    if event.operation is Operation.START:
        _started(turn, event)
    elif event.operation is Operation.STOP:
        _stopped(turn, event)
    elif event.operation is Operation.KILL:
        if event.outcome is ResourceOutcome.OK:
            group.is_stopped(turn, event.resource)
        else:
            group.fence(turn, f"{event.resource} could be neither stopped nor killed: {event.detail}")


def _started(turn: Turn, event: ResourceResult) -> None:
    state, name = turn.state, event.resource
    wanted = group.resource(state, name)
    if event.outcome is not ResourceOutcome.OK:
        if isinstance(wanted, Script) and not wanted.required:
            turn.emit(Severity.WARNING, "script_failed", f"{name} (advisory): {event.detail}", resource=name)
        else:
            _lose_member(turn, name, event.detail or event.outcome.value)
            return
    due = Instant(turn.now + wanted.check_interval_ms * MS)
    group.set_member(turn, name, status=ResourceStatus.RUNNING, due=due, misses=0, detail="")
    if isinstance(wanted, Data):
        monitor.forget_data(turn)
    if isinstance(wanted, Ip):
        turn.emit(Severity.INFO, "ip_started", f"{wanted.address} is up on {state.me}", resource=name)
    elif isinstance(wanted, Service):
        turn.emit(Severity.INFO, "service_started", f"{wanted.unit} runs on {state.me}", resource=name)
    turn.emit(
        Severity.INFO,
        "resource_started",
        f"started the resource ({name}) in resource group ({state.spec.group.name})",
        resource=name,
    )
    group.start_next(turn)


def _stopped(turn: Turn, event: ResourceResult) -> None:
    wanted = group.resource(turn.state, event.resource)
    if event.outcome is ResourceOutcome.OK:
        group.is_stopped(turn, event.resource)
        return
    turn.emit(
        Severity.WARNING,
        "resource_stop_failed",
        f"{event.resource}: {event.detail or event.outcome.value}",
        "HS713",
        resource=event.resource,
    )
    if isinstance(wanted, Data) and turn.state.group.release:
        turn.emit(Severity.ALARM, "hand_over_void", "the data did not get across: the group stays", "HS747")
        turn.group(release="")
    call = turn.run(event.resource, Operation.KILL, Span(wanted.stop_limit_ms * MS))
    turn.group(current=event.resource, call=call)


def _lose_member(turn: Turn, name: str, why: str) -> None:
    """A member failed: restart it and what depends on it, or follow the policy when that was tried."""
    state = turn.state
    wanted = group.resource(state, name)
    turn.emit(Severity.WARNING, "resource_failed", f"{name}: {why}", "HS713", resource=name)
    advisory = isinstance(wanted, Script) and not wanted.required
    only_told = advisory or state.spec.policy.on_resource_error == "alarm"
    if only_told and state.group.phase is Phase.ON:
        group.set_member(turn, name, status=ResourceStatus.FAILED, detail=why)
        return
    if state.group.restarts < wanted.restarts and data_rules.may_be_forced(state.data):
        turn.group(restarts=state.group.restarts + 1)
        group.stop(turn, f"restart of {name}", only=_dependents(state, name), again=True)
        return
    _give_up(turn, name, why)


def _give_up(turn: Turn, name: str, why: str) -> None:
    """Restarts are used up: roll back; the group goes to the peer if that can take it (REQ-F11, L02)."""
    state, now = turn.state, turn.now
    turn.group(failed=now, failure=f"{name}: {why}", restarts=0)
    if state.spec.policy.on_resource_error == "failover" and group.can_release(turn.state, now):
        turn.group(release=f"{name} failed")
    else:
        turn.emit(
            Severity.ALARM,
            "group_failed",
            f"{name} keeps failing and nobody else can take the group: {why}",
            "HS713",
            resource=name,
        )
    group.stop(turn, f"{name} failed")


def _dependents(state: State, name: str) -> tuple[str, ...]:
    """The member and all that depends on it, directly or not."""
    found = [name]
    for r in state.spec.group.resources:
        if r.name != name and any(d in found for d in r.depends_on):
            found.append(r.name)
    return tuple(found)
