"""The witness register of the virtual world: one write-once object per major, with an identity.

It has no clock. A request may be carried out long after its sender gave up, or died.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from hsorch.node.core.types import WitnessOutcome


class WitnessMode(StrEnum):
    UP = "up"
    DOWN = "down"
    SLOW = "slow"
    """Answers, but later than the nodes wait."""
    READ_ONLY = "read-only"


@dataclass(slots=True)
class Register:
    identity: str = "w1"
    mode: WitnessMode = WitnessMode.UP
    owners: dict[int, str] = field(default_factory=dict)

    def create(self, major: int, owner: str) -> tuple[WitnessOutcome, str]:
        """Atomic create-if-absent; an owner that asks again is told that it is the owner."""
        if self.mode is WitnessMode.READ_ONLY and major not in self.owners:
            return WitnessOutcome.FAILED, ""
        holder = self.owners.setdefault(major, owner)
        return (WitnessOutcome.CREATED if holder == owner else WitnessOutcome.EXISTS), holder

    def read(self, major: int) -> tuple[WitnessOutcome, str]:
        holder = self.owners.get(major, "")
        return (WitnessOutcome.EXISTS if holder else WitnessOutcome.ABSENT), holder

    def replace(self) -> None:
        """Somebody put an empty register in its place (fault 17)."""
        self.identity = f"w{int(self.identity[1:]) + 1}"
        self.owners = {}
