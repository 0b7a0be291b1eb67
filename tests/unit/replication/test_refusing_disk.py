"""A disk that refuses once: the system forgets what it could not write, so nobody may count on it."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import cast

import pytest

from hsorch.node.replication.ground import Ground
from hsorch.node.replication.journal import Journal
from hsorch.node.replication.lookout import Lookout
from hsorch.node.replication.messages import Guarded
from hsorch.node.replication.meta import Place
from hsorch.node.replication.record import Damaged, Kind
from hsorch.node.replication.segments import Start
from hsorch.node.replication.space import Level
from hsorch.node.replication.spool import Spool
from hsorch.node.replication.wire import Broken, Channel
from tests.replicators.members import until
from tests.unit.replication.test_ends import NEW, OLD, standing
from tests.unit.replication.test_stream_damage import Wire

REFUSAL = OSError(errno.EIO, "the disk refuses")


def guarded(ground: Ground) -> tuple[Spool, Wire]:
    """A standby that the source counts on."""
    ground.meta.change(guarded=True)
    spool, wire = Spool(ground), Wire()
    spool._open = spool._channel = cast("Channel", wire)
    return spool, wire


def test_a_spool_that_could_not_be_written_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with standing(tmp_path) as ground:
        spool, wire = guarded(ground)
        refuse_once(monkeypatch)
        spool.start()
        ground.journal.append(Kind.CREATE, fid=OLD, a=0o600, path=b"file")
        until(lambda: wire.closed)
        assert not ground.meta.value.guarded
        assert ground.hello().end == Place(), "no stream goes on from there: all is compared"
        with pytest.raises(Broken, match="more than is here"):
            spool._guard(Guarded(on=True, number=1))
        until(lambda: spool.carrying.applied == ground.journal.end)
        spool.finish()


def refuse_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a disk does: the next sync says nothing of it."""
    refusals, sync = [REFUSAL], os.fdatasync

    def fdatasync(descriptor: int) -> None:
        if refusals:
            raise refusals.pop()
        sync(descriptor)

    monkeypatch.setattr(os, "fdatasync", fdatasync)


def test_a_segment_that_could_not_be_written_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where that was found as the next one was to begin."""
    with standing(tmp_path) as ground:
        spool, wire = guarded(ground)
        ground.journal.append(Kind.CREATE, fid=OLD, a=0o600, path=b"file")
        monkeypatch.setattr(ground.journal, "_segment_bytes", 1)
        refuse_once(monkeypatch)
        with pytest.raises(OSError, match="refuses"):
            ground.journal.append(Kind.CREATE, fid=NEW, a=0o600, path=b"another")
        spool.start()
        until(lambda: wire.closed)
        assert not ground.meta.value.guarded
        assert ground.hello().end == Place()
        spool.finish()


def test_one_refusal_is_heard_by_all_who_wait_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk tells one of them, and the other one that all is well."""
    journal = Journal(tmp_path, Start(b"j" * 16, 7), segment_bytes=1)
    journal.append(Kind.BARRIER)

    def told_the_other(descriptor: int) -> None:
        refuse_once(monkeypatch)
        with pytest.raises(OSError, match="refuses"):
            journal.append(Kind.BARRIER)

    monkeypatch.setattr(os, "fdatasync", told_the_other)
    with pytest.raises(OSError, match="Input/output"):
        journal.sync()
    journal.close()


def test_files_that_could_not_be_written_are_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "data/file"
    with standing(tmp_path) as ground:
        ground.journal.append(Kind.CREATE, fid=OLD, a=0o600, path=b"file")
        ground.journal.append(Kind.WRITE, fid=OLD, b=3, data=b"new")
        spool = Spool(ground)
        refusals, checkpoint = [REFUSAL], spool.carrying.applier.checkpoint

        def refuse_once() -> None:
            if refusals:
                file.write_bytes(b"what is on the disk")
                file.write_bytes(b"old")
                raise refusals.pop()
            checkpoint()

        monkeypatch.setattr(spool.carrying.applier, "checkpoint", refuse_once)
        with pytest.raises(OSError, match="refuses"):
            spool.finish()
        assert spool.finish().lsn == ground.journal.end
    assert file.read_bytes() == b"new"


def test_a_record_that_makes_no_sense_is_told_and_ends_no_thread(tmp_path: Path) -> None:
    with standing(tmp_path) as ground:
        spool = Spool(ground)
        spool.start()
        ground.journal.append(Kind.CREATE, fid=OLD, aux=77, a=0o600, path=b"of a folder that is not bound")
        until(lambda: bool(spool.carrying.fault))
        assert "KeyError(77)" in spool.carrying.fault
        with pytest.raises(OSError, match="KeyError"):
            spool.finish()


EVIL = (b"../evil", b"/evil", b"a/../../evil", b"a//b", b"..", b"a/.", b"a\0b", b"")


@pytest.mark.parametrize(
    ("kind", "path", "data"),
    [(Kind.CREATE, path, b"") for path in EVIL]
    + [(Kind.RENAME, b"good", path) for path in EVIL]
    + [(Kind.ATTRIBUTES, b"../evil", b"")],
)
def test_no_record_is_taken_that_names_what_is_not_below_its_folder(
    tmp_path: Path, kind: Kind, path: bytes, data: bytes
) -> None:
    source, spool = (Journal(tmp_path / name, Start(b"j" * 16, 7)) for name in ("source", "spool"))
    good = source.append(Kind.CREATE, fid=OLD, path=b"a/..b/.c")
    source.append(kind, fid=NEW, path=path, data=data)
    with pytest.raises(Damaged, match="not below its folder"):
        spool.append_raw(good.lsn, source.read(good.lsn))
    assert spool.end == good.end
    source.close()
    spool.close()


def test_a_generation_that_could_not_be_noted_has_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path, Start(b"j" * 16, 7))

    def refuse(_: Kind) -> None:
        raise REFUSAL

    with monkeypatch.context() as full:
        full.setattr(journal, "append", refuse)
        with pytest.raises(OSError, match="refuses"):
            journal.begin_generation(8)
    assert journal.append(Kind.BARRIER).generation == 7
    assert journal.begin_generation(8).generation == 8
    journal.close()


def test_who_could_not_act_on_a_full_disk_is_told_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Level] = []

    def act(level: Level) -> None:
        told.append(level)
        if len(told) == 1:
            raise REFUSAL

    with standing(tmp_path) as ground:
        lookout = Lookout(ground, on_space=act, every_s=0.01)
        monkeypatch.setattr(lookout, "_free", lambda _: 0)
        lookout.start()
        until(lambda: len(told) >= 2)
        lookout.stop()
    assert told[:2] == [Level.STOP, Level.STOP]
