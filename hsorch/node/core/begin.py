"""The first state of a run of the agent: fence what may be left, or go on with what runs.

A new boot, and a node that forgot, hold no effects by right: the fence comes first (REQ-D28).
"""

from __future__ import annotations

from msgspec.structs import replace

from hsorch import spec as contract
from hsorch.node.core import beats, disk, epoch, facts, group, lease, monitor, rules
from hsorch.node.core.actions import Action, Fence, Severity
from hsorch.node.core.state import MS, ClockMemory, LinkMemory, Phase, State, WitnessMemory
from hsorch.node.core.turn import Turn
from hsorch.node.core.types import Config, DataState, Desired, Durable, Epoch, Instant, Intent, Span
from hsorch.spec import Spec


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
    before = _forgotten(spec, peer) if forgotten else durable or _fresh(spec)
    same_boot = durable is not None and not forgotten and durable.boot == boot
    state = State(
        spec=spec,
        me=me,
        peer_name=peer,
        timing=timing,
        digest=contract.digest(spec),
        durable=before,
        stored=before,
        started=now,
        clock=ClockMemory(mono=now, wall=wall),
        now=now,
        store_due=Instant(now + disk.CHECK),
        links=links_of(spec),
        witness=WitnessMemory(due=now),
        data=DataState.UNKNOWN if facts.replicates(spec) else DataState.NONE,
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


def _fresh(spec: Spec) -> Durable:
    """A pair that never ran: PAIR of the preferred node, wishes as the manifest says."""
    config = Config(epoch=Epoch(0, 0), holder=spec.preferred, solo=False)
    return Durable(config=config, intent=Intent(desired=_desired(spec)))


def _forgotten(spec: Spec, peer: str) -> Durable:
    """Below everything real, the wish as well: whatever the peer holds is newer."""
    return Durable(config=epoch.nothing(peer), stale=True, intent=Intent(version=-1, desired=_desired(spec)))


def _desired(spec: Spec) -> Desired:
    return Desired.IN if spec.group.desired_state == "in" else Desired.OUT


def _go_on(turn: Turn) -> None:
    """Only the agent restarted: its effects may run on while it proves its right (rule 10)."""
    state = turn.state
    turn.group(phase=Phase.CHECKING, since=turn.now)
    turn.lease(until=rules.adoption_limit(turn.now, state.timing))
    for member in turn.state.group.members:
        monitor.call_check(turn, member)


def links_of(spec: Spec, old: tuple[LinkMemory, ...] = ()) -> tuple[LinkMemory, ...]:
    """Memory of the spec's links; those known by name keep what was heard."""
    known = {link.name: link for link in old}
    return tuple(
        replace(
            known.get(link.name, LinkMemory(name=link.name, timeout=Span(0))),
            timeout=Span(link.interval_ms * link.max_missed * MS),
        )
        for link in spec.links
    )
