"""Who ordered what is taken down in order, and a slow or full disk delays nobody."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import msgspec

from hsorch.node.audit import AuditLog, AuditRecord
from hsorch.verbs import Operate

SWITCH = Operate(cluster="plant", verb="switch", actor="ops", id="op-1")


def test_an_order_is_taken_down_when_it_comes_and_when_it_ends(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit", failed=lambda why: None)
    log.add(SWITCH, "root (1)")
    log.add(SWITCH, "root (1)", "done")
    log.close()
    lines = (tmp_path / "audit").read_bytes().splitlines()
    records = [msgspec.json.decode(line, type=AuditRecord) for line in lines]
    assert [(r.id, r.verb, r.user, r.outcome) for r in records] == [
        ("op-1", "switch", "root (1)", ""),
        ("op-1", "switch", "root (1)", "done"),
    ]


def test_a_disk_that_hangs_keeps_nobody_waiting(tmp_path: Path) -> None:
    """A pipe without a reader stands for it: to open it for writing waits."""
    os.mkfifo(tmp_path / "audit")
    log = AuditLog(tmp_path / "audit", failed=lambda why: None)
    log.add(SWITCH, "root (1)")
    reader = os.open(tmp_path / "audit", os.O_RDONLY)
    log.close()
    assert b"op-1" in os.read(reader, 4096)
    os.close(reader)


def test_a_record_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    told: list[str] = []
    there = threading.Event()
    log = AuditLog(tmp_path, failed=lambda why: (told.append(why), there.set())[0])
    log.add(SWITCH, "root (1)")
    assert there.wait(10)
    assert told == ["Is a directory"]
    log.close()
