"""A part that ends, in order or in the middle, and what lies there when one begins again or takes over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast
from unittest.mock import MagicMock

import pytest

from hsorch.node.paths import Paths
from hsorch.node.replication import ground as grounds
from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.generations import Lineage
from hsorch.node.replication.ground import Ground
from hsorch.node.replication.messages import Begin
from hsorch.node.replication.meta import Place
from hsorch.node.replication.record import Kind
from hsorch.node.replication.resync import Receiving
from hsorch.node.replication.setup import Places, Setup
from hsorch.node.replication.source import Source, made_whole
from hsorch.node.replication.spool import Spool
from hsorch.node.replication.stage import EVERYTHING, LEFT_OUT

SENDER = Lineage(current=0x5EED)
OLD, NEW = 71, 72


@contextmanager
def standing(home: Path, generation: int = SENDER.current) -> Iterator[Ground]:
    """The ground of a standby that was at work when this process began."""
    data = home / "data"
    data.mkdir(exist_ok=True)
    places = Places.of(Paths("pair", home))
    places.home.mkdir(parents=True, exist_ok=True)
    setup = Setup(
        job="ab" * 16, node="b", bindings=(Binding(path=str(data), kind="ordered"),),
        address="127.0.0.1", peer="127.0.0.2", port=1,
    )  # fmt: skip
    ground = Ground(places, setup, "boot")
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
        killed = Receiving(ground, lambda _: None)
        records = list(journal.records(begin.lsn))
        for record in records[:-1]:
            killed.apply(record)
    with standing(tmp_path) as ground:
        Spool(ground).finish()
    assert (tmp_path / "data/log.1").read_bytes() == b"old"
    assert (tmp_path / "data/log").read_bytes() == b"new"


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


def test_the_image_to_fall_back_on_is_on_stable_storage_before_it_is_counted_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with standing(tmp_path) as ground:
        ground.journal.append(Kind.CREATE, fid=OLD, a=0o600, path=b"book")
        spool = Spool(ground)
        counted_on: list[bool] = []
        checkpoint = spool.applier.checkpoint

        def observed() -> None:
            counted_on.append(ground.meta.value.staged_over is not None)
            checkpoint()

        monkeypatch.setattr(spool.applier, "checkpoint", observed)
        place = Place(generation=SENDER.current, lsn=90_000, crc=7)
        spool._begin(Begin(at=place, fresh=True), ground.hello())
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
