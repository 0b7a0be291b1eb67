"""The active node's side: mounts, journal and stream put together, and what is promised of a flush.

A flush is guarded while the gate is shut: it waits for the standby. The gate is opened only by the agent's
word (thaw), which the stream carries first (BARRIER, UNGUARDED), and shut again once the standby is level
(BARRIER, GUARDED). So the standby knows of itself whether it may lack an acknowledged write.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hsorch.node.replication.capture.copyin import copy_in
from hsorch.node.replication.capture.group import Capture, recover
from hsorch.node.replication.gate import Gate
from hsorch.node.replication.gate import Level as AckLevel
from hsorch.node.replication.generations import resynced
from hsorch.node.replication.marks import GUARDED, RELEASED, UNGUARDED
from hsorch.node.replication.quarantine import set_aside
from hsorch.node.replication.record import Kind
from hsorch.node.replication.ship import Shipper
from hsorch.node.replication.tree import Tree, sync_filesystem
from hsorch.node.replication.wire import Broken, Channel, connect
from hsorch.verbs import DataReport, LimitReport

if TYPE_CHECKING:
    from hsorch.node.replication.engine import Ledger

DRAIN_S = 45.0
LOOK_S = 0.1
NEAR_BYTES = 1024 * 1024
"""A queue shorter than this is on its way."""
_ACK: dict[str, AckLevel] = {"none": "none", "received": "received", "durable": "durable"}


class Source:
    """Mounted and streaming once it is made. Raises NodeError HS682, HS683; OSError."""

    def __init__(self, ledger: Ledger, trees: Sequence[Tree], *, redo: bool) -> None:
        """redo: the process before this one was killed while it was the source."""
        self._ledger = ledger
        self._trees = trees
        self._gate = Gate(_ACK[ledger.site.ack])
        self._fault = ""
        self._level = 0
        self._live = False
        self._mirror_run = 0
        self._mirror_end = 0
        self._level_at = 0
        self._via = ""
        self._speed = (time.monotonic(), 0, 0)
        self._stopped = threading.Event()
        self._capture = Capture(
            trees, ledger.journal, ledger.site.folder / "mark", self._gate, on_fault=self._on_fault
        )
        if redo:
            recover(trees, ledger.journal, self._capture.redone_from or ledger.journal.first, set_aside)
        self._capture.mount()
        self._shipper = Shipper(ledger.journal, self._gate, self._dial, ledger.hello, self._begin_mirror)
        self._shipper.start()
        self._watch = threading.Thread(target=self._look_after_level, name="level", daemon=True)
        self._watch.start()

    @property
    def mounted(self) -> bool:
        return self._capture.mounted

    # ------------------------------------------------------------------- orders

    def release(self) -> bool:
        """Unmount, then see that the standby has everything. Raises NodeError HS684: files are open."""
        self._capture.unmount()
        for tree in self._trees:
            sync_filesystem(tree.descriptor)
        end = self._ledger.journal.append(Kind.BARRIER, aux=RELEASED).end
        until = time.monotonic() + DRAIN_S
        while self._gate.durable < end and self._shipper.connected and time.monotonic() < until:
            time.sleep(LOOK_S / 10)
        return self._live and self._gate.durable >= end

    def abort(self) -> None:
        self._gate.abort()
        self._capture.unmount(force=True)

    def thaw(self, level: int) -> bool:
        """False: the standby came level since."""
        if level != self._level or self._shipper.connected:
            return False
        self._ledger.journal.append(Kind.BARRIER, aux=UNGUARDED)
        self._ledger.journal.sync()
        self._gate.open()
        return True

    def stop(self) -> None:
        self._stopped.set()
        self._mirror_run += 1
        self._gate.abort()
        self._capture.unmount(force=True)
        self._shipper.stop()
        self._watch.join(10)

    # ------------------------------------------------------------------- stream

    def _dial(self) -> Channel:
        site, failed = self._ledger.site, []
        for way in site.ways:
            try:
                channel = connect(way.there, site.port, site.keys, local=way.here, timeout_s=3)
                self._via = way.link
                return channel
            except Broken as error:
                failed.append(f"{way.link}: {error}")
        raise Broken("; ".join(failed))

    def _begin_mirror(self) -> None:
        self._mirror_run += 1
        self._live = False
        self._mirror_end = 0
        threading.Thread(target=self._mirror, args=(self._mirror_run,), name="mirror", daemon=True).start()

    def _mirror(self, run: int) -> None:
        """Everything into the journal, while the application writes."""
        capture, journal = self._capture, self._ledger.journal
        try:
            journal.append(Kind.MIRROR_BEGIN)
            for tree in self._trees:
                copy_in(
                    tree, capture.log, capture.nodes, capture.files, stopped=lambda: run != self._mirror_run
                )
            if run == self._mirror_run:
                self._mirror_end = journal.append(Kind.MIRROR_END).end
        except OSError as error:
            self._on_fault(f"the mirror stopped: {error.strerror} ({error.filename})")

    def _look_after_level(self) -> None:
        """Level: connected, no mirror under way, and the standby holds what was there a moment ago."""
        connected = False
        while not self._stopped.wait(LOOK_S):
            was, connected = connected, self._shipper.connected
            if not connected:
                self._live = False
                continue
            if not was:
                self._level_at = self._ledger.journal.end
            begun, end = self._mirror_run > 0, self._mirror_end
            mirroring = begun and (not end or self._gate.applied < end)
            if not self._live and not mirroring and self._gate.durable >= self._level_at:
                self._come_level()

    def _come_level(self) -> None:
        meta = self._ledger.meta
        if meta.value.generations.base is not None:
            meta.change(generations=resynced(meta.value.generations))
        self._gate.shut()
        self._level += 1
        self._ledger.journal.append(Kind.BARRIER, aux=GUARDED)
        self._live = True

    def _on_fault(self, why: str) -> None:
        self._fault = why

    # ------------------------------------------------------------------- report

    def report(self, common: Mapping[str, Any]) -> DataReport:
        gate, end, connected = self._gate, self._ledger.journal.end, self._shipper.connected
        queue = max(0, end - gate.durable) if gate.durable else 0
        phase = "live" if self._live else "mirror" if connected else "connecting"
        return DataReport(
            role="source",
            state="complete",
            phase=phase,
            connected=connected,
            mounted=self.mounted,
            guarded=self._ledger.site.ack != "none" and gate.guards,
            frozen=gate.waiting,
            followed=self._live and queue < NEAR_BYTES,
            level=self._level,
            link=self._via if connected else "",
            speed=self._speed_of(gate.durable),
            queue_bytes=queue,
            troubles=self._troubles(connected),
            **common,
        )

    def _speed_of(self, durable: int) -> int:
        since, before, speed = self._speed
        now = time.monotonic()
        if now - since >= 1.0:
            speed = int(max(0, durable - before) / (now - since)) if before else 0
            self._speed = (now, durable, speed)
        return speed

    def _troubles(self, connected: bool) -> tuple[LimitReport, ...]:
        found = []
        if self._fault:
            found.append(LimitReport(code="HS695", message=self._fault, hint="hsorch events tells more"))
        if not connected:
            message = f"The data do not flow: {self._shipper.state}."
            found.append(LimitReport(code="HS696", message=message, hint="See to the other node and the link."))
        return tuple(found)
