"""Before a bring-in: which way will the data go, and what would that overwrite (REQ-H02 to REQ-H04)?

The nodes refuse to overwrite newer or foreign data in any case; this says so before the application runs.
"""

from __future__ import annotations

from dataclasses import dataclass

from hsorch.cli.loss import lineages, stakes_of
from hsorch.cli.nodes import Pair
from hsorch.cli.pairview import PairView
from hsorch.cli.render.data_text import size
from hsorch.cli.stakes import OLDER, Side, Stakes
from hsorch.errors import HsorchError, RefusedError
from hsorch.node.replication.generations import Meeting, meet, refusal


@dataclass(frozen=True)
class Direction:
    """lines: to show before the question. overwrites: for the first time, files of the other node."""

    lines: tuple[str, ...] = ()
    overwrites: bool = False


def direction(pair: Pair, view: PairView, source: str) -> Direction:
    """For a group that starts on `source`. Raises RefusedError: HS940 (the other node has the newer data),
    HS690, HS691, HS692 (an operator has to choose first)."""
    if len(pair.nodes) < 2 or all(report.data is None for report in view.reports):
        return Direction()
    other = next(node for node in pair.nodes if node != source)
    try:
        held = lineages(pair)
        verdict = meet(held[source], held[other])
        if verdict.meeting is Meeting.FIRST:
            return _first(stakes_of(pair), source, other)
    except HsorchError as error:
        return Direction((f"What the other node holds is not known: {error.message}.",))
    if (refused := refusal(verdict)) is not None:
        raise refused
    if verdict.meeting in OLDER:
        raise RefusedError(
            f"{other} has the newer data: {verdict.reason}",
            hint=f"start it there: hsorch bring-in --source {other}; or let the older data count: "
            f"hsorch select-source {source} --survey",
            code="HS940",
        )
    return Direction((f"{source} ==> {other}: {verdict.reason}.",))


def _first(found: Stakes, source: str, other: str) -> Direction:
    files, bytes_ = _all(found.sides[other])
    line = f"{source} ==> {other}, {other} will be overwritten: {files} files, {size(bytes_)}"
    return Direction((f"{line}; they go into its quarantine.",), overwrites=files > 0)


def _all(side: Side) -> tuple[int, int]:
    return side.ordered.files + side.watched.files, side.ordered.size + side.watched.size
