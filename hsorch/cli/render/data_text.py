"""The replicated data of a pair, both nodes side by side: a section of the status screen."""

from __future__ import annotations

from collections.abc import Callable

import click

from hsorch.cli.pairview import NodeView, PairView
from hsorch.verbs import DataReport

STATE_COLORS = {"complete": "green", "logical": "green", "inconsistent": "red", "unknown": "yellow"}
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
    return rows


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
    return f"the other node lacks {size(data.lag_bytes)}{age}"


def _space(data: DataReport) -> str:
    return click.style(data.space, fg=SPACE_COLORS.get(data.space, "red"))


_ROWS: tuple[tuple[str, Callable[[DataReport], str]], ...] = (
    ("role", _role),
    ("state", _state),
    ("replication", _phase),
    ("queue", lambda data: size(data.queue_bytes) if data.queue_bytes else ""),
    ("left", _left),
    ("lag", _lag),
    ("generation", lambda data: f"{data.generation} at {data.lsn}" if data.generation else ""),
    ("verified", lambda data: data.verified),
    ("space", _space),
)
