"""What a replicator says, as the agent shows it and as the core is told: pure."""

from __future__ import annotations

from hsorch.node import clock
from hsorch.node.core.types import DataState
from hsorch.node.replication.orders import ReplicationStatus
from hsorch.verbs import DataReport, LimitReport

NEAR_BYTES = 1024 * 1024
"""A queue shorter than this is on its way."""
_WAYS_OUT = {
    "HS683": "Until it can, this node takes nothing over: `hsorch explain HS683`.",
    "HS679": "hsorch quarantine list; restore what is needed, drop what nobody needs, or make space.",
}


def report_of(seen: ReplicationStatus, *, drained: bool) -> DataReport:
    """drained: the peer had everything when this node let go of the data."""
    source = seen.role == "source"
    return DataReport(
        role=seen.role,
        state=state_of(seen).value,
        phase=_phase(seen),
        mode="logical" if seen.mode == "none" else "complete",
        connected=seen.connected,
        mounted=source and seen.mounted,
        guarded=source and seen.guarded and seen.mode != "none",
        frozen=seen.frozen,
        followed=drained if seen.role == "none" else _is_followed(seen),
        level=source and seen.level,
        wrote_last="source" in (seen.role, seen.was),
        epoch=seen.epoch,
        link=seen.link,
        generation=_name(seen.generation),
        ancestors=tuple(map(_name, seen.ancestors)),
        lsn=seen.lsn,
        speed=seen.speed,
        sent_bytes=seen.copied,
        queue_bytes=seen.queue,
        left_bytes=seen.dirty + seen.left,
        left_ms=1000 * (seen.dirty + seen.left) // seen.speed if seen.speed and seen.left else -1,
        lag_bytes=seen.queue + seen.dirty if source else -1,
        lag_ms=seen.lag_ms if source else -1,
        verified=clock.utc_text(seen.verified_ns) if seen.verified_ns else "",
        checked_bytes=seen.checked,
        differing_bytes=seen.differing,
        differing_names=seen.repaired,
        bindings=seen.bindings,
        space=seen.space,
        troubles=_troubles(seen),
    )


def state_of(seen: ReplicationStatus) -> DataState:
    """What lies on a node is worth this much (REQ-G13). A target is complete for as long as the source said
    that no flush is answered without it; who wrote last is complete by itself."""
    if "source" in (seen.role, seen.was):
        return DataState.UNKNOWN if seen.fault and seen.role == "none" else DataState.COMPLETE
    if seen.consistent and seen.verify_needed:
        return DataState.OUTDATED  # whatever else is the matter
    if seen.fault:
        return DataState.UNKNOWN
    if not seen.consistent:
        return DataState.BLANK if seen.blank else DataState.INCONSISTENT
    return DataState.COMPLETE if seen.guarded and seen.mode != "none" else DataState.LOGICAL


def _phase(seen: ReplicationStatus) -> str:
    if seen.role == "none" or seen.behind:
        return "stopped" if seen.role == "none" else "behind"
    if seen.mirroring or (seen.role == "target" and seen.connected and not seen.consistent):
        return "mirror"
    if seen.verifying and seen.connected:
        return "verify"
    return "live" if seen.connected else "connecting"


def _name(generation: int) -> str:
    return f"{generation:016x}" if generation else ""


def _is_followed(seen: ReplicationStatus) -> bool:
    return seen.role == "source" and seen.level and seen.queue < NEAR_BYTES


def _troubles(seen: ReplicationStatus) -> tuple[LimitReport, ...]:
    found = []
    if seen.fault:
        hint = _WAYS_OUT.get(seen.fault_code, "See to the disk it names.")
        found.append(LimitReport(code=seen.fault_code, message=f"{seen.fault}.", hint=hint))
    if seen.refused:
        hint = "hsorch select-source NODE --survey shows what each side would lose."
        found.append(
            LimitReport(code=seen.refused, message=f"Nothing is replicated: {seen.state}.", hint=hint)
        )
    elif seen.role != "none" and not seen.connected:
        message = f"The data do not flow: {seen.state}."
        hint = "See what else this node says, then to the other node and the link."
        found.append(LimitReport(code="HS619", message=message, hint=hint))
    return (*found, *seen.troubles)
