"""Why a pair can, cannot, did or did not fail over, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

import click

from hsorch.cli.pairview import NodeView, PairView
from hsorch.cli.render.status_text import event_line, one_line
from hsorch.verbs import EventRecord, LimitReport


def explain_text(view: PairView, events: Sequence[EventRecord]) -> str:
    """The pair in one line; each node's chance to take over, with all that is in its way; the events."""
    sections = [one_line(view), *(_node(view, node) for node in view.nodes)]
    if events:
        sections.append("\n".join([click.style("What happened", bold=True), *map(event_line, events)]))
    codes = sorted({limit.code for report in view.reports for limit in report.limits if limit.code})
    codes += sorted({event.code for event in events if event.code} - set(codes))
    if codes:
        sections.append("More about a code: " + ", ".join(f"hsorch explain {code}" for code in codes))
    return "\n\n".join(sections)


def _node(view: PairView, node: NodeView) -> str:
    name = click.style(node.name, bold=True)
    if node.error is not None:
        return f"{name} can't be asked: [{node.error.code}] {node.error.message}\n  help: {node.error.hint}"
    assert node.report is not None
    if node.name in view.active:
        head = f"{name} is active."
    elif not node.report.limits:
        return f"{name} would take over: nothing is in the way."
    elif view.protected:
        head = f"{name} would take over. Before that:"
    else:
        head = f"{name} would not take over by itself:"
    return "\n".join([head, *map(_limit, node.report.limits)])


def _limit(limit: LimitReport) -> str:
    return f"  {click.style(limit.code, fg='yellow')} {limit.message}\n    help: {limit.hint}"
