"""What stands in the way of a stream, and what a resync overwrites: put by once, whoever dies meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hsorch.node.replication import ground as grounds
from hsorch.node.replication.quarantine import Quarantine
from hsorch.node.replication.record import Kind
from hsorch.node.replication.spool import Spool
from tests.unit.replication.killing import Killed
from tests.unit.replication.test_ends import standing


def test_the_quarantine_is_looked_through_once_for_all_that_is_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not held longer than until the next checkpoint: then an operator may drop what is in it."""
    looked: list[Path] = []
    monkeypatch.setattr(grounds, "limit_of", lambda folder, _: looked.append(folder) or 1_000_000)
    names = ("one", "two", "three")
    with standing(tmp_path) as ground:
        for name in names:
            (tmp_path / "data" / name).write_bytes(b"nobody recorded it")
            ground.journal.append(Kind.CREATE, fid=None, a=0o600, path=name.encode())
        Spool(ground).finish()
        assert len(looked) == 1
        quarantine = Quarantine(ground.places.quarantine, 0)
        (incident,) = quarantine.incidents()
        assert incident.files == len(names)
        quarantine.drop(incident.about.incident)


@pytest.mark.parametrize("resync", [False, True], ids=["stream", "resync"])
def test_of_what_stands_in_the_way_again_and_again_nothing_is_lost(tmp_path: Path, resync: bool) -> None:
    """Somebody writes into the standby's folder, under one name, within a minute; a folder, too."""
    files, pages = [b"one", b"another", b"a third"], [b"in a folder", b"in the next folder"]
    with standing(tmp_path) as ground:
        if resync:
            ground.meta.change(keep="what-a-resync-overwrites")
        (tree,) = ground.trees
        for content in files:
            (tmp_path / "data/book").write_bytes(content)
            ground.set_aside(tree, "book")
        for content in pages:
            (tmp_path / "data/book").mkdir()
            (tmp_path / "data/book/page").write_bytes(content)
            ground.set_aside(tree, "book")
        assert not list((tmp_path / "data").iterdir())
        kept = sorted(
            path.read_bytes() for path in ground.places.quarantine.rglob("*") if path.name.isdigit()
        )
        assert kept == sorted(files + pages)


def test_what_was_kept_when_the_process_was_killed_is_not_kept_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with standing(tmp_path) as ground:
        (tmp_path / "data/book").write_bytes(b"in the way")
        with monkeypatch.context() as killing:
            killing.setattr(os, "unlink", _killed)
            with pytest.raises(Killed):
                ground.set_aside(ground.trees[0], "book")
        ground.let_go()
        ground.set_aside(ground.trees[0], "book")
        (incident,) = Quarantine(ground.places.quarantine, 0).incidents()
        assert incident.files == 1


def _killed(_: str) -> None:
    raise Killed
