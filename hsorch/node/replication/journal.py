"""The journal on disk: records in segments, appended at the end, read from anywhere, deleted from the front.

Source and standby use the same one: the source's is written by the mount (append), the standby's spool by the
wire (append_raw). A segment is a header and whole records; its name is the lsn of its first record. What the
records mean is not known here. One process owns a journal; its threads may append and read at once.
"""

from __future__ import annotations

import contextlib
import os
import struct
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from hsorch.node.replication.extents import start_writing
from hsorch.node.replication.record import (
    HEADER,
    Buffer,
    Damaged,
    Kind,
    Record,
    encode,
    first_size,
    holds_record,
    new_fid,
    parse,
    parse_all,
    whole_records,
)
from hsorch.node.store import sync_directory

SEGMENT_BYTES = 64 * 1024 * 1024
FIRST_LSN = 4096
"""No record stands at 0: an lsn of 0 means none."""
_HEAD = struct.Struct("<4sI16sQQII")
_HEAD_BYTES = 64
_MAGIC = b"HSJ1"
_SUFFIX = ".segment"
READ_BYTES = 1024 * 1024 + 64 * 1024
"""Read at a time: room for a record of 1 MiB and its path."""


@dataclass(frozen=True)
class Start:
    """Where a journal begins: job (16 bytes, one per group), generation, lsn, crc of the record before."""

    job: bytes
    generation: int
    lsn: int = FIRST_LSN
    previous: int = 0


def end_by_size(directory: Path) -> int:
    """Where the records end, a torn tail included, without opening anything; 0: there are none."""
    paths = sorted(directory.glob(f"*{_SUFFIX}"))
    if not paths:
        return 0
    return int(paths[-1].name.removesuffix(_SUFFIX)) + max(0, paths[-1].stat().st_size - _HEAD_BYTES)


class Foreign(Damaged):
    """Records of another group."""


@dataclass
class _Segment:
    first: int
    path: Path
    descriptor: int

    def place(self, lsn: int) -> int:
        return _HEAD_BYTES + lsn - self.first


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

        on_damage(lsn): called before whole records are cut off, because the one at lsn is damaged, or all of
        them are dropped, because segments do not fit together. Raises Foreign, OSError.
        """
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._lock = threading.Lock()
        self.grown = threading.Condition()
        self.job, self.generation = start.job, start.generation
        directory.mkdir(parents=True, exist_ok=True)
        self._segments: list[_Segment] = []
        self._firsts: list[int] = []
        self.end, self.crc = start.lsn, start.previous
        self._kept: dict[str, int] = {}
        self.cut_off = 0
        """Bytes of a torn tail that were dropped by opening."""
        paths = sorted(directory.glob(f"*{_SUFFIX}"))
        while paths and paths[-1].stat().st_size < _HEAD_BYTES:
            paths.pop().unlink()
        self.void = not paths
        """There was nothing that could be opened."""
        try:
            for path in paths:
                self._adopt(path)
        except Foreign:
            self.close()
            raise
        except Damaged:
            on_damage(start.lsn)
            self.void = True
            for path in paths:
                path.unlink()
            self.close()
        if self.void:
            self._begin(start)
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
            if self.end - self._firsts[-1] >= self._segment_bytes:
                self._roll()
            lsn = self.end
            identity = new_fid() if fid is None else fid
            record = Record(kind, lsn, self.generation, self.crc, identity, a, b, aux, path, data)
            parts, crc = encode(record)
            last = self._segments[-1]
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
            if self.end - self._firsts[-1] >= self._segment_bytes:
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
            last = self._segments[-1]
            _write_all(last.descriptor, [memoryview(data)[: end - lsn]], last.place(lsn))
            self.end, self.crc, self.generation = end, crc, generation
        with self.grown:
            self.grown.notify_all()
        if damage is not None:
            raise damage
        return end

    def sync(self) -> int:
        """Everything below the returned lsn is on stable storage. Raises OSError."""
        with self._lock:
            end, descriptor = self.end, os.dup(self._segments[-1].descriptor)
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        return end

    # ------------------------------------------------------------------- read

    @property
    def first(self) -> int:
        """The oldest lsn that can still be read."""
        return self._firsts[0]

    def read(self, lsn: int, limit: int = READ_BYTES) -> bytes:
        """Whole records from lsn on, about `limit` bytes but at least one; b"" at the end.

        Raises KeyError: lsn is deleted or not written yet. Damaged: the disk gave back something else.
        """
        with self._lock:
            if lsn == self.end:
                return b""
            segment, stop = self._holder(lsn)
            descriptor = os.dup(segment.descriptor)
        try:
            data = os.pread(descriptor, min(limit, stop - lsn), segment.place(lsn))
            whole = whole_records(data, lsn)
            if whole == 0:
                need = first_size(data, lsn)
                data = os.pread(descriptor, need, segment.place(lsn))
                whole = whole_records(data, lsn)
        finally:
            os.close(descriptor)
        if whole == 0:
            raise Damaged(lsn, "it is cut short")
        return data if whole == len(data) else data[:whole]

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

    def wait_beyond(self, lsn: int, timeout_s: float) -> bool:
        """True once there is something at lsn."""
        if self.end > lsn:
            return True
        with self.grown:
            return self.grown.wait_for(lambda: self.end > lsn, timeout_s)

    # ------------------------------------------------------------------- trim

    def delete_below(self, lsn: int) -> int:
        """Delete whole segments that end at or below lsn, never the last one. Bytes freed."""
        freed = 0
        lsn = min([lsn, *self._kept.values()])
        with self._lock:
            while len(self._segments) > 1 and self._firsts[1] <= lsn:
                segment = self._segments.pop(0)
                freed += self._firsts[1] - self._firsts[0]
                self._firsts.pop(0)
                segment.path.unlink()
                os.close(segment.descriptor)
        return freed

    def cut(self, lsn: int) -> None:
        """Drop the damaged record at lsn, and all behind it. Raises Damaged, OSError: it cannot be done."""
        with self._lock:
            segment, _ = self._holder(lsn)
            while self._segments[-1] is not segment:
                dropped = self._segments.pop()
                self._firsts.pop()
                dropped.path.unlink()
                os.close(dropped.descriptor)
            self.generation, self.end, self.crc = self._head(segment.path, segment.descriptor)
            self._find_end(lambda _: None)

    def keep(self, what: str, lsn: int | None) -> None:
        """Nothing is deleted from there on, for this purpose; until it is None."""
        if lsn is None:
            self._kept.pop(what, None)
        else:
            self._kept[what] = min(lsn, self._kept.get(what, lsn))

    def restart(self, start: Start) -> None:
        """Forget every record; go on at `start`. For a standby that takes over another stream."""
        with self._lock:
            for segment in self._segments:
                os.close(segment.descriptor)
                segment.path.unlink()
            self._begin(start)

    def close(self) -> None:
        with self._lock:
            for segment in self._segments:
                with contextlib.suppress(OSError):
                    os.close(segment.descriptor)
            self._segments.clear()

    # ---------------------------------------------------------------- segments

    def _holder(self, lsn: int) -> tuple[_Segment, int]:
        index = bisect_right(self._firsts, lsn) - 1
        if index < 0 or lsn > self.end:
            raise KeyError(lsn)
        last = index + 1 == len(self._segments)
        return self._segments[index], self.end if last else self._firsts[index + 1]

    def _roll(self) -> None:
        if self._segments:
            os.fdatasync(self._segments[-1].descriptor)
        path = self._directory / f"{self.end:020d}{_SUFFIX}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        body = _HEAD.pack(_MAGIC, 0, self.job, self.generation, self.end, self.crc, 0)
        head = body + struct.pack("<I", crc32(body))
        os.pwrite(descriptor, head.ljust(_HEAD_BYTES, b"\0"), 0)
        os.fdatasync(descriptor)
        sync_directory(self._directory)
        self._segments.append(_Segment(self.end, path, descriptor))
        self._firsts.append(self.end)

    def _begin(self, start: Start) -> None:
        self._segments.clear()
        self._firsts.clear()
        self.job, self.generation = start.job, start.generation
        self.end, self.crc = start.lsn, start.previous
        self._roll()

    def _adopt(self, path: Path) -> None:
        """Raises Foreign; Damaged: it is not the one that follows those before it."""
        before = self._segments[-1] if self._segments else None
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            generation, first, previous = self._head(path, descriptor)
            if before is not None and os.fstat(before.descriptor).st_size != before.place(first):
                raise Damaged(first, f"{path} does not follow the segment before it")
        except BaseException:
            os.close(descriptor)
            raise
        self.generation, self.end, self.crc = generation, first, previous
        self._segments.append(_Segment(first, path, descriptor))
        self._firsts.append(first)

    def _head(self, path: Path, descriptor: int) -> tuple[int, int, int]:
        """Generation, lsn and crc at which a segment begins. Raises Foreign, Damaged."""
        head = os.pread(descriptor, _HEAD_BYTES, 0)
        magic, _, job, generation, first, previous, _ = _HEAD.unpack_from(head)
        (crc,) = struct.unpack_from("<I", head, _HEAD.size)
        named = int(path.name.removesuffix(_SUFFIX))
        if magic != _MAGIC or crc != crc32(head[: _HEAD.size]) or first != named:
            raise Damaged(named, f"{path} has no valid header")
        if job != self.job:
            raise Foreign(first, f"{path} belongs to another job")
        return generation, first, previous

    def _find_end(self, on_damage: Callable[[int], None]) -> None:
        """Walk the last segment; cut off what is torn there. A tail without a whole record was never
        acknowledged; a record behind damage may have been."""
        last = self._segments[-1]
        size = os.fstat(last.descriptor).st_size
        while True:
            view = memoryview(os.pread(last.descriptor, 4 * READ_BYTES, last.place(self.end)))
            try:
                record = parse(view, 0, self.end, self.crc)
                if record is None and len(view) == 4 * READ_BYTES:
                    need = first_size(bytes(view[: HEADER.size]), self.end)
                    view = memoryview(os.pread(last.descriptor, need, last.place(self.end)))
                    record = parse(view, 0, self.end, self.crc)
                if record is None:
                    break
                for record in parse_all(view, self.end, self.crc):
                    self.end, self.crc, self.generation = record.end, record.crc, record.generation
            except Damaged:
                break
        self.cut_off = size - last.place(self.end)
        if self.cut_off:
            if holds_record(os.pread(last.descriptor, self.cut_off, last.place(self.end)), self.end):
                on_damage(self.end)
            os.ftruncate(last.descriptor, last.place(self.end))


def _write_all(descriptor: int, parts: list[Buffer], at: int) -> None:
    done = os.pwritev(descriptor, parts, at)
    total = sum(len(part) for part in parts)
    while done < total:
        rest = b"".join(parts)[done:]
        done += os.pwrite(descriptor, rest, at + done)
    start_writing(descriptor, at, total)
