"""How the parts of replication stand, put as the agent hears it. Changes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

import msgspec

from hsorch.errors import HsorchError
from hsorch.node.clock import utc_text
from hsorch.node.replication.foreign import Sentry
from hsorch.node.replication.ground import Ground, unsure
from hsorch.node.replication.lookout import Lookout
from hsorch.node.replication.meter import Meter
from hsorch.node.replication.orders import ReplicationStatus
from hsorch.node.replication.source import Source
from hsorch.node.replication.target import Target
from hsorch.node.replication.watched.parts import Following, Taking
from hsorch.verbs import BindingReport, LimitReport


def of_source(ground: Ground, part: Source, meter: Meter, pace: Meter) -> ReplicationStatus:
    """meter: of the stream. pace: of what is compared; equal data send nothing, and yet it goes on."""
    meta, end, gate, shipper = ground.meta.value, ground.journal.end, part.gate, part.shipper
    phase = "mirror" if part.mirroring else "live" if shipper.connected else "stopped"
    phase = "verify" if phase == "live" and part.levelling.verifying else phase
    dirty = part.queue.dirty_bytes
    behind = dirty > 0  # each comparison asks the queue what was left out, and mostly there is nothing
    base = meta.generations.base  # what was written before it, the other node has, whether it is heard or not
    return ReplicationStatus(
        role="source", state=shipper.state, mode=ground.setup.level,
        connected=shipper.connected or part.levelling.bringing,
        mounted=part.capture.mounted, consistent=True, mirroring=part.mirroring, copied=part.copied,
        queue=end - max(gate.acked, ground.journal.first, 0 if base is None else base.lsn),
        behind=behind, dirty=dirty,
        left=part.levelling.left,
        lag_ms=meter.lag_ms(time.monotonic(), end, gate.acked),
        speed=int(max(meter.bytes_per_s, pace.bytes_per_s if part.levelling.left else 0)),
        frozen=gate.waiting, guarded=gate.guards and meta.guarded,
        generation=meta.generations.current, ancestors=_ancestors(ground), lsn=end, was="source",
        epoch=meta.epoch,
        level=shipper.connected and shipper.epoch == meta.epoch and not part.mirroring
        and not part.queue.behind and gate.applied >= part.levelling.ends_at, applied=gate.applied,
        verify_needed=meta.verify_needed, refused=shipper.refused,
        verifying=part.levelling.verifying, checked=part.levelling.checked,
        differing=part.levelling.differing, repaired=part.levelling.repaired, verified_ns=meta.verified_ns,
        bindings=_ordered(
            ground, "behind" if behind else phase, meta.verified_ns, part.levelling.held
        ),
        troubles=(*_held(part.levelling.held), *_unsure(meta.verify_needed or part.trouble)),
    )  # fmt: skip


def of_target(ground: Ground, part: Target) -> ReplicationStatus:
    meta, carrying = ground.meta.value, part.spool.carrying
    end = ground.journal.end
    phase = "live" if meta.consistent else "mirror"
    refusal = part.spool.refusal
    told = carrying.fault and refusal is not None and refusal.code == carrying.fault_code
    return ReplicationStatus(
        role="target", mode=ground.setup.level,
        connected=part.connected, consistent=meta.consistent, blank=meta.generations.blank,
        queue=end - carrying.applied,
        generation=meta.generations.current, ancestors=_ancestors(ground), lsn=end, was="target",
        epoch=meta.epoch,
        guarded=meta.guarded, applied=carrying.applied,
        verify_needed=meta.verify_needed, fault=carrying.fault, fault_code=carrying.fault_code,
        state="receiving" if part.connected else "this node refuses them" if refusal else "waiting",
        bindings=_ordered(ground, phase if part.connected else "stopped"),
        troubles=() if refusal is None or told else (refusal,),
    )  # fmt: skip


def with_watched(seen: ReplicationStatus, part: Following | Taking | None) -> ReplicationStatus:
    """The watched folders count, too: incomplete ones make the whole image incomplete."""
    if part is None:
        return seen
    seen = msgspec.structs.replace(seen, bindings=(*seen.bindings, *part.reports()))
    seen = msgspec.structs.replace(seen, troubles=(*seen.troubles, *part.troubles()))
    if isinstance(part, Taking):
        return msgspec.structs.replace(
            seen, consistent=seen.consistent and part.whole, verify_needed=part.verify_needed
        )
    mirroring = any(report.state == "mirror" for report in part.reports())
    left = seen.left + sum(report.left_bytes for report in part.reports())
    return msgspec.structs.replace(
        seen, mirroring=seen.mirroring or mirroring, level=seen.level and part.level, left=left
    )


def with_lookout(seen: ReplicationStatus, lookout: Lookout | None) -> ReplicationStatus:
    if lookout is None:
        return seen
    troubles = (*seen.troubles, *lookout.troubles())
    return msgspec.structs.replace(seen, space=lookout.level.value, troubles=troubles)


def with_sentry(seen: ReplicationStatus, sentry: Sentry | None) -> ReplicationStatus:
    """Where the kernel does not tell of other programs' changes, each folder says so."""
    if sentry is None or not sentry.reason:
        return seen
    detail = (
        f"changes by other programs are not noticed here ({sentry.reason}): only `hsorch verify` finds them"
    )
    bindings = (b if b.detail else msgspec.structs.replace(b, detail=detail) for b in seen.bindings)
    return msgspec.structs.replace(seen, bindings=tuple(bindings))


def with_refusal(seen: ReplicationStatus, refused: HsorchError | None) -> ReplicationStatus:
    """refused: why no part is played."""
    if refused is None:
        return seen
    trouble = LimitReport(code=refused.code, message=refused.message, hint=refused.hint)
    return msgspec.structs.replace(seen, troubles=(*seen.troubles, trouble))


def _ancestors(ground: Ground) -> tuple[int, ...]:
    return tuple(fork.generation for fork in ground.meta.value.generations.ancestors())


def _ordered(
    ground: Ground, state: str, verified_ns: int = 0, held: Mapping[str, int] | None = None
) -> tuple[BindingReport, ...]:
    at, gone = utc_text(verified_ns) if verified_ns else "", held or {}
    return tuple(
        BindingReport(
            path=b.path, kind="ordered", state="held" if b.path in gone else state, verified=at,
            held=gone.get(b.path, 0),
        )
        for b in ground.setup.ordered
    )  # fmt: skip


def _held(gone: Mapping[str, int]) -> Iterator[LimitReport]:
    for path, files in gone.items():
        yield LimitReport(
            code="HS634",
            message=f"{files} files of {path} are gone here, and the standby keeps them",
            hint="is its disk whole? If they are meant to be gone: `hsorch release-deletions`",
        )


def _unsure(why: str) -> tuple[LimitReport, ...]:
    return (unsure(why),) if why else ()
