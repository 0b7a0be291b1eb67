"""The journal on disk: records in segments, appended at the end, read from anywhere, deleted from the front.

Source and standby use the same one: the source's is written by the mount (append), the standby's spool by the
wire (append_raw). The files are chain.py's business, and what the records mean is not known here. One process
owns a journal; its threads may append and read at once.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from hsorch.node.replication.chain import Chain
from hsorch.node.replication.extents import start_writing
from hsorch.node.replication.record import Buffer, Damaged, Kind, Record, encode, new_fid, parse_all
from hsorch.node.replication.segments import READ_BYTES, Segment, Start

SEGMENT_BYTES = 64 * 1024 * 1024


class Journal:
    """Thread-safe. `end` is the lsn of the next record, `crc` that of the last one."""

    def __init__(
        self,
        directory: Path,
        start: Start,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        on_damage: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Open what is there (torn tails are cut off), else begin at `start`.

        on_damage(lsn): called before whole records from lsn on are dropped, as the one at lsn is damaged, or
        what stands there does not follow what comes before it. Raises Foreign, OSError.
        """
        self._segment_bytes = segment_bytes
        self._lock = threading.Lock()
        self.grown = threading.Condition()
        self.job, self.generation = start.job, start.generation
        directory.mkdir(parents=True, exist_ok=True)
        self._chain = Chain(directory)
        self.end, self.crc = start.lsn, start.previous
        self._kept: dict[str, int] = {}
        self.cut_off = 0
        """Bytes of a torn tail that were dropped by opening."""
        self.refusals = 0
        """How often the disk refused to sync records: then it has forgotten them, and says so only once."""
        self.void = not self._chain.open(start, on_damage)
        """There was nothing that could be opened."""
        if self.void:
            self._chain.add(start)
        else:
            self._find_end(on_damage)

    # ------------------------------------------------------------------ write

    def append(
        self,
        kind: Kind,
        *,
        fid: int | None = 0,
        a: int = 0,
        b: int = 0,
        aux: int = 0,
        path: bytes = b"",
        data: Buffer = b"",
    ) -> Record:
        """Add one record; fid None: a new identity. Raises OSError, then nothing was added."""
        with self._lock:
            if self.end - self._chain.last.first >= self._segment_bytes:
                self._roll()
            lsn = self.end
            identity = new_fid() if fid is None else fid
            record = Record(kind, lsn, self.generation, self.crc, identity, a, b, aux, path, data)
            parts, crc = encode(record)
            last = self._chain.last
            _write_all(last.descriptor, parts, last.place(lsn))
            self.end, self.crc = record.end, crc
        with self.grown:
            self.grown.notify_all()
        return record

    def begin_generation(self, generation: int) -> Record:
        """Go on under another name. Raises OSError."""
        before, self.generation = self.generation, generation
        try:
            return self.append(Kind.GENERATION)
        except OSError:
            self.generation = before
            raise

    def append_raw(self, lsn: int, data: Buffer) -> int:
        """Add records as they came over the wire; whole records, starting at our end. The new end.

        Raises Damaged: another place, a broken chain, a record cut short; what was good before it is added.
        """
        with self._lock:
            if lsn != self.end:
                raise Damaged(self.end, f"records of {lsn} came instead")
            if self.end - self._chain.last.first >= self._segment_bytes:
                self._roll()
            end, crc, generation = lsn, self.crc, self.generation
            damage: Damaged | None = None
            try:
                for record in parse_all(data, lsn, crc):
                    end, crc, generation = record.end, record.crc, record.generation
                if end != lsn + len(data):
                    damage = Damaged(end, "it is cut short")
            except Damaged as found:
                damage = found
            last = self._chain.last
            _write_all(last.descriptor, [memoryview(data)[: end - lsn]], last.place(lsn))
            self.end, self.crc, self.generation = end, crc, generation
        with self.grown:
            self.grown.notify_all()
        if damage is not None:
            raise damage
        return end

    def sync(self) -> int:
        """Everything below the returned lsn is on stable storage, unless the disk refused before (refusals).
        Raises OSError."""
        with self._lock:
            end, held, refusals = self.end, self._chain.last.duplicate(), self.refusals
        try:
            os.fdatasync(held.descriptor)
        except OSError:
            with self._lock:
                self.refusals += 1
            raise
        finally:
            held.close()
        with self._lock:
            if self.refusals != refusals:  # the only word of it went to somebody else meanwhile
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        return end

    # ------------------------------------------------------------------- read

    @property
    def first(self) -> int:
        """The oldest lsn that can still be read."""
        return self._chain.first

    def read(self, lsn: int, limit: int = READ_BYTES) -> bytes:
        """Whole records from lsn on, about `limit` bytes but at least one; b"" at the end.

        Raises KeyError: lsn is deleted or not written yet. Damaged: the disk gave back something else.
        """
        with self._lock:
            if lsn == self.end:
                return b""
            segment, stop = self._holder(lsn)
            held = segment.duplicate()
        try:
            return held.read(lsn, stop, limit)
        finally:
            held.close()

    def records(self, lsn: int, until: int | None = None) -> Iterator[Record]:
        """Records from lsn to `until` (default: the end of now). Raises as read does."""
        stop = self.end if until is None else until
        previous: int | None = None
        while lsn < stop:
            for record in parse_all(self.read(lsn), lsn, previous):
                if record.lsn >= stop:
                    return
                yield record
                lsn, previous = record.end, record.crc

    def crc_before(self, lsn: int) -> int:
        """The crc of the record that ends at lsn: what both ends must agree on. Raises as read does."""
        with self._lock:
            if lsn == self.end:
                return self.crc
            if lsn > self.end:
                raise KeyError(lsn)
        return next(self.records(lsn)).previous

    def wait_beyond(self, lsn: int, timeout_s: float, stopped: Callable[[], bool] = lambda: False) -> bool:
        """True once there is something at lsn. stopped(): looked at when wake() is called, too."""
        if self.end > lsn:
            return True
        with self.grown:
            self.grown.wait_for(lambda: self.end > lsn or stopped(), timeout_s)
            return self.end > lsn

    def wake(self) -> None:
        """Who waits for more need not do so any longer."""
        with self.grown:
            self.grown.notify_all()

    # ------------------------------------------------------------------- trim

    def delete_below(self, lsn: int) -> int:
        """Delete whole segments that end at or below lsn, never the last one. Bytes freed."""
        with self._lock:
            return self._chain.delete_below(min([lsn, *self._kept.values()]))

    def cut(self, lsn: int) -> None:
        """Drop the damaged record at lsn, and all behind it. Raises OSError: it cannot be done."""
        with self._lock:
            segment, _ = self._holder(lsn)
            self._chain.delete_behind(segment)
            self._find_end(lambda _: None)

    def keep(self, what: str, lsn: int | None) -> None:
        """Nothing is deleted from there on, for this purpose; until it is None."""
        if lsn is None:
            self._kept.pop(what, None)
        else:
            self._kept[what] = min(lsn, self._kept.get(what, lsn))

    def restart(self, start: Start) -> None:
        """Forget every record; go on at `start`. For a standby that takes over another stream. A crash leaves
        the one or the other, whole. Raises OSError."""
        with self._lock:
            self._chain.exchange(start)
            self.job, self.generation = start.job, start.generation
            self.end, self.crc = start.lsn, start.previous

    def close(self) -> None:
        with self._lock:
            self._chain.close()

    # ------------------------------------------------------------------ inside

    def _holder(self, lsn: int) -> tuple[Segment, int]:
        segment, stop = self._chain.holder(lsn)
        if lsn > self.end:
            raise KeyError(lsn)
        return segment, self.end if stop is None else stop

    def _roll(self) -> None:
        try:
            os.fdatasync(self._chain.last.descriptor)
        except OSError:
            self.refusals += 1
            raise
        self._chain.add(Start(self.job, self.generation, self.end, self.crc))

    def _find_end(self, on_damage: Callable[[int], None]) -> None:
        """Of the last segment; what is torn there is cut off."""
        last = self._chain.last
        end = last.find_end()
        self.generation, self.end, self.crc = end.generation, end.lsn, end.crc
        self.cut_off = last.cut(end.lsn, on_damage)


def _write_all(descriptor: int, parts: list[Buffer], at: int) -> None:
    done = os.pwritev(descriptor, parts, at)
    total = sum(len(part) for part in parts)
    while done < total:
        rest = b"".join(parts)[done:]
        done += os.pwrite(descriptor, rest, at + done)
    start_writing(descriptor, at, total)
