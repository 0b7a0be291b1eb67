"""Faults and schedules of faults as data: drawn, printed, replayed and shrunk without a world."""

from __future__ import annotations

import msgspec


class Fault(msgspec.Struct, frozen=True):
    """at, lasts: milliseconds; lasts 0: it ends by itself, or stays until all is healed.

    node: a name, `active` or `standby` (as they are when it strikes), `preferred`, `other`, or empty.
    what: link (`first`: the first one), resource or verb.
    value: percent, milliseconds or parts per million, as the kind says.
    """

    at: int
    kind: str
    node: str = ""
    lasts: int = 0
    what: str = ""
    value: float = 0.0

    def __str__(self) -> str:
        parts = [f"{self.at / 1000:.3f} s", self.kind, self.node, self.what]
        parts += [f"{self.value:g}"] if self.value else []
        parts += [f"for {self.lasts / 1000:g} s"] if self.lasts else []
        return " ".join(p for p in parts if p)


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """Times in milliseconds. single: one fault, after which service must be back in bounded time (I6)."""

    seed: int
    faults: tuple[Fault, ...]
    watch: int
    rates: tuple[int, int] = (0, 0)
    disk_ms: int = 0
    service_ms: int = 20
    single: bool = False
