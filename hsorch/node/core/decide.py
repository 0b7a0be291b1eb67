"""The failover core: what a node decides, given all it knows and one thing that happened.

`decide` first ends a lease that is over, then takes the event in, then settles: one fixed list of
duties, each of which does nothing when nothing is due. No clock, no I/O, no randomness.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from hsorch import spec as contract
from hsorch.node.core import (
    alarms,
    beats,
    commands,
    epoch,
    facts,
    group,
    lease,
    monitor,
    rules,
    witness,
)
from hsorch.node.core.limits import limits
from hsorch.node.core.state import (
    MS,
    NEVER,
    SECOND,
    ClockMemory,
    LinkMemory,
    Phase,
    State,
    WitnessMemory,
)
from hsorch.node.core.turn import Turn
from hsorch.node.core.types import (
    Action,
    Command,
    Config,
    Desired,
    Disarm,
    Durable,
    Epoch,
    Event,
    Fence,
    Fenced,
    GuardState,
    Instant,
    Intent,
    IsolationResult,
    NicChanged,
    Persisted,
    Received,
    Reconfigured,
    Rejected,
    ResourceResult,
    Severity,
    Span,
    Tick,
    WitnessAnswer,
)
from hsorch.spec import Spec

__all__ = ["begin", "decide", "limits", "wake_at"]

STORE_RETRY = Span(5 * SECOND)
STORE_CHECK = Span(60 * SECOND)


def begin(
    spec: Spec,
    me: str,
    durable: Durable | None,
    boot: str,
    incarnation: int,
    now: Instant,
    wall: int,
    forgotten: bool = False,
) -> tuple[State, tuple[Action, ...]]:
    """First state of a run of the agent.

    durable None: the first start of a fresh pair; with `forgotten`: the stored state is lost, so the node
    has no right until its peer tells more. incarnation: greater than that of any earlier run.
    now: ns, > 0; wall: ns since 1970.
    """
    peer = spec.peer_of(me).name
    timing = facts.timing_of(spec)
    before = _forgotten(peer) if forgotten else durable or _fresh(spec)
    same_boot = durable is not None and not forgotten and durable.boot == boot
    state = State(
        spec=spec,
        me=me,
        peer_name=peer,
        timing=timing,
        previous=timing,
        digest=contract.digest(spec),
        durable=before,
        stored=before,
        started=now,
        clock=ClockMemory(mono=now, wall=wall),
        now=now,
        store_due=Instant(now + STORE_CHECK),
        links=_links(spec),
        witness=WitnessMemory(due=now),
    )
    turn = Turn(state, now)
    turn.save(boot=boot, incarnation=incarnation)
    turn.group(members=group.members_of(spec))
    lease.restart(turn)
    turn.emit(Severity.INFO, "agent_started", f"{me} starts in epoch {epoch.show(before.config)}")
    if forgotten:
        turn.emit(Severity.ALARM, "state_lost", f"{me} has lost its stored state", "HS732")
    if same_boot and before.unclean and before.config.holder == me:
        _go_on(turn)
    else:
        turn.group(phase=Phase.FENCING, reason="start", since=now)
        turn.do(Fence(reason="start"))
    beats.send_if_due(turn)
    return turn.done()


def decide(state: State, event: Event, now: Instant) -> tuple[State, tuple[Action, ...]]:
    """The next state, and what is to be done, in order. Never raises for any event."""
    if state.left:
        return state, ()
    turn = Turn(state, now)
    turn.set(now=now)
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
    instants = (state.due, *mine, heard, asking)
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
        _keep_store(turn)
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
    turn.set(clock=ClockMemory(mono=now, wall=event.wall, boottime=event.boottime))
    slept = before.boottime != 0 and rules.suspended(before, event, now)
    if not slept and not rules.paused(before, event, now):
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


def _persisted(turn: Turn, event: Persisted) -> None:
    """A promise that was not stored was not made: back to what is on the disk."""
    state = turn.state
    if event.ok:
        turn.set(broken=False)
        turn.emit(Severity.INFO, "store_repaired", "the state can be stored again")
        return
    turn.revert()
    turn.set(broken=True)
    turn.witness(asked=NEVER)
    turn.lease(grants=0)
    monitor.forget_checks(turn)
    turn.emit(Severity.ALARM, "store_failed", f"the state cannot be stored: {event.detail}", "HS725")
    if state.group.phase in (Phase.STARTING, Phase.STOPPING, Phase.CHECKING):
        group.fence(turn, "the state cannot be stored")
    elif facts.acting(state) and rules.exclusive(turn.state.durable.config, state.me):
        turn.do(Disarm())


def _reconfigured(turn: Turn, event: Reconfigured) -> None:
    """A new spec without a break: the lease goes on, with the more careful timing until both run it."""
    old = turn.state
    turn.set(
        spec=event.spec,
        timing=facts.timing_of(event.spec),
        previous=old.timing,
        digest=contract.digest(event.spec),
        links=_links(event.spec, old.links),
    )
    group.reconfigured(turn)
    turn.emit(Severity.INFO, "reconfigured", f"spec revision {event.spec.revision} is in force")


_HANDLERS: dict[type, Callable[[Turn, Any], None]] = {
    Tick: _tick,
    Received: beats.received,
    Rejected: beats.rejected,
    WitnessAnswer: witness.answered,
    ResourceResult: monitor.finished,
    Fenced: group.fenced,
    Persisted: _persisted,
    NicChanged: monitor.nic_changed,
    IsolationResult: monitor.isolation_result,
    GuardState: monitor.guard_state,
    Command: commands.command,
    Reconfigured: _reconfigured,
}


# --------------------------------------------------------------------------------------------- beginnings


def _fresh(spec: Spec) -> Durable:
    """A pair that never ran: PAIR of the preferred node, wishes as the manifest says."""
    desired = Desired.IN if spec.group.desired_state == "in" else Desired.OUT
    config = Config(epoch=Epoch(0, 0), holder=spec.preferred, solo=False)
    return Durable(config=config, intent=Intent(desired=desired))


def _forgotten(peer: str) -> Durable:
    """Below everything real, the wish as well: whatever the peer holds is newer."""
    return Durable(config=epoch.nothing(peer), stale=True, intent=Intent(version=-1))


def _go_on(turn: Turn) -> None:
    """Only the agent restarted: its effects may run on while it proves its right (rule 10)."""
    state = turn.state
    turn.group(phase=Phase.CHECKING, since=turn.now)
    turn.lease(until=rules.adoption_limit(turn.now, state.timing))
    for member in turn.state.group.members:
        monitor.call_check(turn, member)


def _links(spec: Spec, old: tuple[LinkMemory, ...] = ()) -> tuple[LinkMemory, ...]:
    known = {link.name: link for link in old}
    return tuple(
        replace(
            known.get(link.name, LinkMemory(name=link.name, timeout=Span(0))),
            timeout=Span(link.interval_ms * link.max_missed * MS),
        )
        for link in spec.links
    )


def _keep_store(turn: Turn) -> None:
    """A full disk shall be known before the state has to be stored; a refusing one is tried again."""
    if turn.now >= turn.state.store_due:
        turn.set(store_due=Instant(turn.now + (STORE_RETRY if turn.state.broken else STORE_CHECK)))
        turn.prove_store()
