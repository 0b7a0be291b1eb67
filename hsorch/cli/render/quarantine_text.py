"""Incidents of the quarantine, for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hsorch.cli.render.data_text import size
from hsorch.cli.render.status_text import columns
from hsorch.cli.render.survey_text import moment, shown_path
from hsorch.node.operate_data import KeptFile, Shown
from hsorch.node.replication.quarantine import Incident


def incident_lines(found: Mapping[str, Sequence[Incident]]) -> list[str]:
    """One line each, oldest first."""
    all_ = sorted(((i.about.time, node, i) for node, incidents in found.items() for i in incidents), key=_age)
    if not all_:
        return [f"Nothing is kept in the quarantine of {' and '.join(found)}."]
    rows = [["incident", "node", "since", "files", "size", "newest change", "why"]]
    rows += [[i.about.incident, node, time, str(i.files), *_content(i)] for time, node, i in all_]
    return columns(rows).split("\n")


def incident_data(incident: Incident) -> dict[str, Any]:
    about = incident.about
    return {
        "incident": about.incident,
        "since": about.time,
        "reason": about.reason,
        "generation": f"{about.generation:016x}",
        "fork": about.fork,
        "files": incident.files,
        "bytes": incident.size,
        "newest": moment(incident.newest_ns) if incident.newest_ns else "",
    }


def shown_lines(node: str, shown: Shown, most: int = 500) -> list[str]:
    """Head line, then the files."""
    about = shown.incident.about
    files = f"{shown.total} entr{'ies' if shown.total != 1 else 'y'}, {size(shown.incident.size)}"
    lines = [f"{node} keeps {about.incident} since {about.time} ({about.reason}): {files}"]
    lines += [f"  {_kept(file)}" for file in shown.files[:most]]
    if shown.total > min(most, len(shown.files)):
        lines.append(f"  and {shown.total - min(most, len(shown.files))} more")
    return lines


def shown_data(shown: Shown) -> dict[str, Any]:
    """The incident's fields, and its files as far as they are shown."""
    files = [
        {
            "what": file.what,
            "path": shown_path(file.path),
            "bytes": file.size,
            "changed": moment(file.mtime_ns) if file.mtime_ns else "",
        }
        for file in shown.files
    ]
    return {**incident_data(shown.incident), "total": shown.total, "listed": files}


def _content(incident: Incident) -> tuple[str, str, str]:
    newest = moment(incident.newest_ns) if incident.newest_ns else "-"
    return size(incident.size), newest, incident.about.reason


def _kept(file: KeptFile) -> str:
    if file.what == "tail":
        return f"records of the journal that the other node never got, {size(file.size)}"
    link = " (a link)" if file.what == "link" else ""
    return f"{moment(file.mtime_ns)}  {size(file.size):>9}  {shown_path(file.path)}{link}"


def _age(row: tuple[str, str, Incident]) -> tuple[str, str]:
    return row[:2]
