"""The event log: ordered ids, bounded size, no event worth an agent."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from hsorch.node import events
from hsorch.node.core.actions import Severity
from hsorch.node.events import EventLog
from hsorch.verbs import EventRecord, EventsQuery

ALL = EventsQuery(cluster="plant", limit=10_000)


def log(directory: Path, **sizes: int) -> EventLog:
    return EventLog(directory, node="a", group="g", **sizes)


def test_ids_go_on_after_a_restart(tmp_path: Path) -> None:
    log(tmp_path).add(Severity.INFO, "one", "first run")
    log(tmp_path).add(Severity.INFO, "two", "second run")
    assert [record.id for record in events.read(tmp_path, ALL)] == [1, 2]


def test_old_segments_go_and_the_newest_records_stay(tmp_path: Path) -> None:
    writer = log(tmp_path, segment_bytes=1000, kept=3)
    for number in range(100):
        writer.add(Severity.INFO, "tick", f"number {number}")
    assert len(events.segments(tmp_path)) == 3
    assert events.read(tmp_path, ALL)[-1].message == "number 99"
    assert sum(path.stat().st_size for path in events.segments(tmp_path)) <= 3000


def test_a_follower_gets_every_record_once_in_order(tmp_path: Path) -> None:
    writer = log(tmp_path, segment_bytes=500, kept=100)
    for number in range(50):
        writer.add(Severity.INFO, "tick", str(number))
    seen = [1]
    while batch := events.read(tmp_path, EventsQuery(cluster="plant", after=seen[-1], limit=7)):
        seen += [record.id for record in batch]
    assert seen == list(range(1, 51))


def test_a_torn_last_line_is_passed_over(tmp_path: Path) -> None:
    log(tmp_path).add(Severity.INFO, "one", "whole")
    (segment,) = events.segments(tmp_path)
    with segment.open("ab") as file:
        file.write(b'{"id":2,"time":"20')
    log(tmp_path).add(Severity.INFO, "two", "after the power cut")
    assert [record.message for record in events.read(tmp_path, ALL)] == ["whole", "after the power cut"]


def test_restarts_cost_no_history(tmp_path: Path) -> None:
    """An agent that dies again and again must not push out how it began."""
    for run in range(30):
        log(tmp_path, kept=3).add(Severity.INFO, "start", f"run {run}")
    assert [record.message for record in events.read(tmp_path, ALL)] == [f"run {run}" for run in range(30)]
    assert len(events.segments(tmp_path)) == 1


def test_a_disk_that_fills_within_a_line_costs_that_record_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, write = log(tmp_path), os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:20]))
    writer.add(Severity.INFO, "torn", "cut off")
    monkeypatch.undo()
    writer.add(Severity.INFO, "kept", "there is space again")
    assert [record.kind for record in events.read(tmp_path, ALL)] == ["events_lost", "kept"]


def test_a_folder_that_was_tidied_up_is_made_again(tmp_path: Path) -> None:
    writer = log(tmp_path / "events")
    writer.add(Severity.INFO, "gone", "before")
    shutil.rmtree(tmp_path / "events")
    writer.add(Severity.INFO, "kept", "after")
    assert [record.kind for record in events.read(tmp_path / "events", ALL)] == ["kept"]


def test_a_file_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "events-000000000001-copy.ndjson").write_text("somebody's copy")
    log(tmp_path).add(Severity.INFO, "kept", "on")
    assert [record.kind for record in events.read(tmp_path, ALL)] == ["kept"]


def test_severity_asks_for_this_and_graver(tmp_path: Path) -> None:
    writer = log(tmp_path)
    for severity in Severity:
        writer.add(severity, "kind", severity.value)
    found = events.read(tmp_path, EventsQuery(cluster="plant", severity="warning"))
    assert [record.severity for record in found] == ["warning", "alarm"]


def test_a_log_that_cannot_be_written_costs_records_not_the_agent(tmp_path: Path) -> None:
    blocked = tmp_path / "events"
    blocked.write_text("not a directory")
    writer = log(blocked)
    writer.add(Severity.INFO, "lost", "nobody will read this")
    blocked.unlink()
    writer.add(Severity.INFO, "kept", "writable again")
    assert [record.kind for record in events.read(blocked, ALL)] == ["events_lost", "kept"]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("resource_started", "[HBT] started the resource (IP-g) in resource group (g) successfully. [a]"),
        ("takeover_done", "Take over the job (g) successfully. [a]"),
        ("connection_stopped", "The source connection (g) is stopped successfully. [a]"),
        (
            "connection_started",
            "HA Start connection or connection group (g) success. "
            "flag.cnn:1(normalStart):0(noVerify):3(srcOwner) [a]",
        ),
        (
            "command_failed",
            "Failed to execute the command (0), the connection (a: g) need to be verified, "
            "reason: 0x3:0. as it is [a]",
        ),
        ("agent_started", "as it is [a]"),
    ],
)
def test_the_legacy_line(kind: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "UTC-2")
    time.tzset()
    record = EventRecord(
        id=1,
        time="2026-01-02T03:04:05.678Z",
        severity="info",
        node="a",
        group="g",
        kind=kind,
        message="as it is",
        resource="IP-g",
    )
    line = events.legacy_line(record)
    monkeypatch.undo()
    time.tzset()
    assert line == f"2026-01-02 05:04:05 | {expected}"
