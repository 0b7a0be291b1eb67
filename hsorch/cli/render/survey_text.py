"""What a choice of the data source costs, for people and for programs."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

from hsorch.cli.render.data_text import size
from hsorch.cli.stakes import Lost, Side, Stakes
from hsorch.node.replication.survey import Standing

NAMED = 10


def survey_lines(stakes: Stakes, winner: str) -> list[str]:
    """First what the choice of `winner` costs, then what the other choice would."""
    loser = stakes.other(winner)
    seen = stakes.sides[winner].survey
    lines = [f"{winner} and {loser}: {seen.reason}.", ""]
    lines += _side(stakes, winner, loser)
    lines += _side(stakes, loser, winner)
    return lines[:-1]


def survey_data(stakes: Stakes) -> dict[str, Any]:
    """Per node what it would lose; times are UTC, sizes bytes."""
    return {
        node: {
            "meeting": side.survey.meeting,
            "reason": side.survey.reason,
            "generation": f"{side.survey.lineage.current:016x}",
            "consistent": side.survey.consistent,
            "older": stakes.is_older(node),
            "loses": {"ordered": _lost_data(side.ordered), "watched": _lost_data(side.watched)},
            "newer_here": [_file_data(file) for file in side.newer],
        }
        for node, side in stakes.sides.items()
    }


def moment(ns: int) -> str:
    """UTC, to the second."""
    return f"{datetime.fromtimestamp(ns // 10**9, UTC):%Y-%m-%dT%H:%M:%SZ}"


def shown_path(path: bytes) -> str:
    """One line on any terminal, whatever the name of the file."""
    return os.fsdecode(path).encode("utf-8", "backslashreplace").decode().translate(_CONTROL)


_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), 127)}


def _side(stakes: Stakes, winner: str, loser: str) -> list[str]:
    side = stakes.sides[loser]
    if side.empty:
        return [f"If {winner} counts, {loser} loses nothing.", ""]
    lines = [f"If {winner} counts, {loser} loses:"]
    lines += [f"  {line}" for line in _losses(side)]
    if side.newer:
        lines.append(f"  newer on {loser}, or only there:")
        lines += [f"    {_file(file)}" for file in side.newer[:NAMED]]
        if len(side.newer) > NAMED:
            lines.append(f"    and others ({len(side.newer) - NAMED} more are known)")
    if stakes.is_older(winner) and not stakes.is_older(loser):
        lines.append(f"  {loser} has the newer data: {stakes.sides[winner].survey.reason}.")
    return [*lines, ""]


def _losses(side: Side) -> list[str]:
    lines = []
    if side.ordered.files or side.ordered.removed:
        lines.append(f"ordered  {_lost(side.ordered)}")
    if side.watched.files:
        lines.append(f"watched  {_lost(side.watched)}")
    return lines


def _lost(lost: Lost) -> str:
    files = f"{lost.files} file{'s' if lost.files != 1 else ''} of {size(lost.size)}"
    parts = [files if lost.exact else f"up to {files} (all there are: how much of it is unknown)"]
    if lost.written:
        parts.append(f"{size(lost.written)} written")
    if lost.removed:
        parts.append(f"{lost.removed} removed")
    if lost.newest_ns:
        parts.append(f"newest change {moment(lost.newest_ns)}")
    return ", ".join(parts)


def _file(file: Standing) -> str:
    return f"{moment(file.mtime_ns)}  {size(file.size):>9}  {shown_path(file.path)}"


def _lost_data(lost: Lost) -> dict[str, Any]:
    return {
        "files": lost.files,
        "bytes": lost.size,
        "exact": lost.exact,
        "written_bytes": lost.written,
        "removed": lost.removed,
        "newest": moment(lost.newest_ns) if lost.newest_ns else "",
    }


def _file_data(file: Standing) -> dict[str, Any]:
    return {"path": shown_path(file.path), "bytes": file.size, "changed": moment(file.mtime_ns)}
