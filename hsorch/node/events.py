"""The event log of a node: append-only NDJSON in segments, oldest dropped by bytes (REQ-H26).

Events are for people; the protocol depends on none of them. So a full disk costs records, which are counted
and told later, and never the agent.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from hsorch.node import clock
from hsorch.node.core.actions import Severity
from hsorch.verbs import EventRecord, EventsQuery

SEGMENT_BYTES = 1 << 20
KEPT_SEGMENTS = 8
RECENT = 10
_PREFIX, _SUFFIX = "events-", ".ndjson"
_RANK = {severity.value: rank for rank, severity in enumerate(Severity)}

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(EventRecord).decode


class EventLog:
    """Writer's end: one per agent. Ids go on where the newest segment ends."""

    def __init__(
        self,
        directory: Path,
        *,
        node: str,
        group: str,
        segment_bytes: int = SEGMENT_BYTES,
        kept: int = KEPT_SEGMENTS,
    ) -> None:
        self._directory = directory
        self._node = node
        self._group = group
        self._segment_bytes = segment_bytes
        self._kept = kept
        self._lost = 0
        self._lock = threading.Lock()
        self._path: Path | None = next(iter(segments(directory)[-1:]), None)
        self._torn = self._path is not None
        """The newest segment may end within a line: a power cut, a full disk."""
        self.recent: deque[EventRecord] = deque(
            read(directory, EventsQuery(cluster="", limit=RECENT)), RECENT
        )
        self._next_id = self.recent[-1].id + 1 if self.recent else 1

    def add(
        self,
        severity: Severity,
        kind: str,
        message: str,
        *,
        code: str = "",
        resource: str = "",
        operation_id: str = "",
        fields: dict[str, Any] | None = None,
    ) -> EventRecord:
        """Never raises; any thread."""
        with self._lock:
            return self._add(severity, kind, message, code, resource, operation_id, fields or {})

    def _add(
        self,
        severity: Severity,
        kind: str,
        message: str,
        code: str = "",
        resource: str = "",
        operation_id: str = "",
        fields: dict[str, Any] | None = None,
    ) -> EventRecord:
        if self._lost:
            lost, self._lost = self._lost, 0
            self._add(Severity.WARNING, "events_lost", f"{lost} records could not be written")
        record = EventRecord(
            id=self._next_id,
            time=clock.utc_text(clock.wall()),
            severity=severity.value,
            node=self._node,
            group=self._group,
            kind=kind,
            message=message,
            code=code,
            resource=resource,
            operation_id=operation_id,
            fields=fields or {},
        )
        self._next_id += 1
        self.recent.append(record)
        try:
            self._append(_encode(record) + b"\n", record.id)
        except OSError:
            self._lost += 1
        return record

    def _append(self, line: bytes, first_id: int) -> None:
        if self._path is None or self._is_full(self._path, len(line)):
            self._directory.mkdir(parents=True, exist_ok=True)
            self._path = self._directory / f"{_PREFIX}{first_id:012d}{_SUFFIX}"
            for old in segments(self._directory)[: -(self._kept - 1) or None]:
                old.unlink()
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            whole = b"\n" + line if self._torn else line
            self._torn = True
            if os.write(descriptor, whole) != len(whole):
                raise OSError("short write")
            self._torn = False
        finally:
            os.close(descriptor)

    def _is_full(self, path: Path, more: int) -> bool:
        try:
            return path.stat().st_size + more > self._segment_bytes
        except FileNotFoundError:
            return True  # somebody tidied up: begin anew


def segments(directory: Path) -> list[Path]:
    """Oldest first."""
    return sorted(path for path in directory.glob(f"{_PREFIX}*{_SUFFIX}") if _first_id(path) >= 0)


def _first_id(path: Path) -> int:
    """-1: a file that somebody else put there."""
    number = path.name[len(_PREFIX) : -len(_SUFFIX)]
    return int(number) if number.isdecimal() else -1


def read(directory: Path, query: EventsQuery) -> list[EventRecord]:
    """Matching records, oldest first: without `after` the newest `limit`, else the first `limit` after it."""
    if query.after:
        found: list[EventRecord] = []
        for record in _records(directory, query.after):
            if matches(record, query):
                found.append(record)
                if len(found) >= query.limit:
                    break
        return found
    newest: deque[EventRecord] = deque(maxlen=query.limit)
    newest.extend(record for record in _records(directory, 0) if matches(record, query))
    return list(newest)


def matches(record: EventRecord, query: EventsQuery) -> bool:
    """severity: this one or a graver one. kind: exactly this one."""
    if query.severity and _RANK.get(record.severity, 0) < _RANK.get(query.severity, 0):
        return False
    return record.id > query.after and query.kind in ("", record.kind)


def legacy_line(record: EventRecord) -> str:
    """The old product's line: `YYYY-MM-DD HH:MM:SS | <message> [<HOST>]`, local time, no severity."""
    from datetime import datetime

    local = datetime.fromisoformat(record.time).astimezone()
    return f"{local:%Y-%m-%d %H:%M:%S} | {_legacy_message(record)} [{record.node}]"


_LEGACY = {
    "ip_started": "Start the active IP ({address} {resource}) on (({nic})) successfully.",
    "resource_begin": "[HBT] begins to start resource ({resource}) of the resource group ({group}).",
    "resource_started": "[HBT] started the resource ({resource}) in resource group ({group}) successfully.",
    "service_started": "Start the NT Service ({resource}) successfully.",
    "group_online_end": "Online the resource ($AllResource) of resource group ({group}) ends.",
    "connection_started": "HA Start connection or connection group ({group}) success. "
    "flag.cnn:1(normalStart):{verify}:3(srcOwner)",
    "connection_stopped": "The source connection ({group}) is stopped successfully.",
    "command_failed": "Failed to execute the command (0), the connection ({node}: {group}) need to be "
    "verified, reason: 0x3:0. {message}",
    "takeover_done": "Take over the job ({group}) successfully.",
}


def _legacy_message(record: EventRecord) -> str:
    template = _LEGACY.get(record.kind)
    if template is None:
        return record.message
    blank = {"address": "", "nic": "", "verify": "0(noVerify)"}
    told = {
        "resource": record.resource,
        "group": record.group,
        "node": record.node,
        "message": record.message,
    }
    values = {**blank, **record.fields, **told}
    return template.format_map(values)


def _records(directory: Path, after: int) -> Iterator[EventRecord]:
    """Those with a greater id; a torn last line (power cut) is passed over."""
    files = segments(directory)
    starts = [_first_id(path) for path in files]
    for index, path in enumerate(files):
        if index + 1 < len(files) and starts[index + 1] <= after:
            continue
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            continue
        for line in data.splitlines():
            try:
                record = _decode(line)
            except msgspec.DecodeError:
                continue
            if record.id > after:
                yield record
