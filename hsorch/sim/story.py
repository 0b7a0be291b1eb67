"""A run told as a timeline: what went wrong, what each node did about it, what the client saw."""

from __future__ import annotations

from typing import Any

import msgspec

from hsorch.node.core.types import Durable
from hsorch.sim.fault import Fault
from hsorch.sim.invariants import text


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One run as a timeline. broken: what did not hold; empty when all did."""

    title: str
    faults: tuple[Fault, ...]
    lines: tuple[str, ...]
    broken: tuple[str, ...] = ()


class Chronicle:
    """Collects the world's notes; a line repeated at once is told once."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._last = ""

    def __call__(self, now: int, who: str, what: str, details: tuple[Any, ...]) -> None:
        said = " ".join(s for s in (what, *map(_said, details)) if s)
        if said != self._last:
            self.lines.append(f"{now / 1e9:10.4f} s  {who:<10s} {said}")
        self._last = said


def _said(value: object) -> str:
    if isinstance(value, Durable):
        marks = ("stale",) if value.stale else ()
        return " ".join((text(value.config), *marks, "" if value.evidence else "no evidence")).strip()
    return str(value)
