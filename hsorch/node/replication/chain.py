"""The segments that make up a journal, in order: each begins where the one before it ends.

A crash leaves them as they were or as they were to become. Used by journal.py under its lock.
"""

from __future__ import annotations

import contextlib
from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path

from hsorch.node.replication.record import Damaged
from hsorch.node.replication.segments import (
    Foreign,
    Segment,
    Start,
    finish,
    following,
    make,
    make_instead,
    paths_of,
)


class Chain:
    """Empty until open()."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._segments: list[Segment] = []
        self._firsts: list[int] = []

    @property
    def first(self) -> int:
        """The oldest lsn."""
        return self._firsts[0]

    @property
    def last(self) -> Segment:
        return self._segments[-1]

    def open(self, start: Start, on_damage: Callable[[int], None]) -> bool:
        """Take what is there, up to the first one that does not follow; that, and what is behind it, is
        dropped after on_damage(where the records end then). False: nothing is there, so `start` counts.

        Raises Foreign, OSError."""
        finish(self._directory)
        paths = paths_of(self._directory)
        try:
            for path in paths:
                self._add(following(path, start.job, self._segments[-1] if self._segments else None))
        except Foreign:
            self.close()
            raise
        except Damaged:
            on_damage(self.last.find_end().lsn if self._segments else start.lsn)
            for path in reversed(paths[len(self._segments) :]):
                path.unlink()
        return bool(self._segments)

    def close(self) -> None:
        for segment in self._segments:
            with contextlib.suppress(OSError):
                segment.close()
        self._segments.clear()
        self._firsts.clear()

    def add(self, start: Start) -> None:
        """A new one at the end. Raises OSError."""
        self._add(make(self._directory, start))

    def exchange(self, start: Start) -> None:
        """A new one instead of all. Raises OSError."""
        segment = make_instead(self._directory, start)
        self.close()
        self._add(segment)

    def holder(self, lsn: int) -> tuple[Segment, int | None]:
        """Which one holds lsn, and where the next one begins. Raises KeyError: none does."""
        index = bisect_right(self._firsts, lsn) - 1
        if index < 0:
            raise KeyError(lsn)
        return self._segments[index], self._firsts[index + 1] if index + 1 < len(self._firsts) else None

    def delete_below(self, lsn: int) -> int:
        """Those that end at or below lsn, never the last one. Bytes freed."""
        before = self.first
        while len(self._segments) > 1 and self._firsts[1] <= lsn:
            self._firsts.pop(0)
            self._segments.pop(0).delete()
        return self.first - before

    def delete_behind(self, segment: Segment) -> None:
        while self.last is not segment:
            self._firsts.pop()
            self._segments.pop().delete()

    def _add(self, segment: Segment) -> None:
        self._segments.append(segment)
        self._firsts.append(segment.first)
