"""The activity log on disk: where contents may be other than the journal says, once the power was cut.

A source notes a place here before it writes there (capture/activity.py); a standby notes what it must have
compared before anybody calls it equal (resync.py). A file that is torn, damaged or missing says "everywhere".
When a place may be forgotten is not decided here.

Two areas of a fixed size that are written in turn, so that it never needs room on a full disk: a head, then
spans; what is not used is zero. A check of each slot covers its place and the head's number.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from hsorch.node.store import sync_directory

EXTENT_BYTES = 4 * 1024 * 1024
SLOTS = 4096
"""Of an area, its head included: 128 KiB for 16 GiB of hot extents."""
_HEAD = struct.Struct("<4sIQQII")
_SPAN = struct.Struct("<QQQII")
_SLOT_BYTES = 32
_AREA_BYTES = SLOTS * _SLOT_BYTES
_MAGIC = b"HSH1"
_FORMAT = 1
_EVERYWHERE = 0xFFFF_FFFF

Span = tuple[int, int, int]
"""fid, first and last extent of it."""
Spans = frozenset[Span] | None
"""None: everywhere."""


@dataclass(frozen=True)
class Known:
    """settled: below this lsn, records and what they did outside `spans` are on stable storage."""

    spans: Spans
    settled: int = 0
    number: int = 0
    used: int = 1


class HotFile:
    """One user at a time."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self._path = path
        self._known = _load(path)
        self._descriptor = -1

    @property
    def spans(self) -> Spans:
        """As of the last replace(), or the start."""
        return self._known.spans

    @property
    def settled(self) -> int:
        return self._known.settled

    def add(self, span: Span) -> bool:
        """On stable storage when it returns; False: there is no room. Raises OSError."""
        known = self._known
        if known.used == SLOTS or known.spans is None:
            return False
        if self._descriptor < 0:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        os.pwrite(
            self._descriptor, _pack(span, known.used, known.number),
            known.number % 2 * _AREA_BYTES + known.used * _SLOT_BYTES,
        )  # fmt: skip
        os.fdatasync(self._descriptor)
        self._known = Known(known.spans, known.settled, known.number, known.used + 1)
        return True

    def replace(self, spans: Spans, settled: int) -> None:
        """On stable storage when it returns; more than there is room for are everywhere. Raises OSError: what
        was there before counts, or everywhere."""
        if spans is not None and len(spans) >= SLOTS:
            spans = None
        number, first = self._known.number + 1, self._known.number == 0
        area = _area(number, spans, settled)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if first:  # also over what could not be read
                os.pwrite(descriptor, bytes(2 * _AREA_BYTES), 0)
                os.ftruncate(descriptor, 2 * _AREA_BYTES)
            os.pwrite(descriptor, area, number % 2 * _AREA_BYTES)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if first:
            sync_directory(self._path.parent)
        self._known = Known(spans, settled, number, 1 + len(spans or ()))

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def span_of(fid: int, offset: int, length: int) -> Span:
    """length: at least 1."""
    return fid, offset // EXTENT_BYTES, (offset + length - 1) // EXTENT_BYTES


def places(spans: Iterable[Span]) -> Iterator[tuple[int, int, int]]:
    """(fid, offset, length) of each."""
    for fid, first, last in spans:
        yield fid, first * EXTENT_BYTES, (last - first + 1) * EXTENT_BYTES


def _area(number: int, spans: Spans, settled: int) -> bytes:
    count = _EVERYWHERE if spans is None else len(spans)
    slots = [_seal(_HEAD.pack(_MAGIC, _FORMAT, number, settled, count, 0), 0, number)]
    slots += [_pack(span, slot, number) for slot, span in enumerate(sorted(spans or ()), 1)]
    return b"".join(slots).ljust(_AREA_BYTES, b"\0")


def _pack(span: Span, slot: int, number: int) -> bytes:
    return _seal(_SPAN.pack(*span, slot, 0), slot, number)


def _seal(packed: bytes, slot: int, number: int) -> bytes:
    body = packed[:-4]
    return body + struct.pack("<I", crc32(body, crc32(struct.pack("<QI", number, slot))))


def _load(path: Path) -> Known:
    everywhere = Known(None)
    with contextlib.suppress(FileNotFoundError):
        data = path.read_bytes()
        if len(data) != 2 * _AREA_BYTES:
            return everywhere
        try:
            areas = [_parse(data[:_AREA_BYTES]), _parse(data[_AREA_BYTES:])]
        except ValueError:
            return everywhere
        return max(areas, key=lambda area: area.number)
    return everywhere


def _parse(area: bytes) -> Known:
    """Raises ValueError: not what was written here."""
    if not any(area):
        return Known(None)
    magic, form, number, settled, count, _ = _HEAD.unpack_from(area)
    if magic != _MAGIC or form != _FORMAT or area[:_SLOT_BYTES] != _seal(area[:_SLOT_BYTES], 0, number):
        raise ValueError("no head")
    used = len(area.rstrip(b"\0")) + _SLOT_BYTES - 1
    slots = [
        area[at : at + _SLOT_BYTES]
        for at in range(_SLOT_BYTES, used // _SLOT_BYTES * _SLOT_BYTES, _SLOT_BYTES)
    ]
    if any(found != _seal(found, slot, number) for slot, found in enumerate(slots, 1)):
        raise ValueError("torn")
    if count == _EVERYWHERE:
        return Known(None, settled, number)
    if len(slots) < count:
        raise ValueError("cut short")
    spans = frozenset(_SPAN.unpack(found)[:3] for found in slots)
    return Known(spans, settled, number, 1 + len(slots))
