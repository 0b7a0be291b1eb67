"""A plan as a comment on a merge request: found again by its hidden marker, counts first, never too long."""

from __future__ import annotations

from collections.abc import Iterable

from hsorch.plan.model import Item, Plan
from hsorch.plan.words import parts

LIMIT = 60_000
"""GitHub cuts comments at 65,536 characters; rows are left out before that."""


def text(plan: Plan) -> str:
    from hsorch.cli.render.plan_json import summary

    counts = summary(plan)
    head = [
        f"<!-- hsorch:plan:{plan.cluster} -->",
        f"### hsorch plan for `{plan.cluster}`",
        "",
        "| add | change | remove | drift | impact | outage |",
        "|---|---|---|---|---|---|",
        f"| {counts['add']} | {counts['change']} | {counts['remove']} | {counts['drift']} "
        f"| {counts['impact']} | {'yes' if plan.is_outage else 'none'} |",
    ]
    if not plan.changes and not plan.errors:
        return "\n".join(
            [*head, "", f"No changes. Both nodes match `{plan.manifest}` ({len(parts(plan.spec))} parts)."]
        )
    body = [*_problems(plan), *_table("Drift", plan.drift), *_table("Changes", plan.items)]
    return "\n".join(_cut([*head, *body]))


def _problems(plan: Plan) -> list[str]:
    rows = [f"- **{p.severity} {p.code}** {_cell(p.message)}; {_cell(p.hint)}" for p in plan.problems]
    return ["", "#### Problems", "", *rows] if rows else []


def _table(title: str, items: Iterable[Item]) -> list[str]:
    rows = [
        f"| `{item.action}` | `{_cell(item.address)}` "
        f"| {_cell(item.before)} | {_cell(item.after)} | {item.impact} |"
        for item in items
    ]
    head = ["", f"#### {title}", "", "| | what | before | after | impact |", "|---|---|---|---|---|"]
    return [*head, *rows] if rows else []


def _cell(value: str) -> str:
    return value.replace("|", "\\|").replace("\n", " ")


def _cut(lines: list[str]) -> list[str]:
    """Whole rows only, and say how many are missing."""
    total = 0
    for index, line in enumerate(lines):
        total += len(line) + 1
        if total > LIMIT:
            return [*lines[:index], "", f"… {len(lines) - index} more lines are left out."]
    return lines
