"""A plan for human eyes. Symbols carry the meaning; colour only repeats it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import click

from hsorch.plan.model import Action, Item, Plan, Problem, StepKind
from hsorch.plan.words import parts

COLORS = {Action.ADD: "green", Action.CHANGE: "yellow", Action.REMOVE: "red", Action.REPLACE: "red"}
MEANINGS = {
    Action.ADD: "add",
    Action.CHANGE: "change",
    Action.REMOVE: "remove",
    Action.REPLACE: "replace",
}


def text(plan: Plan, *, verbose: bool = False) -> str:
    """Drift first, then changes with their impact, then problems; the last line is the sum."""
    blocks = [_drift_block(plan), _changes_block(plan), _data_block(plan), _problems(plan.problems)]
    if verbose:
        blocks += [_unchanged(plan), _steps(plan)]
    return "\n\n".join([*filter(None, blocks), _sum(plan)])


def drift(plan: Plan) -> str:
    """Only the drift block, or one line that there is none."""
    return _drift_block(plan) or click.style("No drift.", fg="green") + " Both nodes are as applied."


def question(plan: Plan) -> str:
    return f"Apply this to the pair {plan.cluster}?"


def stakes(plan: Plan) -> list[str]:
    return [*_outage_stakes(plan), *_overwrite_stakes(plan)]


def _overwrite_stakes(plan: Plan) -> list[str]:
    """Which way data go at the first bring-in (REQ-H03), and later without a word (REQ-G06)."""
    later = (
        "After a takeover the node that was active is overwritten by itself: what only it had is kept in its "
        "quarantine, and nobody is asked first."
    )
    lines = [later] if plan.lets_overwrite else []
    if not plan.overwritten:
        return lines
    return [
        *lines,
        f"Data go from {plan.source} to {plan.target}: what {plan.target} has in "
        f"{', '.join(plan.overwritten)} is replaced by what {plan.source} has there.",
        f"If {plan.target} has the newer data, stop here and let the group start there (`preferred`, or "
        f"hsorch set-active {plan.target}).",
    ]


def _outage_stakes(plan: Plan) -> list[str]:
    if not plan.is_outage:
        return []
    held = [name for name, state in plan.observed.items() if state.group_in]
    names = " ".join(resource.name for resource in plan.spec.group.resources)
    return [f"The group {plan.spec.group.name} is brought out on {' and '.join(held)} and in again: {names}"]


def _drift_block(plan: Plan) -> str:
    if not plan.drift:
        return ""
    return "\n".join(["Drift: not as the last apply left it", *_rows(plan.drift)])


def _changes_block(plan: Plan) -> str:
    if not plan.items:
        return ""
    used = sorted({item.action for item in plan.items}, key=list(Action).index)
    legend = "  ".join(f"{action} {MEANINGS[action]}" for action in used)
    return "\n".join([f"Changes ({legend})", *_rows(plan.items)])


def _data_block(plan: Plan) -> str:
    """What becomes of data, in words: what is replaced is kept, what is let go stays."""
    lines = []
    if plan.overwritten:
        lines += [f"Data: {plan.source} -> {plan.target}", *(f"    {path}" for path in plan.overwritten)]
        lines += [f"  What differs on {plan.target} is replaced, and kept in its quarantine."]
    if plan.unbound:
        lines += ["Not replicated any more; what is there stays on both nodes:"]
        lines += [f"    {path}" for path in plan.unbound]
    return "\n".join(lines)


def _rows(items: Iterable[Item]) -> Iterator[str]:
    rows = list(items)
    width = max(len(item.address) for item in rows)
    for item in rows:
        symbol = click.style(f"{item.action:>3}", fg=COLORS[item.action])
        impact = "" if item.impact == "live" else click.style(f"  [{item.impact}]", bold=True)
        yield f"{symbol} {item.address:<{width}}  {_values(item)}{impact}"


def _values(item: Item) -> str:
    return f"{item.before} -> {item.after}" if item.before and item.after else item.before or item.after


def _problems(problems: Iterable[Problem]) -> str:
    lines = []
    for problem in problems:
        color = "red" if problem.severity == "error" else "yellow"
        head = click.style(f"{problem.severity}[{problem.code}]:", fg=color, bold=True)
        lines += [
            f"{head} {problem.message}",
            f"  {click.style('help:', fg='cyan', bold=True)} {problem.hint}",
        ]
    return "\n".join(lines)


def _unchanged(plan: Plan) -> str:
    touched = {item.address for item in plan.items}
    same = [
        part
        for address, part in parts(plan.spec).items()
        if not any(item == address or item.startswith(f"{address}.") for item in touched)
    ]
    if not same:
        return ""
    width = max(len(part.address) for part in same)
    return "\n".join(["Unchanged", *(f"    {part.address:<{width}}  {part.title}" for part in same)])


def _steps(plan: Plan) -> str:
    if not plan.steps:
        return ""
    width = len(str(len(plan.steps)))
    numbered = (f"  {number:>{width}}. {step.text}" for number, step in enumerate(plan.steps, start=1))
    return "\n".join(["Steps", *numbered])


def _sum(plan: Plan) -> str:
    if plan.errors:
        count = len(plan.errors)
        return click.style(f"Plan: cannot be applied, {count} error{'s' if count > 1 else ''}.", bold=True)
    if not plan.changes:
        return click.style("No changes.", fg="green", bold=True) + f" Both nodes match {plan.manifest}."
    if not plan.items and not plan.drift:
        line = f"Plan: nothing to change; an apply that stopped is completed. Outage: {_outage(plan)}."
        return click.style(line, bold=True)
    changed = plan.count(Action.CHANGE) + len(plan.drift)
    replaced = plan.count(Action.REPLACE)
    also = f", {replaced} to replace" if replaced else ""
    added, removed = plan.count(Action.ADD), plan.count(Action.REMOVE)
    line = f"Plan: {added} to add, {changed} to change, {removed} to remove{also}. Outage: {_outage(plan)}."
    return click.style(line, bold=True)


def _outage(plan: Plan) -> str:
    if plan.is_outage:
        return f"the group {plan.spec.group.name} is brought out and in again"
    if plan.brings_in:
        return f"none; the group {plan.spec.group.name} comes in at the end"
    if any(step.kind is StepKind.RESTART for step in plan.steps):
        return "none planned; agents restart one after the other, the group may move"
    return "none"
