"""What status and explain say: the core's State and the runtime's counters as verbs.StatusReport."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from hsorch import __version__
from hsorch.node import clock
from hsorch.node.core import data_rules, facts, report
from hsorch.node.core.limits import limits
from hsorch.node.core.state import State
from hsorch.node.core.types import Instant
from hsorch.node.data import DataDriver
from hsorch.node.events import RECENT
from hsorch.spec import WIRE, AnyResource
from hsorch.verbs import DataReport, LimitReport, ResourceReport, StatusReport

if TYPE_CHECKING:
    from hsorch.node.agent import Agent


def status_report(agent: Agent) -> StatusReport:
    state, world, now = agent.state, agent.world, clock.now()
    config, intent = state.durable.config, state.durable.intent
    peer = facts.peer_beat(state, now)
    last = state.peer.beat
    return StatusReport(
        cluster=state.spec.cluster,
        node=state.me,
        peer=state.peer_name,
        version=__version__,
        wire=WIRE,
        revision=state.spec.revision,
        digest=state.digest,
        role=report.role(state, now).value,
        epoch_major=config.epoch.major,
        epoch_minor=config.epoch.minor,
        holder=config.holder,
        solo=config.solo,
        active=report.active(state, now),
        up=report.up(state, now),
        protected=report.protected(state, now),
        desired=intent.desired.value,
        maintenance=intent.maintenance,
        stale=state.durable.stale,
        peer_seen=peer is not None,
        peer_role=peer.role.value if peer is not None else "",
        peer_epoch_major=last.config.epoch.major if last is not None else 0,
        peer_epoch_minor=last.config.epoch.minor if last is not None else 0,
        peer_revision=last.revision if last is not None else 0,
        peer_digest=last.digest if last is not None else "",
        lease_left_ms=report.lease_left_ms(state, now),
        witness=report.witness_state(state),
        assurance="guard" if world.watchdogs.missing else "kernel",
        guard_alive=state.guard_alive,
        links=world.links.report(now),
        resources=_resources(state),
        limits=(*limit_reports(state, now), *data_limits(world.data)),
        data=_data(state, world.data),
        events=tuple(world.log.recent)[-RECENT:],
        last_outage_ms=state.outage // clock.MILLISECOND if state.outage else -1,
    )


def limit_reports(state: State, now: Instant) -> tuple[LimitReport, ...]:
    return tuple(LimitReport(code=x.code, message=x.message, hint=x.hint) for x in limits(state, now))


def data_limits(data: DataDriver | None) -> tuple[LimitReport, ...]:
    """What keeps the data from being equal on both nodes, as the replicator says it."""
    if data is None:
        return ()
    if data.report is None:
        if (why := data.why_unheard) is not None and why.code == "HS640":  # it runs, and says what is wrong
            return (LimitReport(code=why.code, message=f"{why.message}.", hint=why.hint),)
        message, hint = "The replicator gives no answer.", "The guard starts it again by itself; see the log."
        return (LimitReport(code="HS615", message=message, hint=hint),)
    return data.report.troubles


def _data(state: State, driver: DataDriver | None) -> DataReport | None:
    """What the data here are worth to the pair, which is less than what the replicator knows by itself where
    the peer went on alone."""
    shown = driver.shown() if driver is not None else None
    return shown and replace(shown, state=data_rules.seen(state).value)


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
