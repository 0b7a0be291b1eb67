"""The replicator: plays the part in replication that it is told to play, and says how it goes.

It keeps no opinion of its own: it starts with no role, and a part it played before is resumed only when told.
It never looks at a path below its own mounts: a page of theirs can only come from this very process. The
process and its local door are door.py.
"""

from __future__ import annotations

import contextlib
import threading
import time

from hsorch.errors import HsorchError, NodeError
from hsorch.node.replication.ground import Ground
from hsorch.node.replication.meter import Meter
from hsorch.node.replication.orders import Drained, DrainInput, ReplicationStatus, Role, RoleInput
from hsorch.node.replication.reception import Reception
from hsorch.node.replication.record import Damaged
from hsorch.node.replication.roads import Roads
from hsorch.node.replication.setup import Places, Setup
from hsorch.node.replication.source import Source
from hsorch.node.replication.target import Target

SAMPLE_S = 0.1


class Replicator:
    """Thread-safe; one change of role at a time."""

    def __init__(self, places: Places, setup: Setup, boot: str) -> None:
        self._places, self._setup, self._boot = places, setup, boot
        self._lock = threading.Lock()
        self._ground: Ground | None = None
        self._part: Source | Target | None = None
        self._way: Roads | Reception | None = None
        self._meter = Meter()
        self._stopped = threading.Event()
        threading.Thread(target=self._sample, name="meter", daemon=True).start()

    def role(self, wanted: RoleInput) -> ReplicationStatus:
        """Raises NodeError, RefusedError HS686 (takeover on incomplete data)."""
        with self._lock:
            if wanted.role == _role_of(self._part):
                return self.status()
            if isinstance(self._part, Target) and wanted.role == "source":
                self._part.must_be_whole()
            try:
                self._leave(force=wanted.force)
                if wanted.role != "none":
                    self._enter(wanted)
            except (OSError, Damaged, ValueError) as error:
                raise NodeError(
                    f"replication cannot become {wanted.role}: {error}",
                    hint="the detail names the file or folder; `hsorch explain HS687`",
                    code="HS687",
                ) from error
            return self.status()

    def drain(self, wanted: DrainInput) -> Drained:
        part = self._part
        return Drained(ok=not isinstance(part, Source) or part.drain(wanted.limit_s))

    def thaw(self) -> ReplicationStatus:
        """Raises RefusedError HS688."""
        if isinstance(self._part, Source):
            self._part.thaw()
        return self.status()

    def resync(self) -> ReplicationStatus:
        """Where a stream is not enough, mirror everything anew (the operator confirmed the direction)."""
        if isinstance(self._part, Source):
            self._part.shipper.may_mirror = True
        return self.status()

    def status(self) -> ReplicationStatus:
        part, ground = self._part, self._ground
        if ground is None or part is None:
            return ReplicationStatus(role="none", state="stopped", mode=self._setup.level)
        meta, end, now = ground.meta.value, ground.journal.end, time.monotonic()
        if isinstance(part, Source):
            gate = part.gate
            return ReplicationStatus(
                role="source", state=part.shipper.state, mode=self._setup.level,
                connected=part.shipper.connected, consistent=True, mirroring=part.mirroring,
                copied=part.copied, queue=end - gate.applied if gate.applied else end - ground.journal.first,
                behind=part.queue.behind, dirty=part.queue.dirty_bytes,
                lag_ms=self._meter.lag_ms(now, gate.applied), speed=int(self._meter.bytes_per_s),
                frozen=gate.waiting, guarded=gate.guards, generation=meta.generations.current, lsn=end,
                applied=gate.applied, verify_needed=meta.verify_needed,
                link=self._way.link if isinstance(self._way, Roads) else "",
            )  # fmt: skip
        return ReplicationStatus(
            role="target", state="receiving" if part.connected else "waiting", mode=self._setup.level,
            connected=part.connected, consistent=meta.consistent, queue=end - part.spool.applied,
            generation=meta.generations.current, lsn=end, applied=part.spool.applied,
            verify_needed=meta.verify_needed, fault=part.spool.fault,
        )  # fmt: skip

    def stop(self) -> None:
        with self._lock:
            self._stopped.set()
            with contextlib.suppress(HsorchError, OSError, Damaged):
                self._leave(force=False)

    def _enter(self, wanted: RoleInput) -> None:
        with contextlib.ExitStack() as undo:
            ground = Ground(self._places, self._setup, self._boot)
            undo.callback(ground.close)
            if wanted.role == "source":
                self._way = roads = Roads(self._setup, self._places.keys)
                undo.callback(roads.close)
                self._part = Source(ground, roads.dial, alone=wanted.alone)
            else:
                self._way = reception = Reception(self._setup, self._places.keys)
                undo.callback(reception.close)
                self._part = target = Target(ground)
                reception.open({"stream": target.serve})
            undo.pop_all()
        self._meter = Meter()
        self._ground = ground

    def _leave(self, *, force: bool) -> None:
        if isinstance(self._part, Source):
            self._part.stop(force=force)
        if self._way is not None:
            self._way.close()
            self._way = None
        if isinstance(self._part, Target):
            self._part.finish()
        self._part = None
        if self._ground is not None:
            self._ground.close()
            self._ground = None

    def _sample(self) -> None:
        while not self._stopped.wait(SAMPLE_S):
            part, ground = self._part, self._ground
            if isinstance(part, Source) and ground is not None:
                self._meter.sample(time.monotonic(), ground.journal.end, part.gate.applied)


def _role_of(part: Source | Target | None) -> Role:
    if part is None:
        return "none"
    return "source" if isinstance(part, Source) else "target"
