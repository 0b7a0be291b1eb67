"""The witness as the core sees it: per major epoch one register that is written once and never changes.

A register is one linearizable place that forgets nothing; it needs no clock. Whatever is not a clear answer
in time is FAILED, which means "not confirmed" (failover protocol rule 5). Retries are the core's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import msgspec

from hsorch.node.core.types import NodeName, WitnessOutcome


@dataclass(frozen=True)
class Answer:
    """owner is set for CREATED and EXISTS; witness_id names the register set, detail says why it FAILED."""

    outcome: WitnessOutcome
    owner: NodeName = ""
    witness_id: str = ""
    detail: str = ""


def failed(detail: str) -> Answer:
    return Answer(WitnessOutcome.FAILED, detail=detail)


class Register(Protocol):
    """Both calls block, at most about limit_s seconds, and never raise."""

    def create(self, major: int, node: NodeName, limit_s: float) -> Answer:
        """Make `major` belong to node. CREATED: it does now. EXISTS: it belonged to `owner` before."""

    def read(self, major: int, limit_s: float) -> Answer:
        """EXISTS or ABSENT."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What a register holds."""

    major: int
    owner: NodeName
