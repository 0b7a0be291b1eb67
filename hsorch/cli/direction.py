"""Before a bring-in: which way will the data go, and what would that overwrite (REQ-H02 to REQ-H04)?

The nodes refuse to overwrite newer or foreign data in any case; this says so before the application runs.
"""

from __future__ import annotations

from dataclasses import dataclass

from hsorch.cli.loss import stakes_of
from hsorch.cli.nodes import Pair
from hsorch.cli.pairview import PairView
from hsorch.cli.render.data_text import size
from hsorch.cli.stakes import Side, Stakes
from hsorch.errors import HsorchError, RefusedError
from hsorch.node.replication.generations import Lineage, Meeting, meet, refusal


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
    try:
        found = stakes_of(pair)
    except HsorchError as error:
        return Direction((f"What the other node holds is not known: {error.message}.",))
    other = found.other(source)
    if found.meeting(source) is Meeting.FIRST:
        lost = found.sides[other]
        files, bytes_ = _all(lost)
        line = f"{source} ==> {other}, {other} will be overwritten: {files} files, {size(bytes_)}"
        return Direction((f"{line}; they go into its quarantine.",), overwrites=files > 0)
    _refuse_wrong_way(found, source, other)
    return Direction((f"{source} ==> {other}: {found.sides[source].survey.reason}.",))


def _refuse_wrong_way(found: Stakes, source: str, other: str) -> None:
    mine, theirs = (_lineage(found.sides[node]) for node in (source, other))
    if (error := refusal(meet(mine, theirs))) is not None:
        raise error
    if found.is_older(source):
        raise RefusedError(
            f"{other} has the newer data: {found.sides[source].survey.reason}",
            hint=f"start it there: hsorch bring-in --source {other}; or let the older data count: "
            f"hsorch select-source {source} --survey",
            code="HS940",
        )


def _lineage(side: Side) -> Lineage:
    return side.survey.lineage


def _all(side: Side) -> tuple[int, int]:
    return side.ordered.files + side.watched.files, side.ordered.size + side.watched.size
