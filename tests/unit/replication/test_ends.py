"""A part that ends, in order or in the middle, and what lies there when one begins again or takes over."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast
from unittest.mock import MagicMock

import msgspec
import pytest

from hsorch.node.paths import Paths
from hsorch.node.replication import ground as grounds
from hsorch.node.replication.answer import Questions
from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.capture.log import Mark
from hsorch.node.replication.gate import Level
from hsorch.node.replication.generations import Lineage
from hsorch.node.replication.ground import Ground
from hsorch.node.replication.messages import Begin, Outline
from hsorch.node.replication.meta import Place
from hsorch.node.replication.outline import Part
from hsorch.node.replication.record import Damaged, Kind
from hsorch.node.replication.rest import at_rest
from hsorch.node.replication.resync import Receiving
from hsorch.node.replication.setup import Places, Setup
from hsorch.node.replication.source import Source, made_whole
from hsorch.node.replication.spool import Spool
from hsorch.node.replication.stage import EVERYTHING, LEFT_OUT, VERIFY
from hsorch.node.replication.target import Target
from tests.replicators.members import until
from tests.unit.replication.killing import killed_at

SENDER = Lineage(current=0x5EED)
OLD, NEW = 71, 72


@contextmanager
def standing(
    home: Path, generation: int = SENDER.current, *, boot: str = "boot", level: Level = "none"
) -> Iterator[Ground]:
    """The ground of a standby that was at work when this process began."""
    data = home / "data"
    data.mkdir(exist_ok=True)
    places = Places.of(Paths("pair", home))
    places.home.mkdir(parents=True, exist_ok=True)
    places.run.mkdir(parents=True, exist_ok=True)
    setup = Setup(
        job="ab" * 16, node="b", bindings=(Binding(path=str(data), kind="ordered"),),
        address="127.0.0.1", peer="127.0.0.2", port=1, level=level,
    )  # fmt: skip
    ground = Ground(places, setup, boot)
    if ground.meta.value.role == "none":
        ground.meta.change(
            role="target",
            clean=False,
            consistent=True,
            generations=Lineage(current=generation),
            sender=SENDER,
        )
    ground.settle()
    try:
        yield ground
    finally:
        ground.close()


def test_a_killed_resync_changes_no_name_twice(tmp_path: Path) -> None:
    with standing(tmp_path) as ground:
        journal = ground.journal
        journal.append(Kind.CREATE, fid=OLD, a=0o600, path=b"log")
        journal.append(Kind.WRITE, fid=OLD, b=3, data=b"old")
        Spool(ground).finish()
        begin = journal.append(Kind.MIRROR_BEGIN, a=EVERYTHING)
        journal.append(Kind.RENAME, path=b"log", data=b"log.1")
        journal.append(Kind.CREATE, fid=NEW, a=0o600, path=b"log")
        journal.append(Kind.WRITE, fid=NEW, b=3, data=b"new")
        journal.append(Kind.MIRROR_END, a=EVERYTHING, b=begin.lsn)
        killed = Receiving(ground, lambda _: None, lambda: None)
        records = list(journal.records(begin.lsn))
        for record in records[:-1]:
            killed.apply(record)
    with standing(tmp_path) as ground:
        Spool(ground).finish()
    assert (tmp_path / "data/log.1").read_bytes() == b"old"
    assert (tmp_path / "data/log").read_bytes() == b"new"


def test_what_others_remove_while_a_resync_is_held_back_is_in_nobodys_way(tmp_path: Path) -> None:
    """That may be hours; a verify follows the finding."""
    with standing(tmp_path) as ground:
        journal = ground.journal
        journal.append(Kind.CREATE, fid=OLD, a=0o600, path=b"log")
        Spool(ground).finish()
        receiving = Receiving(ground, lambda _: None, lambda: None)
        receiving._questions = Questions(1)
        begin = journal.append(Kind.MIRROR_BEGIN, a=EVERYTHING)
        receiving._questions.put(Outline(lsn=begin.lsn, number=0, parts=[Part(0, b"", [])], last=True))
        assert not receiving.lets_in(begin, journal.end)
        (tmp_path / "data/log").unlink()
        journal.append(Kind.COPY, fid=OLD, b=3, data=b"new")
        end = journal.append(Kind.MIRROR_END, a=EVERYTHING, b=begin.lsn)
        for record in journal.records(begin.lsn):
            assert receiving.lets_in(record, end.end)
            receiving.apply(record)
        assert receiving.applier.skipped == 1


@pytest.mark.parametrize("what", [EVERYTHING, VERIFY])
def test_what_others_change_while_all_is_compared_is_not_forgotten_at_its_end(
    tmp_path: Path, what: int
) -> None:
    """The image that this side told may not show it."""
    with standing(tmp_path) as ground:
        journal = ground.journal
        ground.meta.change(verify_needed="the spool is damaged")
        receiving = Receiving(ground, lambda _: None, lambda: None)
        for found in ("", "file was changed by vim"):
            begin = journal.append(Kind.MIRROR_BEGIN, a=what)
            end = journal.append(Kind.MIRROR_END, a=what, b=begin.lsn)
            assert receiving.lets_in(begin, journal.end) or what == EVERYTHING
            receiving.apply(begin)
            if found:
                ground.meta.change(verify_needed=found)
            receiving.apply(end)
            if receiving.closes(end):
                ground.meta.change(**receiving.closing(end))
            assert ground.meta.value.verify_needed == found


def test_what_others_change_is_not_forgotten_by_a_process_that_only_ends_the_resync(tmp_path: Path) -> None:
    """The one before it told the image, and the change came after that."""
    with standing(tmp_path) as ground:
        journal = ground.journal
        begin = journal.append(Kind.MIRROR_BEGIN, a=EVERYTHING)
        before = Receiving(ground, lambda _: None, lambda: None)
        before.lets_in(begin, journal.end)
        before.apply(begin)
        ground.meta.change(verify_needed="file was changed by vim")
        end = journal.append(Kind.MIRROR_END, a=EVERYTHING, b=begin.lsn)
        after = Receiving(ground, lambda _: None, lambda: None)
        after.apply(end)
        ground.meta.change(**after.closing(end))
        assert ground.meta.value.verify_needed == "file was changed by vim"


def test_a_takeover_forgets_records_that_were_held_back(tmp_path: Path) -> None:
    with standing(tmp_path) as ground:
        journal = ground.journal
        journal.append(Kind.CREATE, fid=OLD, a=0o600, path=b"book")
        here = ground.here()
        journal.append(Kind.MIRROR_BEGIN, a=LEFT_OUT)
        journal.append(Kind.WRITE, fid=OLD, b=5)
        journal.append(Kind.CREATE, fid=NEW, a=0o600, path=b"never applied")
        made_whole(ground)
        assert ground.here() == here
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["book"]


def spooled(home: Path) -> Path:
    """Three acknowledged records of a standby that counts as complete; the segment that holds them."""
    with standing(home) as ground:
        for name in (b"first", b"second", b"third"):
            ground.journal.append(Kind.CREATE, fid=None, a=0o600, path=name)
        ground.meta.change(guarded=True)
        (segment,) = ground.places.journal.iterdir()
    return segment


def flip(segment: Path, where: int) -> None:
    data = bytearray(segment.read_bytes())
    data[where] ^= 0x40
    segment.write_bytes(data)


def test_a_standby_whose_spool_is_damaged_is_complete_no_more(tmp_path: Path) -> None:
    """What it acknowledged behind the damage is lost: no stream goes on from there, all is compared."""
    segment = spooled(tmp_path)
    flip(segment, segment.read_bytes().index(b"second"))
    with standing(tmp_path) as ground:
        part = Target(ground)
        assert not ground.meta.value.guarded
        assert ground.meta.value.verify_needed
        assert ground.hello().end == Place()
        part.finish()
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["first"]
    with standing(tmp_path) as ground:
        assert ground.hello().end == Place(), "also later"
        spool = Spool(ground)
        begin = Begin(at=Place(generation=SENDER.current, lsn=90_000, crc=7), asked_from=90_000, fresh=True)
        spool.carrying.begins(begin, ground.lineage(), Questions(1), None)
        assert ground.hello().end.lsn == 90_000, "the resync itself may break off and go on"
        assert ground.meta.value.verify_needed


def test_a_takeover_that_finds_the_spool_damaged_is_refused_before_anybody_counts_on_it(
    tmp_path: Path,
) -> None:
    segment = spooled(tmp_path)
    flip(segment, segment.read_bytes().index(b"second"))
    with standing(tmp_path) as ground, pytest.raises(Damaged, match="acknowledged"):
        made_whole(ground)
    with standing(tmp_path) as ground:
        made_whole(ground)  # whoever asks again knows


def test_a_standby_whose_memory_held_what_it_acknowledged_is_complete_no_more_after_a_power_cut(
    tmp_path: Path,
) -> None:
    """Whoever takes over hears of it first, and decides by what the data are now."""
    with standing(tmp_path, level="received") as ground:
        ground.meta.change(guarded=True)
    with standing(tmp_path, level="received") as ground:
        assert ground.meta.value.guarded, "a process that was killed has lost nothing"
    with standing(tmp_path, level="received", boot="another") as ground:
        assert not ground.meta.value.guarded
        with pytest.raises(Damaged, match="only the memory had"):
            made_whole(ground)
    with standing(tmp_path, level="received", boot="another") as ground:
        made_whole(ground)


def test_a_power_cut_takes_no_promise_that_was_on_the_disk(tmp_path: Path) -> None:
    with standing(tmp_path, level="durable") as ground:
        ground.meta.change(guarded=True)
    with standing(tmp_path, level="durable", boot="another") as ground:
        assert ground.meta.value.guarded


def test_nothing_is_carried_out_before_its_record_is_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut could leave files that hold a write, and neither the one before it nor the record."""
    with standing(tmp_path) as ground:
        spool = Spool(ground)
        on_disk = ground.journal.append(Kind.CREATE, fid=OLD, a=0o600, path=b"first").end
        ground.journal.append(Kind.CREATE, fid=NEW, a=0o600, path=b"second")
        monkeypatch.setattr(ground.journal, "sync", lambda: on_disk)
        spool.start()
        until(lambda: (tmp_path / "data/first").exists())
        time.sleep(0.2)
        assert not (tmp_path / "data/second").exists()
        monkeypatch.undo()
        until(lambda: (tmp_path / "data/second").exists())
        spool.finish()


def test_a_spool_that_ends_before_its_checkpoint_lost_what_came_after(tmp_path: Path) -> None:
    segment = spooled(tmp_path)
    with standing(tmp_path) as ground:
        Spool(ground).finish()
    os.truncate(segment, 100)
    with standing(tmp_path) as ground:
        assert not ground.meta.value.guarded
        assert ground.hello().end == Place()


def test_a_torn_tail_was_never_acknowledged(tmp_path: Path) -> None:
    segment = spooled(tmp_path)
    os.truncate(segment, segment.stat().st_size - 1)
    with standing(tmp_path) as ground:
        assert ground.meta.value.guarded
        assert ground.hello().end == ground.here()


@pytest.mark.parametrize("step", range(18))
def test_a_standby_that_was_killed_as_its_spool_began_anew_can_still_take_over(
    tmp_path: Path, step: int
) -> None:
    """At whatever step: it has the old records or waits for the new ones, and counts none of them as lost."""
    spooled(tmp_path)
    place = Place(generation=SENDER.current, lsn=90_000, crc=7)
    with standing(tmp_path) as ground:
        before = ground.here()
        spool = Spool(ground)
        with killed_at(step):
            spool.carrying.begins(
                Begin(at=place, asked_from=place.lsn, fresh=True), ground.lineage(), Questions(1), None
            )
    with standing(tmp_path) as ground:
        assert not ground.meta.value.torn
        assert ground.hello().end in (before, place)
        made_whole(ground)
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["first", "second", "third"]


def test_who_lost_power_says_where_its_records_end_not_where_they_ended_in_order_last(tmp_path: Path) -> None:
    """Of two nodes that come back, the one with more of the same line is the newer one."""
    spooled(tmp_path)
    with standing(tmp_path) as ground:
        assert ground.journal.end > ground.meta.value.generations.end
        assert at_rest(ground.places, ground.setup).lsn == ground.journal.end
        Target(ground).finish()
        assert at_rest(ground.places, ground.setup).lsn == ground.lineage().end


@pytest.mark.parametrize("short", [0, 1], ids=["it has it all", "its disk was set back"])
def test_a_standby_that_ends_before_what_its_source_counted_on_is_not_complete(
    tmp_path: Path, short: int
) -> None:
    spooled(tmp_path)
    with standing(tmp_path) as ground:
        at = ground.here()
        spool = Spool(ground)
        source = msgspec.structs.replace(ground.hello(), lineage=ground.meta.value.generations)
        spool.carrying.goes_on(
            Begin(at=at, asked_from=at.lsn, counted=at.lsn + short), source.lineage, Questions(1)
        )
        assert ground.meta.value.guarded is not bool(short)


def test_a_source_whose_journal_is_damaged_is_compared_with_its_standby(tmp_path: Path) -> None:
    segment = spooled(tmp_path)
    with standing(tmp_path) as ground:
        ground.meta.change(role="source")
    flip(segment, segment.read_bytes().index(b"second"))
    with standing(tmp_path) as ground:
        assert ground.meta.value.generations.tail_unsure
        assert ground.meta.value.guarded, "the standby may still have it all"


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_a_killed_source_does_again_what_it_may_not_have_done_or_is_compared_if_nobody_knows_that(
    tmp_path: Path, known: bool
) -> None:
    with standing(tmp_path) as ground:
        ground.journal.append(Kind.CREATE, fid=OLD, a=0o600, path=b"done")
        mark = Mark(ground.places.mark)
        mark.set(ground.journal.end)
        mark.close()
        ground.journal.append(Kind.CREATE, fid=NEW, a=0o600, path=b"not done")
        ground.meta.change(role="source", clean=False)
        if not known:
            ground.places.mark.unlink()
    with standing(tmp_path) as ground:
        assert ground.meta.value.generations.tail_unsure is not known
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["not done"] * known


def test_the_image_to_fall_back_on_is_on_stable_storage_before_it_is_counted_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with standing(tmp_path) as ground:
        ground.journal.append(Kind.CREATE, fid=OLD, a=0o600, path=b"book")
        spool = Spool(ground)
        counted_on: list[bool] = []
        checkpoint = spool.carrying.applier.checkpoint

        def observed() -> None:
            counted_on.append(ground.meta.value.staged_over is not None)
            checkpoint()

        monkeypatch.setattr(spool.carrying.applier, "checkpoint", observed)
        place = Place(generation=SENDER.current, lsn=90_000, crc=7)
        spool.carrying.begins(
            Begin(at=place, asked_from=place.lsn, fresh=True), ground.lineage(), Questions(1), None
        )
        assert counted_on == [False]
        assert ground.meta.value.staged_over is not None


def test_an_end_is_orderly_only_once_everything_is_on_stable_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut in between leaves files that nobody compares."""
    with standing(tmp_path) as ground:
        ground.meta.change(role="source", clean=False)
        ended_while_syncing: list[bool] = []
        monkeypatch.setattr(
            grounds, "sync_filesystem", lambda _: ended_while_syncing.append(ground.meta.value.clean)
        )
        source = MagicMock(_ground=ground)
        source.gate.applied = ground.journal.end
        Source.stop(cast(Source, source))
        assert ended_while_syncing == [False]
        assert ground.meta.value.clean
