"""The replicated data of a pair, both nodes side by side: a section of the status screen."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import click

from hsorch.cli.pairview import NodeView, PairView
from hsorch.verbs import BindingReport, DataReport

STATE_COLORS = {"complete": "green", "logical": "green", "inconsistent": "red", "unknown": "yellow"}
BINDING_COLORS = {"live": "green", "lost": "red", "held": "red", "stopped": None}
SPACE_COLORS = {"ok": "green", "warn": "yellow"}


def data_rows(view: PairView) -> list[list[str]]:
    """A title row and one per property that says anything; empty where nothing is replicated."""
    if not any(report.data for report in view.reports):
        return []
    rows = [[click.style("data", bold=True), *(node.name for node in view.nodes)]]
    for title, cell in _ROWS:
        cells = [_of(node, cell) for node in view.nodes]
        if any(cell != "-" for cell in cells):
            rows.append([title, *cells])
    paths = dict.fromkeys(b.path for r in view.reports if r.data for b in r.data.bindings)
    for path in paths:
        rows.append([path, *(_of(node, partial(_binding, path=path)) for node in view.nodes)])
    return rows


def progress_line(data: DataReport) -> str:
    """`verify: 1.2 GiB compared, 3.4 GiB left at 512 MiB/s, 7 s`."""
    done = (
        f"{size(data.checked_bytes)} compared" if data.phase == "verify" else f"{size(data.sent_bytes)} sent"
    )
    left = f", {size(data.left_bytes)} left" if data.left_bytes else ""
    speed = f" at {size(data.speed)}/s" if data.speed else ""
    return f"{data.phase}: {done}{left}{speed}" + (
        f", {data.left_ms / 1000:.0f} s" if data.left_ms >= 0 else ""
    )


def worth(view: PairView, node: str) -> list[str]:
    """What the group would go on with if it went on there, in one line; empty: it says nothing."""
    for report in view.reports:
        if report.node == node and report.data is not None:
            followed = (
                f", last followed generation {report.data.generation}" if report.data.generation else ""
            )
            return [
                f"The data on {node} are '{report.data.state}'{followed}. "
                "What only the other node has goes into its quarantine when it comes back."
            ]
    return []


def lacking(view: PairView) -> list[str]:
    """What the other node does not hold of the source's data, a line for each node that says so."""
    lines = []
    for report in view.reports:
        data = report.data
        if data is None or data.role == "target" or data.followed:
            continue
        if data.role == "source" or report.node == report.holder:
            known = [size(count) for count in (data.queue_bytes + data.left_bytes,) if count]
            what = f"{known[0]} of its data" if known else "something of its data"
            lines.append(f"{report.peer} lacks {what} that {report.node} has: start the group there again.")
    return lines


def size(count: int) -> str:
    """1536 → `1.5 KiB`."""
    number, unit = float(count), "B"
    for bigger in ("KiB", "MiB", "GiB", "TiB"):
        if number < 1024:
            break
        number, unit = number / 1024, bigger
    return f"{number:.0f} {unit}" if unit == "B" or number >= 100 else f"{number:.1f} {unit}"


def _of(node: NodeView, cell: Callable[[DataReport], str]) -> str:
    if node.report is None or node.report.data is None:
        return "-"
    return cell(node.report.data) or "-"


def _role(data: DataReport) -> str:
    over = f" over {data.link}" if data.link else ""
    return f"{data.role}{over}" if data.connected else f"{data.role}, not connected"


def _state(data: DataReport) -> str:
    return click.style(data.state, fg=STATE_COLORS.get(data.state))


def _phase(data: DataReport) -> str:
    """As source under `complete`, writes may stand still: that is the first thing to know."""
    waits = click.style(f", {data.frozen} flushes wait", fg="yellow") if data.frozen else ""
    speed = f" at {size(data.speed)}/s" if data.speed else ""
    return f"{data.phase}{speed}{waits}"


def _left(data: DataReport) -> str:
    if not data.left_bytes:
        return ""
    return size(data.left_bytes) + (f", {data.left_ms / 1000:.0f} s" if data.left_ms >= 0 else "")


def _lag(data: DataReport) -> str:
    if data.lag_bytes < 0:
        return ""
    age = f" ({data.lag_ms} ms)" if data.lag_ms >= 0 else ""
    who = "this" if data.role == "target" else "the other"
    return f"{who} node lacks {size(data.lag_bytes)}{age}"


def _space(data: DataReport) -> str:
    return click.style(data.space, fg=SPACE_COLORS.get(data.space, "red"))


def _verified(data: DataReport) -> str:
    if not data.verified:
        return "never" if data.connected and data.role == "source" else ""
    differed = f", {size(data.differing_bytes)} differed" if data.differing_bytes > 0 else ""
    return f"{data.verified}{differed}"


def _binding(data: DataReport, path: str) -> str:
    return next((_binding_cell(binding) for binding in data.bindings if binding.path == path), "")


def _binding_cell(binding: BindingReport) -> str:
    state = click.style(binding.state, fg=BINDING_COLORS.get(binding.state, "yellow"))
    left = f", {binding.left_files} files of {size(binding.left_bytes)} left" if binding.left_files else ""
    held = f", {binding.held} deletions held back" if binding.held else ""
    return f"{binding.kind}, {state}{left}{held}"


_ROWS: tuple[tuple[str, Callable[[DataReport], str]], ...] = (
    ("role", _role),
    ("state", _state),
    ("mode", lambda data: data.mode),
    ("replication", _phase),
    ("queue", lambda data: size(data.queue_bytes) if data.queue_bytes else ""),
    ("left", _left),
    ("lag", _lag),
    ("generation", lambda data: f"{data.generation} at {data.lsn}" if data.generation else ""),
    ("verified", _verified),
    ("space", _space),
)
