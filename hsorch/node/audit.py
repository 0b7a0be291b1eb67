"""Who ordered what, when, and how it ended: one NDJSON line each, on stable storage (REQ-M12).

Kept for good and apart from the event log, which drops its oldest. A line that cannot be written is the
caller's to report: an order is never refused for it, because bring-out must always be possible (REQ-H13).
A line is written beside the order, not before it: a crash in between may lose the last ones.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

import msgspec

from hsorch.node import clock
from hsorch.verbs import Operate

CLOSE_LIMIT_S = 2.0


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True):
    time: str
    id: str
    verb: str
    actor: str
    """As the controller named them."""
    user: str
    """As the operating system knows them: user id and process."""
    target: str = ""
    outcome: str = ""
    """Empty when the order was taken, then `done` or the code of the refusal."""


class AuditLog:
    """Takes records down in their order in a thread of its own, so that a slow disk delays nothing else."""

    def __init__(self, path: Path, failed: Callable[[str], None]) -> None:
        """failed: told, from that thread, why a record could not be written."""
        self._path = path
        self._failed = failed
        self._records: SimpleQueue[AuditRecord | None] = SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="audit", daemon=True)
        self._writer.start()

    def add(self, order: Operate, user: str, outcome: str = "") -> None:
        self._records.put(
            AuditRecord(
                time=clock.utc_text(clock.wall()),
                id=order.id,
                verb=order.verb,
                actor=order.actor,
                user=user,
                target=order.target,
                outcome=outcome,
            )
        )

    def close(self) -> None:
        """Waits for what was taken, but not for a disk that hangs."""
        self._records.put(None)
        self._writer.join(CLOSE_LIMIT_S)

    def _write(self) -> None:
        while (record := self._records.get()) is not None:
            try:
                append(self._path, record)
            except OSError as error:
                self._failed(error.strerror or str(error))


def append(path: Path, record: AuditRecord) -> None:
    """On stable storage when it returns. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, msgspec.json.encode(record) + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
