"""A node's disk in the virtual world: the one durable record, and the ways to lose it."""

from __future__ import annotations

from dataclasses import dataclass

from hsorch.node.core.types import Durable


@dataclass(slots=True)
class Disk:
    durable: Durable | None = None
    forgotten: bool = False
    """The record was there but cannot be read any more."""
    full: bool = False
    latency: int = 0
    """Nanoseconds that one durable write takes."""
    incarnation: int = 0
    """Highest number an agent start was given here; a file of its own."""

    def next_incarnation(self, wall_seconds: int) -> int:
        """As the node's store does: rises with each start, and begins from the wall clock."""
        self.incarnation = max(self.incarnation + 1, wall_seconds)
        return self.incarnation

    def write(self, durable: Durable) -> bool:
        if self.full:
            return False
        self.durable = durable
        self.forgotten = False
        return True

    def tear(self) -> None:
        self.durable = None
        self.forgotten = True
