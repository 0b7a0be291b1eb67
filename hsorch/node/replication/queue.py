"""How much may wait for an absent standby, and what is kept once it is too much.

Up to the cap the journal holds everything and the standby loses nothing. Beyond it ("behind") records of
writes leave their data out and only the places are noted, in blocks; names and sizes go on in order. When the
standby is back, those blocks are copied from the files as they are by then, between MIRROR_BEGIN and
MIRROR_END: the resync costs what differs, not everything. The application never waits for room of ours.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator

from hsorch.node.replication.gate import Gate
from hsorch.node.replication.journal import Journal
from hsorch.node.replication.record import Kind
from hsorch.node.replication.reserve import Reserve

BLOCK_BYTES = 64 * 1024
FULL_AGAIN_S = 0.1
CAP_BYTES = 4 * 1024 * 1024 * 1024


class DirtyMap:
    """Which blocks of which files were written without their data being kept. A set bit per block."""

    def __init__(self) -> None:
        self._blocks: dict[int, int] = {}

    def __bool__(self) -> bool:
        return bool(self._blocks)

    def add(self, fid: int, offset: int, length: int) -> None:
        first, last = offset // BLOCK_BYTES, (offset + max(length, 1) - 1) // BLOCK_BYTES
        self._blocks[fid] = self._blocks.get(fid, 0) | ((1 << (last - first + 1)) - 1) << first

    def join(self, other: DirtyMap) -> None:
        for fid, bits in other._blocks.items():
            self._blocks[fid] = self._blocks.get(fid, 0) | bits

    @property
    def bytes(self) -> int:
        """What a resync would copy at most."""
        return sum(bits.bit_count() for bits in self._blocks.values()) * BLOCK_BYTES

    def files(self) -> frozenset[int]:
        return frozenset(self._blocks)

    def ranges(self, fid: int) -> Iterator[tuple[int, int]]:
        """(offset, length) of each run of dirty blocks."""
        bits, at = self._blocks.get(fid, 0), 0
        while bits:
            skip = (bits & -bits).bit_length() - 1
            bits >>= skip
            at += skip
            run = (~bits & (bits + 1)).bit_length() - 1
            yield at * BLOCK_BYTES, run * BLOCK_BYTES
            bits >>= run
            at += run


class Queue:
    """The watcher of capture.log: asked before each change of content. Thread-safe."""

    def __init__(self, journal: Journal, gate: Gate, reserve: Reserve, cap: int = CAP_BYTES) -> None:
        """reserve: on the journal's disk. cap: bytes. Raises as journal.read does."""
        self._journal = journal
        self._gate = gate
        self._reserve = reserve
        self._crammed = -1
        """Where the journal ended when the reserve was given up; -1: it is held."""
        self._cap = cap
        self._lock = threading.Lock()
        self.held = False
        """No room for what is waiting: only places are noted, as if it were over its cap."""
        self.begun_at = 0
        """lsn of the last MIRROR_BEGIN of ours."""
        self._owed: DirtyMap | None = None
        """What level() gave out and nobody has copied yet."""
        self._dirty: DirtyMap | None = self._left_open()
        """Not None: behind."""

    @property
    def behind(self) -> bool:
        return self._dirty is not None or self._owed is not None

    @property
    def dirty_bytes(self) -> int:
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
        self._reserve.give_up()
        self._crammed = self._journal.end
        if length:
            with self._lock:
                self._fall_behind().add(fid, offset, length)
        return not length

    def level(self) -> DirtyMap:
        """The standby is connected again: records are whole from now on; what is missing is returned.

        Again and again, until it is closed."""
        with self._lock:
            owed = self._owed or DirtyMap()
            if self._dirty is not None:
                owed.join(self._dirty)
            self._owed, self._dirty = owed, None
            return owed

    def closed(self) -> None:
        """MIRROR_END is in the journal: nothing of what level() gave out is missing any more."""
        with self._lock:
            self._owed = None
            if self._crammed >= 0:
                self._reserve.hold()
                self._crammed = -1
            self._journal.keep = None if self._dirty is None else self.begun_at

    def _fall_behind(self) -> DirtyMap:
        if self._dirty is None:
            # The standby's files are no picture of one moment from here to the end of the resync.
            self.begun_at = self._journal.append(Kind.MIRROR_BEGIN, a=1).lsn
            self._journal.keep = self._journal.keep or self.begun_at
            self._dirty = DirtyMap()
        return self._dirty

    def _left_open(self) -> DirtyMap | None:
        """What a process before this one left out and did not copy: the journal itself knows.

        Reads all of it, once. Raises as journal.read does.
        """
        dirty: DirtyMap | None = None
        for record in self._journal.records(self._journal.first):
            if record.kind is Kind.MIRROR_BEGIN and record.a == 1:
                self.begun_at = record.lsn
                if dirty is None:
                    dirty, self._journal.keep = DirtyMap(), record.lsn
            elif record.kind is Kind.MIRROR_END and record.a <= 1 and record.b >= self.begun_at:
                dirty, self._journal.keep = None, None
            elif dirty is not None and record.kind is Kind.WRITE and len(record.data) != record.b:
                dirty.add(record.fid, record.a, record.b)
        return dirty
