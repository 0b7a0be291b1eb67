"""Who ordered what, when, and how it ended: one NDJSON line each, on stable storage (REQ-M12).

Kept for good and apart from the event log, which drops its oldest. A line that cannot be written is the
caller's to report: an order is never refused for it, because bring-out must always be possible (REQ-H13).
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from hsorch.node import clock


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


def append(
    path: Path, *, order: str, verb: str, actor: str, user: str, target: str, outcome: str = ""
) -> None:
    """Raises OSError."""
    record = AuditRecord(
        time=clock.utc_text(clock.wall()),
        id=order,
        verb=verb,
        actor=actor,
        user=user,
        target=target,
        outcome=outcome,
    )
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, msgspec.json.encode(record) + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
