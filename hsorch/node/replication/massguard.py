"""The mass-change guard (REQ-J10): a formatted or emptied disk at the source never empties the target.

Pure. Time is an argument, in nanoseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

WINDOW_NS = 60 * 10**9


@dataclass(frozen=True)
class Verdict:
    files: int
    size: int
    too_much: bool


class MassGuard:
    """By how much a tree shrinks within a minute, against what it holds. Turnover is no shrinking: what
    was written within it makes up for one that went.

    share: of the files that were there, above which deletions are held back. floor: as many always pass.
    """

    def __init__(self, share: float = 0.25, floor: int = 100) -> None:
        self._share = share
        self._floor = floor
        self._recent: list[tuple[int, int]] = []
        self.held = False
        """The last request was refused."""

    def admits(self, files: int, total: int, now_ns: int) -> bool:
        """Whether so many more of a tree of `total` files (before) may go now."""
        self._recent = [(at, count) for at, count in self._recent if now_ns - at < WINDOW_NS]
        spent = max(0, sum(count for _, count in self._recent))
        passes = spent + files <= max(self._floor, self._share * (total + spent))
        if passes and files:
            self._recent.append((now_ns, files))
        self.held = not passes
        return passes

    def wrote(self, files: int, now_ns: int) -> None:
        self._recent.append((now_ns, -files))

    def settled(self, now_ns: int) -> None:
        """A mirror has ended: what it wrote makes up for what it deleted, and for nothing after it."""
        left = max(0, sum(count for _, count in self._recent))
        self._recent = [(now_ns, left)] if left else []
