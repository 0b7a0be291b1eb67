"""Where two copies of the bound files can differ in content: gathered from records, places that were left
out, and hot extents. Blocks of a comparison; names and attributes are always compared. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hsorch.node.replication.hot import Spans, places, span_of
from hsorch.node.replication.record import Kind, Record
from hsorch.node.replication.verify import BLOCK

Extents = dict[int, list[tuple[int, int]]]
"""fid -> (offset, end), aligned to blocks, in order: where contents can differ at all."""
Brought = dict[int, set[int]]
"""By number of a tree: inodes of a standby's files whose content a base copy brought, or found equal
(base_copy.py). After one, extents say where contents can differ of these files only."""
MOST_RANGES = 500_000
"""To name more of them would cost more than to compare everything."""
_LONG = 64 * 1024 * 1024
WHOLE = 1 << 62
"""Longer than any file."""


class Doubt:
    """Add everything, then ask for extents()."""

    def __init__(self) -> None:
        self._blocks: dict[int, set[int]] = {}
        self._long: dict[int, list[tuple[int, int]]] = {}
        self._everywhere = False

    def add(self, fid: int, offset: int, length: int) -> None:
        if length <= 0:
            return
        if length > _LONG:
            self._long.setdefault(fid, []).append((offset, offset + length))
        else:
            blocks = range(offset // BLOCK, (offset + length - 1) // BLOCK + 1)
            self._blocks.setdefault(fid, set()).update(blocks)

    def add_spans(self, spans: Spans) -> None:
        self._everywhere |= spans is None
        for place in places(spans or ()):
            self.add(*place)

    def add_records(self, records: Iterable[Record]) -> None:
        for record in records:
            self.add(record.fid, *_content(record))

    def add_extents(self, extents: Extents | None) -> None:
        self._everywhere |= extents is None
        for fid, ranges in (extents or {}).items():
            for offset, end in ranges:
                self.add(fid, offset, end - offset)

    def extents(self) -> Extents | None:
        """None: everywhere."""
        joined = {fid: list(self._joined(fid)) for fid in self._blocks.keys() | self._long.keys()}
        too_many = sum(map(len, joined.values())) > MOST_RANGES
        return None if self._everywhere or too_many else joined

    def spans(self) -> Spans:
        """The same in extents of the activity log."""
        found = self.extents()
        if found is None:
            return None
        return frozenset(
            span_of(fid, begin, end - begin) for fid, ranges in found.items() for begin, end in ranges
        )

    def _joined(self, fid: int) -> Iterator[tuple[int, int]]:
        blocks = ((at * BLOCK, (at + 1) * BLOCK) for at in self._blocks.get(fid, ()))
        long = ((begin // BLOCK * BLOCK, -(-end // BLOCK) * BLOCK) for begin, end in self._long.get(fid, ()))
        first = last = 0
        for begin, end in sorted([*blocks, *long]):
            if begin > last or first == last:
                if first < last:
                    yield first, last
                first = begin
            last = max(last, end)
        if first < last:
            yield first, last


def touched(kind: Kind, a: int, b: int) -> tuple[int, int]:
    """(offset, length) of the content that a write, cut or allocation changes, by what its record says."""
    return (a, max(0, b - a)) if kind is Kind.TRUNCATE else (a, b)


def makes_anew(record: Record) -> bool:
    """A resync names or sizes the file; its content is to follow, and may never have come."""
    return record.kind is Kind.IDENT or (record.kind is Kind.COPY and not record.data)


def _content(record: Record) -> tuple[int, int]:
    if makes_anew(record):
        return 0, WHOLE
    if record.kind in (Kind.COPY, Kind.COMPENSATE):
        return record.a, len(record.data)
    if record.kind in (Kind.WRITE, Kind.TRUNCATE, Kind.ALLOCATE):
        return touched(record.kind, record.a, record.b)
    return 0, 0
