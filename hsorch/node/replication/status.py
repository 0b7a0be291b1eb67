"""How the parts of replication stand, put as the agent hears it. Changes nothing."""

from __future__ import annotations

import time

import msgspec

from hsorch.node.clock import utc_text
from hsorch.node.replication.ground import Ground
from hsorch.node.replication.meter import Meter
from hsorch.node.replication.orders import ReplicationStatus
from hsorch.node.replication.source import Source
from hsorch.node.replication.target import Target
from hsorch.node.replication.watched.parts import Following, Taking
from hsorch.verbs import BindingReport


def of_source(ground: Ground, part: Source, meter: Meter) -> ReplicationStatus:
    meta, end, gate, shipper = ground.meta.value, ground.journal.end, part.gate, part.shipper
    phase = "mirror" if part.mirroring else "live" if shipper.connected else "stopped"
    phase = "verify" if phase == "live" and part.levelling.verifying else phase
    return ReplicationStatus(
        role="source", state=shipper.state, mode=ground.setup.level, connected=shipper.connected,
        consistent=True, mirroring=part.mirroring, copied=part.copied,
        queue=end - gate.applied if gate.applied else end - ground.journal.first,
        behind=part.queue.behind, dirty=part.queue.dirty_bytes,
        lag_ms=meter.lag_ms(time.monotonic(), gate.applied), speed=int(meter.bytes_per_s),
        frozen=gate.waiting, guarded=gate.guards and meta.guarded,
        generation=meta.generations.current, ancestors=_ancestors(ground), lsn=end, was="source",
        level=shipper.connected and not part.mirroring and not part.queue.behind, applied=gate.applied,
        verify_needed=meta.verify_needed, refused=shipper.refused,
        verifying=part.levelling.verifying, checked=part.levelling.checked,
        differing=part.levelling.differing, verified_ns=meta.verified_ns,
        bindings=_ordered(ground, "behind" if part.queue.behind else phase, meta.verified_ns),
    )  # fmt: skip


def of_target(ground: Ground, part: Target) -> ReplicationStatus:
    meta, end = ground.meta.value, ground.journal.end
    phase = "live" if meta.consistent else "mirror"
    return ReplicationStatus(
        role="target", state="receiving" if part.connected else "waiting", mode=ground.setup.level,
        connected=part.connected, consistent=meta.consistent, queue=end - part.spool.applied,
        generation=meta.generations.current, ancestors=_ancestors(ground), lsn=end, was="target",
        guarded=meta.guarded, applied=part.spool.applied,
        verify_needed=meta.verify_needed, fault=part.spool.fault,
        bindings=_ordered(ground, phase if part.connected else "stopped"),
    )  # fmt: skip


def with_watched(seen: ReplicationStatus, part: Following | Taking | None) -> ReplicationStatus:
    """The watched folders count, too: incomplete ones make the whole image incomplete."""
    if part is None:
        return seen
    seen = msgspec.structs.replace(seen, bindings=(*seen.bindings, *part.reports()))
    if isinstance(part, Taking):
        return msgspec.structs.replace(seen, consistent=seen.consistent and part.whole)
    mirroring = any(report.state == "mirror" for report in part.reports())
    troubles = (*seen.troubles, *part.troubles())
    return msgspec.structs.replace(seen, mirroring=seen.mirroring or mirroring, troubles=troubles)


def _ancestors(ground: Ground) -> tuple[int, ...]:
    return tuple(fork.generation for fork in ground.meta.value.generations.ancestors())


def _ordered(ground: Ground, state: str, verified_ns: int = 0) -> tuple[BindingReport, ...]:
    at = utc_text(verified_ns) if verified_ns else ""
    return tuple(
        BindingReport(path=b.path, kind="ordered", state=state, verified=at) for b in ground.setup.ordered
    )
