"""A node's disk in the virtual world: the one durable record, and the ways to lose it."""

from __future__ import annotations

from dataclasses import dataclass, field

from hsorch.node.core.types import Durable


@dataclass(slots=True)
class Disk:
    durable: Durable | None = None
    forgotten: bool = False
    """The record was there but cannot be read any more."""
    full: bool = False
    latency: int = 0
    """Nanoseconds that one durable write takes."""

    _history: list[tuple[int, Durable]] = field(default_factory=list)
    incarnation: int = 0
    """Highest number an agent start was given here; a file of its own."""

    def next_incarnation(self, wall_seconds: int) -> int:
        """As the node's store does: rises with each start, and begins from the wall clock."""
        self.incarnation = max(self.incarnation + 1, wall_seconds)
        return self.incarnation

    def write(self, real: int, durable: Durable) -> bool:
        if self.full:
            return False
        self.durable = durable
        self.forgotten = False
        self._history.append((real, durable))
        return True

    def restore(self, real: int) -> None:
        """As it was at this real time: a snapshot, put back."""
        self.durable = next((d for t, d in reversed(self._history) if t <= real), None)

    def tear(self) -> None:
        self.durable = None
        self.forgotten = True
