"""Nothing is overwritten that could not be kept: also not at the second attempt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hsorch.node.replication.answer import Questions
from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.ground import Ground
from hsorch.node.replication.keeping import Keeper
from hsorch.node.replication.messages import Outline
from hsorch.node.replication.outline import Part
from hsorch.node.replication.quarantine import About, Quarantine, QuarantineFull
from hsorch.node.replication.record import Kind, Record
from hsorch.node.replication.resync import Receiving
from hsorch.node.replication.spool import Spool
from hsorch.node.replication.stage import EVERYTHING
from hsorch.node.replication.tree import Tree
from tests.unit.replication.test_ends import standing

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
    room = 10
    keeper = Keeper([tree], lambda: Quarantine(tmp_path / "kept", room).open(ABOUT))
    for _ in range(3):
        with pytest.raises(QuarantineFull):
            keeper.before(record)
    room = 1 << 20
    keeper.before(record)
    assert [kept.path for kept in Quarantine(tmp_path / "kept", room).listing(ABOUT.incident)] == [b"book"]


def test_a_file_is_kept_once_as_it_was(tree: Tree, tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path / "kept", limit=1 << 20)
    keeper = Keeper([tree], lambda: quarantine.open(ABOUT))
    keeper.before(WRITE)
    (tree.folder / "book").write_bytes(b"theirs")
    keeper.before(WRITE)
    keeper.before(UNLINK)
    (restored,) = quarantine.restore(ABOUT.incident, tmp_path / "back")
    assert restored.read_bytes() == b"only here" * 1_000


def mine(ground: Ground, *names: bytes) -> list[int]:
    """Files with these names, which only this node has; their fids."""
    fids = list(range(71, 71 + len(names)))
    for fid, name in zip(fids, names, strict=True):
        ground.journal.append(Kind.CREATE, fid=fid, a=0o600, path=name)
        ground.journal.append(Kind.WRITE, fid=fid, b=4, data=b"mine")
    Spool(ground).finish()
    ground.meta.change(keep=ABOUT.incident)
    return fids


def kept(ground: Ground) -> list[tuple[bytes, bytes]]:
    """Paths, in the order in which they were kept, and contents."""
    home = ground.places.quarantine / ABOUT.incident
    found = Quarantine(ground.places.quarantine, 0).listing(ABOUT.incident)
    return [(one.path, (home / str(one.number)).read_bytes()) for one in found]


def process(ground: Ground) -> Receiving:
    return Receiving(ground, lambda _: None, lambda: None)


def test_a_process_that_goes_on_in_the_middle_of_a_resync_keeps_what_is_left_of_it(tmp_path: Path) -> None:
    with standing(tmp_path) as ground:
        first, second = mine(ground, b"first", b"second")
        ground.meta.change(consistent=False)
        journal, before, after = ground.journal, process(ground), process(ground)
        before.apply(journal.append(Kind.MIRROR_BEGIN, a=EVERYTHING))
        before.apply(journal.append(Kind.COPY, fid=first, b=6, data=b"theirs"))
        after.apply(journal.append(Kind.COPY, fid=second, b=6, data=b"theirs"))
        assert kept(ground) == [(b"first", b"mine"), (b"second", b"mine")]


def test_what_was_kept_before_a_resync_was_let_in_is_not_kept_again_later(
    tmp_path: Path,
) -> None:
    with standing(tmp_path) as ground:
        (log,) = mine(ground, b"log")
        journal, before, after = ground.journal, process(ground), process(ground)
        begin = journal.append(Kind.MIRROR_BEGIN, a=EVERYTHING)
        rename = journal.append(Kind.RENAME, path=b"log", data=b"log.1")
        write = journal.append(Kind.COPY, fid=log, b=6, data=b"theirs")
        journal.append(Kind.MIRROR_END, a=EVERYTHING, b=begin.lsn)
        before._questions = Questions(1)
        before._questions.put(Outline(lsn=begin.lsn, number=0, parts=[Part(0, b"", [])], last=True))
        assert before.lets_in(begin, journal.end)
        before.apply(begin)
        before.apply(rename)
        after.apply(write)
        assert kept(ground) == [(b"log", b"mine")]
    assert (tmp_path / "data/log.1").read_bytes() == b"theirs"


def test_whoever_fills_an_incident_fills_the_same_one(tmp_path: Path) -> None:
    """What stands in the way of the stream goes there, too, and it is let go of in between."""
    with standing(tmp_path) as ground:
        first, second = mine(ground, b"first", b"second")
        ground.meta.change(consistent=False)
        journal, receiving = ground.journal, process(ground)
        receiving.apply(journal.append(Kind.MIRROR_BEGIN, a=EVERYTHING))
        receiving.apply(journal.append(Kind.COPY, fid=first, b=6, data=b"theirs"))
        ground.let_go()
        (tmp_path / "data/stranger").write_bytes(b"nobody's")
        ground.set_aside(ground.trees[0], "stranger")
        receiving.apply(journal.append(Kind.COPY, fid=second, b=6, data=b"theirs"))
        assert kept(ground) == [(b"first", b"mine"), (b"stranger", b"nobody's"), (b"second", b"mine")]
