"""The failover core: what a node decides, given all it knows and one thing that happened.

`decide` first ends a lease that is over, then takes the event in, then settles: one fixed list of
duties, each of which does nothing when nothing is due. No clock, no I/O, no randomness.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hsorch import spec as contract
from hsorch.node.core import (
    alarms,
    beats,
    clock_rules,
    commands,
    disk,
    epoch,
    facts,
    group,
    lease,
    monitor,
    outcome,
    rules,
    witness,
)
from hsorch.node.core.actions import Action, Exit, Severity
from hsorch.node.core.begin import begin, links_of
from hsorch.node.core.limits import limits
from hsorch.node.core.state import (
    MS,
    NEVER,
    ClockMemory,
    State,
)
from hsorch.node.core.turn import Turn
from hsorch.node.core.types import (
    Command,
    DataChanged,
    DataState,
    Epoch,
    Event,
    Fenced,
    GuardState,
    Image,
    Instant,
    IsolationResult,
    NicChanged,
    Persisted,
    Received,
    Reconfigured,
    Rejected,
    ResourceResult,
    StoreProbed,
    Tick,
    WitnessAnswer,
)

__all__ = ["begin", "decide", "limits", "wake_at"]


def decide(state: State, event: Event, now: Instant) -> tuple[State, tuple[Action, ...]]:
    """The next state, and what is to be done, in order. Never raises for any event."""
    if state.left:
        return state, (Exit(),)  # said again: a write that failed swallows what comes after it
    turn = Turn(state, now)
    turn.set(now=now, awake_from=now if clock_rules.overslept(state, now) else state.awake_from)
    _end_lease(turn)
    _HANDLERS[type(event)](turn, event)
    _settle(turn, ticking=type(event) is Tick)
    return turn.done()


def wake_at(state: State) -> Instant:
    """When a Tick is due at the latest. Duties that may be a beat late need no instant of their own."""
    own, suspect = state.lease, state.timing.suspect
    if facts.is_holder(state):
        mine = own.answered + suspect, own.until
    else:
        mine = own.waits_from + own.waits, state.now
    heard = state.peer.heard + suspect
    asking = state.witness.due if state.witness.proposed else state.now
    listened = clock_rules.listens_until(state)
    instants = (state.due, *mine, heard, asking, listened)
    return Instant(min([at for at in instants if at > state.now], default=state.now + state.timing.interval))


# ------------------------------------------------------------------------------------------- the settling


def _settle(turn: Turn, *, ticking: bool) -> None:
    _end_lease(turn)
    epoch.meet_peer(turn)
    commands.progress(turn)
    witness.resolve(turn)
    monitor.relocate(turn)
    epoch.change_pair(turn)
    group.drive(turn)
    monitor.check_members(turn)
    witness.ask(turn)
    if ticking:
        monitor.probe_isolation(turn)
        beats.watch_links(turn)
        alarms.watch(turn)
        disk.look_after(turn)
    alarms.watch_role(turn)
    beats.send_if_due(turn)


def _end_lease(turn: Turn) -> None:
    """Rule 5, before anything else: what came to an end while nobody looked is over."""
    state = turn.state
    if facts.acting(state) and not state.group.fenced and rules.lease_over(state, turn.now):
        group.fence(turn, "the lease is over")


# --------------------------------------------------------------------------------------------- the events


def _tick(turn: Turn, event: Tick) -> None:
    before, now = turn.state.clock, turn.now
    # The clocks are read one after the other: what was ahead once stays ahead, a late reading is no news.
    ahead_before = before.boottime and before.boottime + (now - before.mono)
    boottime = max(event.boottime, ahead_before)
    turn.set(clock=ClockMemory(mono=now, wall=event.wall, boottime=boottime))
    slept = before.boottime != 0 and clock_rules.suspended(before, event, now)
    if not slept and not clock_rules.paused(before, event, now):
        return
    ahead = (event.wall - before.wall - (now - before.mono)) // MS
    turn.emit(
        Severity.WARNING,
        "clock_jump",
        f"the clocks of {turn.state.me} moved apart by {ahead} ms"
        + (": the machine was suspended" if slept else ""),
        "HS746",
    )
    doubt = 0 if slept else turn.state.timing.suspect // 2
    turn.lease(until=min(turn.state.lease.until, Instant(now + doubt)), asked=())
    turn.set(due=now)


def _data_changed(turn: Turn, event: DataChanged) -> None:
    """An answer that comes after replication was taken out of the spec says nothing any more."""
    if not facts.replicates(turn.state.spec):
        return
    if event.state is not turn.state.data:
        turn.emit(
            Severity.INFO, "data_state", f"the data of {turn.state.me} are {event.state.value}",
            before=turn.state.data.value,
        )  # fmt: skip
    image = event.image
    dry = NEVER if image.flows else turn.state.dry_since or turn.now
    turn.set(data=event.state, guarded=event.guarded, followed=event.followed, image=image, dry_since=dry)
    turn.set(heard_of=event.epoch)


def _reconfigured(turn: Turn, event: Reconfigured) -> None:
    """A new spec without a break: the lease goes on, for the new length at most."""
    old = turn.state
    turn.set(
        spec=event.spec,
        timing=facts.timing_of(event.spec),
        digest=contract.digest(event.spec),
        links=links_of(event.spec, old.links),
    )
    if event.spec.replication != old.spec.replication and not facts.acting(old):
        # What lies here is worth another thing under other folders: the replicator says it anew.
        begins = DataState.UNKNOWN if facts.replicates(event.spec) else DataState.NONE
        turn.set(data=begins, guarded=False, followed=False, image=Image(), dry_since=NEVER)
        turn.set(heard_of=Epoch())
    lease.retime(turn)
    group.reconfigured(turn)
    turn.emit(Severity.INFO, "reconfigured", f"spec revision {event.spec.revision} is in force")


_HANDLERS: dict[type, Callable[[Turn, Any], None]] = {
    Tick: _tick,
    Received: beats.received,
    Rejected: beats.rejected,
    WitnessAnswer: witness.answered,
    ResourceResult: outcome.finished,
    Fenced: group.fenced,
    Persisted: disk.persisted,
    StoreProbed: disk.probed,
    NicChanged: monitor.nic_changed,
    IsolationResult: monitor.isolation_result,
    GuardState: monitor.guard_state,
    DataChanged: _data_changed,
    Command: commands.command,
    Reconfigured: _reconfigured,
}
