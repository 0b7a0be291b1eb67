"""The files of a journal, one by one: a header, then whole records; its name is the lsn of the first of them.

Made, opened, read and deleted here, and where the records end is found again. Which files make up a journal
is chain.py's business.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from zlib import crc32

from hsorch.node.replication.record import (
    HEADER,
    Damaged,
    first_size,
    holds_record,
    parse,
    parse_all,
    whole_records,
)
from hsorch.node.store import sync_directory

FIRST_LSN = 4096
"""No record stands at 0: an lsn of 0 means none."""
READ_BYTES = 1024 * 1024 + 64 * 1024
"""Read at a time: room for a record of 1 MiB and its path."""
_HEAD = struct.Struct("<4sI16sQQII")
_HEAD_BYTES = 64
_MAGIC = b"HSJ1"
_SUFFIX = ".segment"
_INSTEAD = ".instead"


@dataclass(frozen=True)
class Start:
    """Where records begin: job (16 bytes, one per group), generation, lsn, crc of the record before."""

    job: bytes
    generation: int
    lsn: int = FIRST_LSN
    previous: int = 0


@dataclass(frozen=True)
class End:
    """Where records end: generation and crc are those of the last one."""

    generation: int
    lsn: int
    crc: int


class Foreign(Damaged):
    """Records of another group."""


@dataclass(frozen=True)
class Segment:
    start: Start
    path: Path
    descriptor: int

    @property
    def first(self) -> int:
        return self.start.lsn

    @property
    def end_by_size(self) -> int:
        """Where the records end if nothing is torn."""
        return self.first + os.fstat(self.descriptor).st_size - _HEAD_BYTES

    def place(self, lsn: int) -> int:
        return _HEAD_BYTES + lsn - self.first

    def read(self, lsn: int, stop: int, limit: int) -> bytes:
        """Whole records from lsn on, about `limit` bytes but at least one. Raises Damaged, OSError."""
        data = os.pread(self.descriptor, min(limit, stop - lsn), self.place(lsn))
        whole = whole_records(data, lsn)
        if whole == 0:
            data = os.pread(self.descriptor, first_size(data, lsn), self.place(lsn))
            whole = whole_records(data, lsn)
        if whole == 0:
            raise Damaged(lsn, "it is cut short")
        return data if whole == len(data) else data[:whole]

    def find_end(self) -> End:
        """Behind the last record that is whole and follows the one before it. Raises OSError."""
        generation, end, crc = self.start.generation, self.start.lsn, self.start.previous
        while True:
            view = memoryview(os.pread(self.descriptor, 4 * READ_BYTES, self.place(end)))
            try:
                record = parse(view, 0, end, crc)
                if record is None and len(view) == 4 * READ_BYTES:
                    need = first_size(bytes(view[: HEADER.size]), end)
                    view = memoryview(os.pread(self.descriptor, need, self.place(end)))
                    record = parse(view, 0, end, crc)
                if record is None:
                    break
                for record in parse_all(view, end, crc):
                    generation, end, crc = record.generation, record.end, record.crc
            except Damaged:
                break
        return End(generation, end, crc)

    def cut(self, lsn: int, on_damage: Callable[[int], None]) -> int:
        """Cut off what stands from lsn on, bytes. on_damage(lsn): before, where whole records are among it: a
        tail without one was never acknowledged, a record behind damage may have been. Raises OSError."""
        torn = os.fstat(self.descriptor).st_size - self.place(lsn)
        if torn:
            if holds_record(os.pread(self.descriptor, torn, self.place(lsn)), lsn):
                on_damage(lsn)
            os.ftruncate(self.descriptor, self.place(lsn))
        return torn

    def duplicate(self) -> Segment:
        """Readable also while this one is deleted; to be closed."""
        return replace(self, descriptor=os.dup(self.descriptor))

    def close(self) -> None:
        os.close(self.descriptor)

    def delete(self) -> None:
        self.path.unlink()
        self.close()


def paths_of(directory: Path) -> list[Path]:
    """In order."""
    return sorted(directory.glob(f"*{_SUFFIX}"))


def end_by_size(directory: Path) -> int:
    """Where the records end, a torn tail included, without opening anything; 0: there are none."""
    paths = paths_of(directory)
    if not paths:
        return 0
    return _first_of(paths[-1]) + max(0, paths[-1].stat().st_size - _HEAD_BYTES)


def make(directory: Path, start: Start, suffix: str = _SUFFIX) -> Segment:
    """A new one, on stable storage when it returns. Raises OSError."""
    path = directory / f"{start.lsn:020d}{suffix}"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        body = _HEAD.pack(_MAGIC, 0, start.job, start.generation, start.lsn, start.previous, 0)
        head = body + struct.pack("<I", crc32(body))
        os.pwrite(descriptor, head.ljust(_HEAD_BYTES, b"\0"), 0)
        os.fdatasync(descriptor)
        sync_directory(directory)
    except OSError:
        os.close(descriptor)
        raise
    return Segment(start, path, descriptor)


def make_instead(directory: Path, start: Start) -> Segment:
    """A new one instead of all that are there, on stable storage when it returns. Raises OSError: then
    finish() finds those, or the new one."""
    segment = make(directory, start, _INSTEAD)
    return replace(segment, path=_take_the_place(segment.path))


def finish(directory: Path) -> None:
    """What a crash broke off is done, or was never begun. Raises OSError."""
    for path in directory.glob(f"*{_INSTEAD}"):
        if _fields(path.read_bytes()[:_HEAD_BYTES]) is None:
            path.unlink()
        else:
            _take_the_place(path)
    paths = paths_of(directory)
    if paths and paths[-1].stat().st_size <= _HEAD_BYTES and _fields(paths[-1].read_bytes()) is None:
        paths[-1].unlink()  # no record was ever in it


def following(path: Path, job: bytes, before: Segment | None) -> Segment:
    """The one at path. Raises Foreign; Damaged: it is not the one that follows the one before it; OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        start = _start_of(path, os.pread(descriptor, _HEAD_BYTES, 0), job)
        if before is not None and before.end_by_size != start.lsn:
            raise Damaged(start.lsn, f"{path} does not follow the segment before it")
    except BaseException:
        os.close(descriptor)
        raise
    return Segment(start, path, descriptor)


def _take_the_place(path: Path) -> Path:
    for old in paths_of(path.parent):
        old.unlink()
    placed = path.rename(path.with_suffix(_SUFFIX))
    sync_directory(path.parent)
    return placed


def _start_of(path: Path, head: bytes, job: bytes) -> Start:
    start = _fields(head)
    if start is None or start.lsn != _first_of(path):
        raise Damaged(_first_of(path), f"{path} has no valid header")
    if start.job != job:
        raise Foreign(start.lsn, f"{path} belongs to another job")
    return start


def _fields(head: bytes) -> Start | None:
    if len(head) < _HEAD_BYTES:
        return None
    magic, _, job, generation, first, previous, _ = _HEAD.unpack_from(head)
    (crc,) = struct.unpack_from("<I", head, _HEAD.size)
    whole = magic == _MAGIC and crc == crc32(head[: _HEAD.size])
    return Start(job, generation, first, previous) if whole else None


def _first_of(path: Path) -> int:
    return int(path.name.removesuffix(_SUFFIX))
