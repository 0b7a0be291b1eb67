"""How much may wait for an absent standby, and what is kept once it is too much.

Up to the cap the journal holds everything and the standby loses nothing. Beyond it ("behind") records of
writes leave their data out and only the places are noted (dirty.py); names and sizes go on in order. When the
standby is back, those blocks are copied from the files as they are by then, between MIRROR_BEGIN and
MIRROR_END: the resync costs what differs, not everything. The application never waits for room of ours, and
the resync needs no room for all that it copies (pace.py).
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time

from hsorch.node.replication.dirty import DirtyFile, DirtyMap
from hsorch.node.replication.gate import Gate
from hsorch.node.replication.journal import Journal
from hsorch.node.replication.record import Kind
from hsorch.node.replication.reserve import Reserve

FULL_AGAIN_S = 0.1
LEFT_OUT = "left out"
CAP_BYTES = 4 * 1024 * 1024 * 1024


class Queue:
    """The watcher of capture.log: asked before each change of content. Thread-safe."""

    def __init__(
        self, journal: Journal, gate: Gate, reserve: Reserve, kept: DirtyFile, cap: int = CAP_BYTES
    ) -> None:
        """reserve, kept: on the journal's disk. cap: bytes. Raises as journal.read does, ValueError."""
        self._journal = journal
        self._gate = gate
        self._reserve = reserve
        self._kept = kept
        self._crammed = -1
        """Where the journal ended when the reserve was given up; -1: it is held."""
        self._cap = cap
        self._lock = threading.Lock()
        self.held = False
        """No room for what is waiting: only places are noted, as if it were over its cap."""
        self._begun_at = 0
        """lsn of the last MIRROR_BEGIN of ours."""
        self._owed: DirtyMap | None = None
        """What level() gave out and nobody has copied yet."""
        self.owed_at = 0
        """lsn of the last MIRROR_BEGIN that it makes good."""
        self._dirty: DirtyMap | None = self._left_open()
        """Not None: behind."""

    @property
    def behind(self) -> bool:
        return self._dirty is not None or self._owed is not None

    @property
    def dirty_bytes(self) -> int:
        with self._lock:
            return sum(dirty.bytes for dirty in (self._dirty, self._owed) if dirty is not None)

    def before(self, fid: int, offset: int, length: int) -> bool:
        """False: the record leaves its data out. Raises OSError when the journal cannot be written.

        Where flushes are guarded a record without data must not count as held: the writer waits instead.
        """
        if self._dirty is None:
            over = self._journal.end - max(self._gate.durable, self._journal.first) >= self._cap
            if over and self._gate.guards:
                self._gate.wait(self._journal.end - self._cap)
            if self._gate.guards or not (over or self.held):
                return True
        with self._lock:
            self._fall_behind().add(fid, offset, length)
        return False

    def full(self, fid: int, offset: int, length: int) -> bool:
        """Where flushes are guarded the writer waits for room; else places are noted, in what was reserved.

        Raises OSError ENOSPC: what was reserved is used up, too."""
        if self._gate.guards:
            self._gate.wait(self._journal.end)
            time.sleep(FULL_AGAIN_S)
            return True
        if self._crammed == self._journal.end:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.cram()
        if length:
            with self._lock:
                self._fall_behind().add(fid, offset, length)
        return not length

    def cram(self) -> None:
        """Room for a last few records on a full disk."""
        self._reserve.give_up()
        self._crammed = self._journal.end

    def level(self) -> DirtyMap:
        """The standby is connected again: records are whole from now on; what is missing is returned.

        Again and again, until it is closed."""
        with self._lock:
            owed = self._owed or DirtyMap()
            if self._dirty is not None:
                owed.join(self._dirty)
                self.owed_at = self._begun_at
                with contextlib.suppress(OSError):  # no room: then the records themselves are kept
                    self._kept.save(self._begun_at, owed)
                    self._journal.keep(LEFT_OUT, None)
            self._owed, self._dirty = owed, None
            return owed

    def closed(self) -> None:
        """MIRROR_END is in the journal: nothing that level() gave out is missing any more. Raises OSError."""
        with self._lock:
            if self._owed:
                self._journal.sync()  # else a power cut could take the copies along with the word of them
            self._kept.drop()
            self._owed = None
            if self._crammed >= 0:
                self._reserve.hold()
                self._crammed = -1
            self._journal.keep(LEFT_OUT, None)
            if self._dirty is not None:
                self._journal.keep(LEFT_OUT, self._begun_at)

    def _fall_behind(self) -> DirtyMap:
        if self._dirty is None:
            # The standby's files are no picture of one moment from here to the end of the resync.
            self._begun_at = self._journal.append(Kind.MIRROR_BEGIN, a=1).lsn
            self._journal.keep(LEFT_OUT, self._begun_at)
            self._dirty = DirtyMap()
        return self._dirty

    def _left_open(self) -> DirtyMap | None:
        """What a process before this one left out and did not copy: the journal knows, and what it knew once
        is kept. Reads all of it, once. Raises as journal.read does, ValueError.
        """
        dirty: DirtyMap | None = None
        if kept := self._kept.load():
            self._begun_at, dirty = kept
        for record in self._journal.records(self._journal.first):
            if record.kind is Kind.MIRROR_BEGIN and record.a == 1:
                self._begun_at = record.lsn
                if dirty is None:
                    dirty = DirtyMap()
                    self._journal.keep(LEFT_OUT, record.lsn)
            elif record.kind is Kind.MIRROR_END and record.a <= 1 and record.b >= self._begun_at:
                dirty = None
                self._journal.keep(LEFT_OUT, None)
            elif dirty is not None and record.kind is Kind.WRITE and len(record.data) != record.b:
                dirty.add(record.fid, record.a, record.b)
        return dirty
