"""The wires between the nodes: loss, delay, reordering, duplication and cuts, per link and direction.

A frame is never changed on the way: the link layer drops what fails authentication, and the world
reports that to the core as Rejected.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

from hsorch.sim.clock import MS

WIRE_DELAY = MS // 5
"""One way on an idle LAN."""


@dataclass(slots=True)
class Path:
    """One direction of one link."""

    loss: float = 0.0
    delay: int = WIRE_DELAY
    jitter: int = 0
    """Up to this much is added at random: more than the sending interval reorders frames."""
    duplicate: float = 0.0
    cuts: Counter[str] = field(default_factory=Counter)
    """Reasons why nothing passes; a cut is over when every reason is."""

    def arrivals(self, rng: random.Random) -> tuple[int, ...]:
        """Delays after which copies of one frame arrive; empty when it is lost."""
        if self.cuts:
            return ()
        if not (self.loss or self.jitter or self.duplicate):
            return (self.delay,)
        if self.loss and rng.random() < self.loss:
            return ()
        first = self.delay + (rng.randrange(self.jitter) if self.jitter else 0)
        if self.duplicate and rng.random() < self.duplicate:
            return (first, first + rng.randrange(10 * MS))
        return (first,)

    def cut(self, reason: str) -> None:
        self.cuts[reason] += 1

    def join(self, reason: str) -> None:
        self.cuts[reason] -= 1
        if self.cuts[reason] <= 0:
            del self.cuts[reason]

    def restore(self) -> None:
        """Healthy again, whatever was wrong."""
        self.loss, self.delay, self.jitter, self.duplicate = 0.0, WIRE_DELAY, 0, 0.0
        self.cuts.clear()
