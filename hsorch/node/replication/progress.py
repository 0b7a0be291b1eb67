"""How far a mirror is: what was seen, what is done, how fast, how long it will take. Numbers only."""

from __future__ import annotations

import time
from dataclasses import dataclass

from hsorch.node.replication.entries import FILE, Entry

_WINDOW_S = 0.5
_SMOOTH = 0.3


@dataclass(frozen=True)
class Figures:
    """Bytes and files. total: as far as the tree is listed. left_s None: not known yet."""

    files: int
    files_total: int
    bytes_done: int
    bytes_total: int
    bytes_sent: int
    speed: float
    left_bytes: int
    left_s: float | None


class Progress:
    """Fed by one mirror, read by anyone: each figure is a single int, and torn views do no harm."""

    def __init__(self) -> None:
        self._files_total = self._bytes_total = 0
        self._files = self._bytes = self._sent = 0
        self._speed = 0.0
        self._measured = (time.monotonic(), 0)
        self._over = False

    def saw(self, entry: Entry) -> None:
        if entry.kind == FILE:
            self._files_total += 1
            self._bytes_total += entry.size

    def found_same(self, entry: Entry) -> None:
        if entry.kind == FILE:
            self._files += 1
            self._advance(entry.size)

    def advanced(self, size: int, *, sent: int = 0) -> None:
        """size bytes of a file are equal now; sent of them went over the wire."""
        self._sent += sent
        self._advance(size)

    def closed_file(self) -> None:
        self._files += 1

    def finished(self) -> None:
        self._over = True

    def figures(self) -> Figures:
        left = 0 if self._over else max(0, self._bytes_total - self._bytes)
        return Figures(
            self._files, self._files_total, self._bytes, self._bytes_total, self._sent,
            0.0 if self._over else self._speed, left,
            0.0 if self._over else left / self._speed if self._speed > 0 else None,
        )  # fmt: skip

    def _advance(self, size: int) -> None:
        self._bytes += size
        now = time.monotonic()
        since, before = self._measured
        if now - since >= _WINDOW_S:
            fresh = (self._bytes - before) / (now - since)
            self._speed = fresh if self._speed == 0 else self._speed + _SMOOTH * (fresh - self._speed)
            self._measured = (now, self._bytes)
