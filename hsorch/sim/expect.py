"""What may come of a fault, as the table says it: who serves, how long clients wait, whether it is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from hsorch.sim.fault import Fault


class Active(StrEnum):
    """Who serves while the fault lasts."""

    SAME = "same"
    MOVED = "moved"
    NONE = "none"
    """Nobody: an outage by design, with a reason shown."""
    ONE = "one"
    """Exactly one, whichever."""


class Bound(StrEnum):
    """Longest outage that the client may see (Bounds)."""

    ZERO = "zero"
    RELEASE = "release"
    RESTART = "restart"
    CRASH = "crash"
    REPAIR = "repair"
    """Only the repair ends it."""


@dataclass(frozen=True, slots=True)
class Expect:
    active: Active
    outage: Bound
    alarm: bool = False
    """At least one warning or alarm is in the log."""
    code: str = ""
    """Not empty: an order was refused with this code."""


@dataclass(frozen=True, slots=True)
class Row:
    """watch: milliseconds from the first fault until `expect` is judged; then all is healed."""

    row: str
    title: str
    faults: tuple[Fault, ...] = ()
    expect: Expect = field(default_factory=lambda: Expect(Active.SAME, Bound.ZERO))
    watch: int = 15_000
    unwitnessed: Expect | None = None
    """What to expect when the pair has no witness; None: the same."""
    stays: bool = False
    """After the repair the service stays where it is (no automatic failback)."""
    needs: str = ""
    """Why the row is not run in this release."""

    @property
    def name(self) -> str:
        return "-".join(self.title.lower().replace(",", "").replace("/", "-").split()[:5])


CRASHED = Expect(Active.MOVED, Bound.CRASH)
RELEASED = Expect(Active.MOVED, Bound.RELEASE)
ALARMED = Expect(Active.SAME, Bound.ZERO, alarm=True)
NOBODY = Expect(Active.NONE, Bound.REPAIR, alarm=True)
