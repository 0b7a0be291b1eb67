"""A plan for programs. `format_version` 1.x: later minors add fields, readers ignore what they don't know."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from hsorch.plan.model import FORMAT, Action, Plan


def text(plan: Plan) -> str:
    return json.dumps(data(plan), indent=2)


def data(plan: Plan) -> dict[str, Any]:
    """The plan value itself with what a reader would have to compute: counts, impact, outage."""
    fields: dict[str, Any] = msgspec.to_builtins(plan)
    return {**fields, "summary": summary(plan)}


def summary(plan: Plan) -> dict[str, Any]:
    return {
        "add": plan.count(Action.ADD),
        "change": plan.count(Action.CHANGE) + len(plan.drift),
        "remove": plan.count(Action.REMOVE),
        "replace": plan.count(Action.REPLACE),
        "changes": plan.changes,
        "drift": len(plan.drift),
        "errors": len(plan.errors),
        "impact": plan.impact.name.lower(),
        "outage": plan.is_outage,
    }


def drift(plan: Plan) -> str:
    found = msgspec.to_builtins(plan.drift)
    return json.dumps({"format_version": FORMAT, "cluster": plan.cluster, "drift": found}, indent=2)
