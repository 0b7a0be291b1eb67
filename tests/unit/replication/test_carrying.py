"""From the spool into the files."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from hsorch.node.replication import carrying, spool
from hsorch.node.replication.journal import Journal
from hsorch.node.replication.record import Kind
from hsorch.node.replication.segments import READ_BYTES
from hsorch.node.replication.spool import Spool
from tests.replicators.members import until
from tests.unit.replication.test_ends import standing


def test_a_long_spool_is_read_once_by_who_takes_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carrying, "CHECKPOINT_BYTES", 4 << 20)
    read = 0
    plain = Journal.read

    def counted(journal: Journal, lsn: int, limit: int = READ_BYTES) -> bytes:
        nonlocal read
        data = plain(journal, lsn, limit)
        read += len(data)
        return data

    with standing(tmp_path) as ground:
        first = ground.journal.end
        ground.journal.append(Kind.CREATE, fid=5, a=0o600, path=b"file")
        for n in range(12 << 4):
            ground.journal.append(Kind.WRITE, fid=5, a=n << 16, b=1 << 16, data=bytes(1 << 16))
        monkeypatch.setattr(Journal, "read", counted)
        Spool(ground).finish()
        assert read < 2 * (ground.journal.end - first)


def test_a_standby_at_rest_takes_over_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its threads look about now and then: the service does not wait for the next time."""
    for module in (spool, carrying):
        monkeypatch.setattr(module, "IDLE_S", 600.0)
    with standing(tmp_path) as ground:
        ground.journal.append(Kind.CREATE, fid=5, a=0o600, path=b"file")
        made = Spool(ground)
        made.start()
        until(lambda: made.carrying.applied == ground.journal.end)
        over = threading.Thread(target=made.finish)
        over.start()
        over.join(30)
        assert not over.is_alive()
        assert not any(thread.is_alive() for thread in made._threads)
