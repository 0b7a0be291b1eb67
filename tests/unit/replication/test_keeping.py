"""Nothing is overwritten that could not be kept: also not at the second attempt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.keeping import Keeper
from hsorch.node.replication.quarantine import About, Quarantine, QuarantineFull
from hsorch.node.replication.record import Kind, Record
from hsorch.node.replication.tree import Tree

ABOUT = About(incident="given-up", time="2026-01-01T00:00:00.000Z", reason="overwritten by a resync")
WRITE = Record(Kind.WRITE, 5_000, fid=7, data=b"theirs")
UNLINK = Record(Kind.UNLINK, 6_000, fid=7, path=b"book")


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "book").write_bytes(b"only here" * 1_000)
    tree = Tree(0, Binding(path=str(folder), kind="ordered"))
    tree.set_fid("book", 7)
    yield tree
    tree.close()


@pytest.mark.parametrize("record", [WRITE, UNLINK], ids=["a write", "a deletion"])
def test_a_full_quarantine_stops_the_resync_for_as_long_as_it_is_full(
    record: Record, tree: Tree, tmp_path: Path
) -> None:
    keeper = Keeper([tree], Quarantine(tmp_path / "kept", limit=10).open(ABOUT))
    for _ in range(3):
        with pytest.raises(QuarantineFull):
            keeper.before(record)


def test_a_file_is_kept_once_as_it_was(tree: Tree, tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path / "kept", limit=1 << 20)
    keeper = Keeper([tree], quarantine.open(ABOUT))
    keeper.before(WRITE)
    (tree.folder / "book").write_bytes(b"theirs")
    keeper.before(WRITE)
    keeper.before(UNLINK)
    (restored,) = quarantine.restore(ABOUT.incident, tmp_path / "back")
    assert restored.read_bytes() == b"only here" * 1_000
