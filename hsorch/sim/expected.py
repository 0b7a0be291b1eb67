"""What is expected of a row of the fault table from this pair: it depends on what decides a tie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hsorch.sim.expect import NOBODY, Active, Bound, Expect, Row
from hsorch.spec import IsolationWitness, NoWitness, Spec


@dataclass(frozen=True, slots=True)
class Instead:
    """What comes of a row under the isolation heuristic, and why not more is promised."""

    expect: Expect
    why: str = ""
    """Empty: nothing is missing, the fault just means something else here."""


_ALIVE = "the machine that fails still answers a ping, and that speaks against a takeover"
_NO_REGISTER = Instead(Expect(Active.SAME, Bound.ZERO))
BY_ISOLATION: Mapping[str, Instead] = {
    "5": Instead(NOBODY, _ALIVE),
    "6": Instead(Expect(Active.SAME, Bound.REPAIR, alarm=True), _ALIVE),
    "16b": _NO_REGISTER,
    "17": _NO_REGISTER,
    "23a": Instead(NOBODY, _ALIVE),
    "23c": Instead(NOBODY, _ALIVE),
    "33b": Instead(NOBODY, "both machines answer a ping, so neither starts alone"),
    "34a": Instead(
        Expect(Active.MOVED, Bound.REPAIR, alarm=True),
        "each node keeps for itself who went on alone: the stale node cannot know it is stale",
    ),
}
"""By number of the row; all others come out as with a witness."""


def expectation(row: Row, spec: Spec) -> Expect:
    if isinstance(spec.witness, NoWitness) and row.unwitnessed is not None:
        return row.unwitnessed
    instead = _instead(row, spec)
    return instead.expect if instead else row.expect


def not_promised(row: Row, spec: Spec) -> str:
    """Why this pair promises less than one with a witness; empty: it does not."""
    instead = _instead(row, spec)
    return f"not promised by the isolation heuristic: {instead.why}" if instead and instead.why else ""


def _instead(row: Row, spec: Spec) -> Instead | None:
    return BY_ISOLATION.get(row.row) if isinstance(spec.witness, IsolationWitness) else None
