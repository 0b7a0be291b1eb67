"""The standby's side: takes the stream in, and knows what its data are worth (state)."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hsorch.node.replication.apply import Applier
from hsorch.node.replication.journal import Journal
from hsorch.node.replication.marks import GUARDED, RELEASED, UNGUARDED
from hsorch.node.replication.messages import Hello
from hsorch.node.replication.meta import MetaFile
from hsorch.node.replication.quarantine import empty, set_aside
from hsorch.node.replication.record import Kind, Record
from hsorch.node.replication.spool import Spool
from hsorch.node.replication.tree import Tree
from hsorch.node.replication.wire import Broken, Listener
from hsorch.verbs import DataReport, LimitReport

if TYPE_CHECKING:
    from hsorch.node.replication.engine import Ledger, Way

ACCEPT_S = 0.5
HELLO_S = 10.0


class Noting(Applier):
    """Applies, and takes down what the marks in the stream say of the data (meta.outdated, meta.clean)."""

    def __init__(self, trees: Sequence[Tree], journal: Journal, meta: MetaFile) -> None:
        super().__init__(trees, set_aside)
        self._spooled = journal
        self._meta = meta

    def apply(self, record: Record) -> None:
        if record.kind is Kind.BARRIER:
            # What it vouches for must have outlived a crash of this node before the word is believed.
            self._spooled.sync()
            if record.aux in (GUARDED, UNGUARDED):
                self._meta.change(outdated=record.aux == UNGUARDED)
        elif record.kind is Kind.MIRROR_BEGIN:
            self._meta.change(outdated=True)
        self._meta.change(clean=record.kind is Kind.BARRIER and record.aux == RELEASED)
        super().apply(record)


class Target:
    """Listens on every way and spools once it is made."""

    def __init__(self, ledger: Ledger, trees: Sequence[Tree]) -> None:
        self._ledger = ledger
        self._stopped = threading.Event()
        self._via = ""
        self._why = "the source has not connected yet"
        self._applier = Noting(trees, ledger.journal, ledger.meta)
        self._spool = Spool(
            ledger.journal, self._applier, ledger.meta, ledger.hello, lambda: empty(trees)
        )
        self._spool.start()
        self._one = threading.Lock()
        self._threads = [
            threading.Thread(target=self._listen, args=(way,), name=f"data {way.link}", daemon=True)
            for way in ledger.site.ways
        ]
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """No more stream; all that is spooled gets into the files. Raises OSError, Damaged."""
        self._stopped.set()
        try:
            self._spool.finish()
        finally:
            for thread in self._threads:
                thread.join(5)
            self._applier.close()

    def report(self, common: Mapping[str, Any]) -> DataReport:
        connected = bool(self._via)
        mirroring = connected and not self._ledger.meta.value.consistent
        return DataReport(
            role="target",
            state=self._state(),
            phase="mirror" if mirroring else "live" if connected else "connecting",
            connected=connected,
            link=self._via,
            queue_bytes=max(0, self._ledger.journal.end - self._spool.applied),
            troubles=self._troubles(connected),
            **common,
        )

    def _state(self) -> str:
        meta = self._ledger.meta.value
        if not meta.generations.current and not meta.generations.receiving:
            return "unknown"
        if not meta.consistent:
            return "inconsistent"
        if self._spool.fault:
            return "unknown"
        return "logical" if self._ledger.site.ack == "none" or meta.outdated else "complete"

    def _troubles(self, connected: bool) -> tuple[LimitReport, ...]:
        if self._spool.fault:
            return (LimitReport(code="HS697", message=self._spool.fault, hint="See to the disk."),)
        if not connected:
            message = f"No data come: {self._why}."
            return (LimitReport(code="HS696", message=message, hint="See to the other node and the link."),)
        return ()

    # ------------------------------------------------------------------- stream

    def _listen(self, way: Way) -> None:
        """The address may not be there yet, or go and come back."""
        while not self._stopped.is_set():
            try:
                listener = Listener(way.here, self._ledger.site.port, self._ledger.site.keys)
            except OSError as error:
                self._why = f"{way.here} port {self._ledger.site.port}: {error.strerror}"
                self._stopped.wait(1.0)
                continue
            try:
                while not self._stopped.is_set():
                    self._accept(listener, way)
            finally:
                listener.close()

    def _accept(self, listener: Listener, way: Way) -> None:
        try:
            channel = listener.accept(ACCEPT_S)
            if channel is None:
                return
            frame = channel.receive(HELLO_S)
            if frame is None or not isinstance(frame.message, Hello):
                channel.close()
                return
            with self._one:
                self._via = way.link
                self._spool.serve(channel, frame.message)
        except Broken as error:
            self._why = str(error)
            time.sleep(0.05)
        finally:
            self._via = ""
