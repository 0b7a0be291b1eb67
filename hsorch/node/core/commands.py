"""Operators' verbs: refused with a reason, done at once, or pending until the pair got there.

A verb that needs the other node travels in the beats: as intent (bring-in, bring-out, maintenance) or as
a wish to the holder (switch, set-active). Maintenance leaves the resources alone; it stays safe when
links fail because the standby gives up its vote on entering (rules.may_give_up_vote): the active node is
then exclusive and never has to fence. Until that is done the lease rules hold as ever.
"""

from __future__ import annotations

from msgspec.structs import replace

from hsorch.node.core import data_rules, epoch, facts, leave, report, rules, witness
from hsorch.node.core.actions import Severity
from hsorch.node.core.state import MS, SECOND, Pending, Phase, State
from hsorch.node.core.turn import Turn
from hsorch.node.core.types import Command, DataState, Desired, Instant, Role, Verb

_MOVES = (Verb.BRING_IN, Verb.BRING_OUT, Verb.SWITCH, Verb.SET_ACTIVE, Verb.TAKEOVER)


def command(turn: Turn, event: Command) -> None:
    """Refuse the verb, or begin to carry it out."""
    state = turn.state
    if event.verb is Verb.SHUTDOWN:
        _shutdown(turn, event)
    elif state.pending is not None and event.verb is not Verb.BRING_OUT:
        _refuse(
            turn,
            event,
            "HS701",
            f"{state.me} is still busy with {state.pending.verb.value}",
            "Wait for it, or bring the group out.",
        )
    elif state.broken:
        _refuse(
            turn,
            event,
            "HS725",
            f"{state.me} cannot store its state",
            "Free space on the disk of /var/lib/hsorch.",
        )
    elif state.durable.intent.maintenance and event.verb in _MOVES:
        _refuse(
            turn, event, "HS722", "maintenance is on: nothing is moved", "hsorch maintenance off, then again"
        )
    else:
        turn.emit(
            Severity.INFO, "operation_begin", f"{event.verb.value} by {event.actor}", "", operation=event.id
        )
        _BEGIN[event.verb](turn, event)


def progress(turn: Turn) -> None:
    """See whether the pending verb, or the shutdown, got there."""
    state, now = turn.state, turn.now
    pending = state.pending
    if state.leaving:
        leave.when_safe(turn)
    elif pending is not None:
        if pending.verb is Verb.TAKEOVER and _force_is_due(state, now):
            witness.force(turn)
        elif _reached(state, pending, now):
            turn.set(pending=None, want="")
            turn.answer(pending.id, True, f"{pending.verb.value}: done")
        elif _came_back(state, pending, now):
            turn.set(pending=None, want="")
            turn.answer(
                pending.id,
                False,
                f"the group is on {state.durable.config.holder}: {pending.target} did not keep it",
                "HS715",
                "hsorch explain and hsorch events tell why.",
            )
        elif _failed(state, pending, now):
            turn.set(pending=None, want="")
            turn.answer(
                pending.id,
                False,
                f"the group failed on {state.me}: {state.group.failure}",
                "HS713",
                "Repair the resource; the pair tries again by itself. hsorch events tells more.",
            )
        elif now >= pending.deadline:
            turn.set(pending=None, want="")
            turn.answer(
                pending.id,
                False,
                f"{pending.verb.value} has not come to its end yet",
                "HS709",
                "hsorch explain shows what it waits for; what was begun goes on.",
            )


def _bring_in(turn: Turn, event: Command) -> None:
    if turn.state.durable.intent.desired is not Desired.IN:
        _wish(turn, desired=Desired.IN)
        epoch.absolve(turn)
    _pend(turn, event)


def _bring_out(turn: Turn, event: Command) -> None:
    pending = turn.state.pending
    if pending is not None:
        turn.answer(
            pending.id, False, f"{pending.verb.value} was ended by bring-out", "HS701", "Bring the group in."
        )
    turn.set(want="")
    turn.group(release="")
    if turn.state.durable.intent.desired is not Desired.OUT:
        _wish(turn, desired=Desired.OUT)
    _pend(turn, event)


def _switch(turn: Turn, event: Command) -> None:
    state, now = turn.state, turn.now
    if state.durable.intent.desired is Desired.OUT:
        _refuse(
            turn, event, "HS702", "the group is out", "Use hsorch set-active to choose where it will start."
        )
        return
    active = facts.active_node(state, now) or state.durable.config.holder
    target = event.target or (state.peer_name if active == state.me else state.me)
    if target == active:
        turn.answer(event.id, True, f"{target} is active already")
        return
    if (refusal := _why_no_move(state, target, now)) is not None:
        _refuse(turn, event, *refusal)
        return
    _move(turn, event, target, "switch")


def _set_active(turn: Turn, event: Command) -> None:
    state, now = turn.state, turn.now
    target = event.target
    if target not in (state.me, state.peer_name):
        _refuse(
            turn,
            event,
            "HS706",
            f"'{target}' is no node of this pair",
            f"Name {state.me} or {state.peer_name}.",
        )
    elif state.durable.intent.desired is Desired.IN:
        _refuse(
            turn,
            event,
            "HS707",
            "the group is in: set-active is for a group that is out",
            "Use hsorch switch to move the running group.",
        )
    elif target == state.durable.config.holder:
        turn.answer(event.id, True, f"{target} is the active node already")
    elif facts.peer_beat(state, now) is None:
        _refuse(turn, event, "HS703", *_unseen(state))
    else:
        _move(turn, event, target, "set-active")


def _maintenance(turn: Turn, event: Command) -> None:
    on = event.verb is Verb.MAINTENANCE_ON
    if turn.state.durable.intent.maintenance is not on:
        _wish(turn, maintenance=on)
    seen = facts.peer_beat(turn.state, turn.now) is not None
    later = "" if seen else f"; {turn.state.peer_name} is not in sight and will learn it later"
    turn.answer(event.id, True, f"maintenance is {'on' if on else 'off'}{later}")


def _takeover(turn: Turn, event: Command) -> None:
    state, now = turn.state, turn.now
    beat = facts.peer_beat(state, now)
    if beat is not None and beat.acting:
        _refuse(
            turn,
            event,
            "HS708",
            f"{state.peer_name} is alive and active: force is for a node that is gone",
            "Use hsorch switch.",
        )
        return
    if not data_rules.may_be_forced(state.data):
        _refuse(
            turn,
            event,
            "HS686",
            f"the data on {state.me} are no picture of one moment: a mirror or resync was under way",
            f"Bring {state.peer_name} back and let it finish; hsorch status shows how much is left.",
        )
        return
    _wish(turn, desired=Desired.IN)
    epoch.absolve(turn)
    _pend(turn, event)


def _shutdown(turn: Turn, event: Command) -> None:
    turn.set(leaving=True, want="", pending=_pending(turn.state, event, turn.now))
    turn.emit(Severity.INFO, "shutdown_begin", f"{turn.state.me} shuts down, asked by {event.actor}")


_BEGIN = {
    Verb.BRING_IN: _bring_in,
    Verb.BRING_OUT: _bring_out,
    Verb.SWITCH: _switch,
    Verb.SET_ACTIVE: _set_active,
    Verb.MAINTENANCE_ON: _maintenance,
    Verb.MAINTENANCE_OFF: _maintenance,
    Verb.TAKEOVER: _takeover,
}


# --------------------------------------------------------------------------------------------- the way


def _move(turn: Turn, event: Command, target: str, why: str) -> None:
    """The holder releases; the other node asks it to."""
    if target == turn.state.me:
        turn.set(want=why)
    else:
        turn.group(release=why)
    _pend(turn, event)


def _why_no_move(state: State, target: str, now: Instant) -> tuple[str, str, str] | None:
    """Code, message and hint of the first reason why a running group cannot be moved to `target`."""
    beat = facts.peer_beat(state, now)
    if target not in (state.me, state.peer_name):
        return "HS706", f"'{target}' is no node of this pair", f"Name {state.me} or {state.peer_name}."
    if beat is None:
        return "HS703", *_unseen(state)
    if state.group.phase is Phase.STARTING or beat.role is Role.STARTING:
        return "HS701", "the group is just being started", "Wait until hsorch status shows it active."
    if beat.digest != state.digest:
        return "HS744", "the two nodes run different specs", "hsorch apply, to finish the change."
    here = rules.why_unable(state, now)
    if target == state.me and here:
        return "HS704", f"{state.me} cannot take the group: {here}", "hsorch explain names the way out."
    if target == state.peer_name and not beat.able:
        return "HS704", f"{target} cannot take the group", f"hsorch explain for {target} says why."
    if (state.data if target == state.me else beat.data) is DataState.UNKNOWN:
        what = f"{target} cannot take the group: what lies there is of no use to it"
        return "HS704", what, f"hsorch explain for {target} says why."
    if target == state.peer_name and not data_rules.follows(state, now):
        return "HS748", f"{target} does not have all of the data", "Wait until hsorch status says live."
    if state.witness.proposed or beat.proposed:
        return "HS736", "a question to the witness is open", "Try again in a few seconds."
    return None


def _unseen(state: State) -> tuple[str, str]:
    return (
        f"{state.peer_name} is not in sight",
        "Repair the links; if the active node is gone for good: hsorch takeover --force",
    )


def _wish(turn: Turn, **changes: object) -> None:
    intent = turn.state.durable.intent
    turn.save(intent=replace(intent, version=intent.version + 1, by=turn.state.me, **changes))


def _pending(state: State, event: Command, now: Instant) -> Pending:
    limits = sum(r.start_limit_ms + r.stop_limit_ms for r in state.spec.group.resources)
    deadline = Instant(now + limits * MS + 30 * SECOND)
    epoch_now = state.durable.config.epoch
    return Pending(
        id=event.id, verb=event.verb, target=event.target, epoch=epoch_now, since=now, deadline=deadline
    )


def _pend(turn: Turn, event: Command) -> None:
    target = event.target
    if event.verb is Verb.SWITCH and not target:
        target = turn.state.me if turn.state.want else turn.state.peer_name
    turn.set(pending=_pending(turn.state, replace(event, target=target), turn.now))


def _reached(state: State, pending: Pending, now: Instant) -> bool:
    beat = facts.peer_beat(state, now)
    match pending.verb:
        case Verb.BRING_IN:
            return report.up(state, now)
        case Verb.BRING_OUT:
            return state.group.phase is Phase.OFF and (beat is None or not beat.acting)
        case Verb.SWITCH:
            if pending.target == state.me:
                return state.group.phase is Phase.ON
            return beat is not None and beat.role in (Role.ACTIVE, Role.ACTIVE_SOLO)
        case Verb.SET_ACTIVE:
            return state.durable.config.holder == pending.target
        case _:
            return state.group.phase is Phase.ON


def _came_back(state: State, pending: Pending, now: Instant) -> bool:
    """A switch is over, too, when a later epoch has the group at work on the other node than the target."""
    config, beat = state.durable.config, facts.peer_beat(state, now)
    if pending.verb is not Verb.SWITCH or config.epoch <= pending.epoch or config.holder == pending.target:
        return False
    if config.holder == state.me:
        return state.group.phase is Phase.ON
    return beat is not None and beat.role in (Role.ACTIVE, Role.ACTIVE_SOLO)


def _failed(state: State, pending: Pending, now: Instant) -> bool:
    """The group was given up on here since the order came, and nobody else can take it (or was asked to)."""
    group, beat = state.group, facts.peer_beat(state, now)
    handing_over = bool(group.release) and facts.is_holder(state)
    if group.phase is not Phase.OFF or handing_over or group.failed <= pending.since:
        return False
    if pending.verb is Verb.SWITCH:
        return True
    return pending.verb in (Verb.BRING_IN, Verb.TAKEOVER) and (
        beat is None or not (beat.acting or beat.can_take)
    )


def _force_is_due(state: State, now: Instant) -> bool:
    return (
        not rules.exclusive(state.durable.config, state.me)
        and state.witness.forced < 0
        and rules.may_force(state, now)
        and data_rules.may_be_forced(state.data)
    )


def _refuse(turn: Turn, event: Command, code: str, message: str, hint: str) -> None:
    turn.emit(
        Severity.WARNING, "operation_refused", f"{event.verb.value}: {message}", code, operation=event.id
    )
    turn.answer(event.id, False, message, code, hint)
