"""Past the spool: only what is promised to nobody, in order, and up to the place where a promise begins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hsorch.node.replication import carrying
from hsorch.node.replication.bypass import Bypass
from hsorch.node.replication.journal import Journal
from hsorch.node.replication.meta import Meta, MetaFile, Place
from hsorch.node.replication.record import Damaged, Kind, Record
from hsorch.node.replication.segments import READ_BYTES, Start
from hsorch.node.replication.spool import Spool
from tests.unit.replication.test_ends import standing

JOB = b"j" * 16


class Standby:
    """In the middle of a first mirror, whose begin it has applied."""

    def __init__(self, home: Path) -> None:
        self.source = Journal(home / "source", Start(JOB, 7))
        begin = self.source.append(Kind.MIRROR_BEGIN)
        self.meta = MetaFile(home / "meta", Meta(node="b", job=JOB, boot="x", marks=(begin.lsn, 0)))
        self.spool = Journal(home / "spool", Start(JOB, 7))
        self.spool.append_raw(begin.lsn, self.source.read(begin.lsn))
        self.applied = begin.end
        self.seen: list[Kind] = []
        self.bypass = Bypass(self.meta, self.spool)

    def apply(self, record: Record) -> None:
        if bytes(record.data) == b"no room":
            raise OSError(28, "no room")
        self.seen.append(record.kind)
        self.applied = record.end
        if record.kind is Kind.MIRROR_END:
            self.meta.change(consistent=True, marks=(0, 0))

    def take(self) -> int:
        return self.bypass.take(self.applied, self.source.read(self.applied), self.apply)

    def is_open(self) -> bool:
        return self.bypass.is_open(self.applied, self.applied)


@pytest.fixture
def standby(tmp_path: Path) -> Iterator[Standby]:
    made = Standby(tmp_path)
    yield made
    made.source.close()
    made.spool.close()
    made.meta.close()


def test_what_went_past_is_behind_the_spool_once_it_is_settled(standby: Standby) -> None:
    for n in range(3):
        standby.source.append(Kind.COPY, fid=5, a=n, data=b"x")
    assert standby.is_open()
    assert standby.take() == standby.source.end - standby.spool.end
    assert standby.spool.end < standby.applied == standby.source.end
    standby.bypass.settle()
    assert (standby.spool.end, standby.spool.crc) == (standby.source.end, standby.source.crc)
    standby.source.append(Kind.COPY, fid=5, data=b"y")
    assert standby.is_open(), "and on it goes from there"


def test_nothing_overtakes_what_waits_in_the_spool(standby: Standby) -> None:
    standby.source.append(Kind.COPY, fid=5, data=b"x")
    standby.spool.append_raw(standby.applied, standby.source.read(standby.applied))
    assert not standby.is_open()


@pytest.mark.parametrize(
    "fields", [{"consistent": True}, {"staged_over": Place(lsn=4096)}, {"marks": (0, 0)}, {"marks": (0, 9)}]
)
def test_a_usable_image_changes_only_by_way_of_the_spool(standby: Standby, fields: dict[str, object]) -> None:
    standby.meta.change(**fields)
    assert not standby.is_open()


def test_from_the_end_of_the_mirror_on_everything_is_spooled(standby: Standby) -> None:
    standby.source.append(Kind.COPY, fid=5, data=b"x")
    end = standby.source.append(Kind.MIRROR_END, b=standby.spool.first)
    standby.source.append(Kind.WRITE, fid=5, data=b"an acknowledged one", b=19)
    began = standby.applied
    assert began + standby.take() == end.end
    assert standby.seen == [Kind.COPY, Kind.MIRROR_END]


def test_a_further_begin_belongs_to_who_tells_the_image(standby: Standby) -> None:
    standby.source.append(Kind.COPY, fid=5, data=b"x")
    verify = standby.source.append(Kind.MIRROR_BEGIN, a=2)
    began = standby.applied
    assert began + standby.take() == verify.lsn


def test_what_failed_is_dropped_back_to_the_checkpoint(standby: Standby) -> None:
    checkpoint = standby.spool.end
    standby.source.append(Kind.COPY, fid=5, data=b"x")
    standby.source.append(Kind.COPY, fid=5, data=b"no room")
    with pytest.raises(OSError, match="no room"):
        standby.take()
    assert standby.bypass.drop() == checkpoint
    assert standby.bypass.at is None


def test_a_flipped_byte_is_never_applied(standby: Standby) -> None:
    for text in (b"good", b"evil"):
        standby.source.append(Kind.COPY, fid=5, data=text)
    data = bytearray(standby.source.read(standby.applied))
    data[-6] ^= 1
    with pytest.raises(Damaged):
        standby.bypass.take(standby.applied, data, standby.apply)
    assert standby.seen == [Kind.COPY], "what came before it is whole"


def test_a_mirror_that_got_ahead_of_the_files_is_not_written_twice_up_to_its_end(tmp_path: Path) -> None:
    """What waits in the spool by then is carried out, and what follows it goes past."""
    with standing(tmp_path) as ground:
        ground.meta.change(consistent=False)
        spool, journal = Spool(ground), ground.journal
        source = Journal(tmp_path / "source", Start(ground.meta.value.job, journal.generation))

        def arrives() -> memoryview:
            return memoryview(source.read(spool.carrying.applied))

        source.append(Kind.MIRROR_BEGIN)
        spool._arrive(journal.end, arrives())
        spool.carrying.make_durable()
        spool.carrying._apply_some()
        spool.start()
        source.append(Kind.IDENT, fid=5, path=b"file")
        source.append(Kind.COPY, fid=5, b=4, data=b"in t")
        journal.append_raw(journal.end, arrives())
        waiting = source.end
        source.append(Kind.COPY, fid=5, a=4, b=10, data=b"he end")
        spool._arrive(waiting, memoryview(source.read(waiting)))
        assert journal.end == waiting
        assert spool.carrying.applied == source.end
        spool.stop()
        source.close()
    assert (tmp_path / "data/file").read_bytes() == b"in the end"


def test_a_standby_that_is_stopped_waits_for_no_spool_to_become_empty(tmp_path: Path) -> None:
    with standing(tmp_path) as ground:
        begin = ground.journal.append(Kind.MIRROR_BEGIN)
        ground.meta.change(consistent=False, marks=(begin.lsn, 0))
        spool = Spool(ground)
        spool.stop()
        assert spool.carrying.past(begin.end, memoryview(b"what comes next")) == 0


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
