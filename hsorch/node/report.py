"""What status and explain say: the core's State and the runtime's counters as verbs.StatusReport."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hsorch import __version__
from hsorch.node import clock
from hsorch.node.core import facts
from hsorch.node.core.decide import limits
from hsorch.node.core.state import State
from hsorch.node.core.types import Beat, Instant, ResourceStatus
from hsorch.node.events import RECENT
from hsorch.spec import WIRE, AnyResource, IsolationWitness, NoWitness
from hsorch.verbs import LimitReport, ResourceReport, StatusReport

if TYPE_CHECKING:
    from hsorch.node.agent import Agent


def status_report(agent: Agent) -> StatusReport:
    state, world, now = agent.state, agent.world, clock.now()
    config, intent = state.durable.config, state.durable.intent
    peer = facts.peer_beat(state, now)
    last = state.peer.beat
    found = limit_reports(state, now)
    return StatusReport(
        cluster=state.spec.cluster,
        node=state.me,
        peer=state.peer_name,
        version=__version__,
        wire=WIRE,
        revision=state.spec.revision,
        digest=state.digest,
        role=state.role.value,
        epoch_major=config.epoch.major,
        epoch_minor=config.epoch.minor,
        holder=config.holder,
        solo=config.solo,
        active=facts.active_node(state, now),
        up=_up(state, peer, now),
        protected=not found and peer is not None,
        desired=intent.desired.value,
        maintenance=intent.maintenance,
        stale=state.durable.stale,
        peer_seen=peer is not None,
        peer_role=peer.role.value if peer is not None else "",
        peer_epoch_major=last.config.epoch.major if last is not None else 0,
        peer_epoch_minor=last.config.epoch.minor if last is not None else 0,
        peer_revision=last.revision if last is not None else 0,
        peer_digest=last.digest if last is not None else "",
        lease_left_ms=_lease_left_ms(state, now),
        witness=_witness(state),
        assurance="guard" if agent.setup.no_dead_man else "kernel",
        guard_alive=state.guard_alive,
        links=world.links.report(now),
        resources=_resources(state),
        limits=found,
        events=tuple(world.log.recent)[-RECENT:],
        last_outage_ms=state.outage // clock.MILLISECOND if state.outage else -1,
    )


def limit_reports(state: State, now: Instant) -> tuple[LimitReport, ...]:
    return tuple(LimitReport(code=x.code, message=x.message, hint=x.hint) for x in limits(state, now))


def _up(state: State, peer: Beat | None, now: Instant) -> bool:
    """The group answers, here or at the peer."""
    if facts.acting(state):
        return all(member.status is ResourceStatus.RUNNING for member in state.group.members)
    return peer is not None and peer.acting and all(s is ResourceStatus.RUNNING for _, s in peer.resources)


def _lease_left_ms(state: State, now: int) -> int:
    lease = state.lease
    end = lease.until if facts.is_holder(state) else lease.waits_from + lease.waits
    return max(0, end - now) // clock.MILLISECOND


def _witness(state: State) -> str:
    if isinstance(state.spec.witness, NoWitness):
        return "none"
    if state.witness.replaced:
        return "replaced"
    if isinstance(state.spec.witness, IsolationWitness):
        return "heuristic"
    return "ok" if state.witness.ok else "unreachable"


def _resources(state: State) -> tuple[ResourceReport, ...]:
    members = {member.name: member for member in state.group.members}
    return tuple(
        ResourceReport(
            name=resource.name,
            kind=_kind(resource),
            status=members[resource.name].status.value if resource.name in members else "stopped",
            detail=members[resource.name].detail if resource.name in members else "",
        )
        for resource in state.spec.group.resources
    )


def _kind(resource: AnyResource) -> str:
    """The word of the manifest."""
    return str(resource.__struct_config__.tag)
