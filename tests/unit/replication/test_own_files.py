"""In which watched folders of a standby size and time count: where both nodes had all in common once."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hsorch.errors import NodeError
from hsorch.node.replication import mirror, tree
from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.bound import Bound
from hsorch.node.replication.foreign import Change
from hsorch.node.replication.ground import Ground
from hsorch.node.replication.messages import Task
from hsorch.node.replication.rest import begin_empty
from hsorch.node.replication.tree import Tree
from hsorch.node.replication.watched.parts import Taking
from hsorch.node.replication.wire import Broken
from tests.unit.replication.mirrors import Trees
from tests.unit.replication.test_ends import standing
from tests.unit.replication.test_mirror import MIB


class Standby:
    def __init__(self, ground: Ground, home: Path) -> None:
        self.ground, self.folder = ground, home / "images"
        self.folder.mkdir()
        self.binding = Binding(path=str(self.folder), kind="watched")
        ground.setup = msgspec.structs.replace(ground.setup, bindings=(self.binding,))
        self.begin()

    def begin(self) -> None:
        self.taking = Taking(self.ground)

    @property
    def own(self) -> bool:
        """What stands there may be: said to the source, and looked into here."""
        says = self.taking._hello().unshared
        looks = self.taking._stands(Task(binding=self.binding)).looked is not None
        assert (says == (self.binding.path,)) is looks
        return looks


@pytest.fixture
def standby(tmp_path: Path) -> Iterator[Standby]:
    with standing(tmp_path) as ground:
        yield Standby(ground, tmp_path)


def test_where_nothing_stood_everything_comes_from_the_source(standby: Standby) -> None:
    """Also after a kill in the middle of the first mirror: what is there then is what it brought."""
    assert not standby.own
    (standby.folder / "brought").touch()
    standby.begin()
    assert not standby.own


def test_a_source_that_was_not_let_in_says_nothing_of_what_comes_then(standby: Standby) -> None:
    assert not standby.taking._hello().unshared
    (standby.folder / "own").touch()
    assert standby.own


def test_each_version_that_others_made_is_kept(standby: Standby) -> None:
    """But not what this mirror brought, and brings again."""
    file = standby.folder / "own"
    task = Task(binding=standby.binding)
    for content in ("1", "2", "2", "3"):
        file.write_text(content)
        stood = standby.taking._stands(task)
        assert stood.keep is not None
        stood.keep(str(standby.folder), "own")
    assert kept(standby) == {"1", "2", "3"}
    file.write_text("brought")
    assert stood.looked is not None
    stood.looked.add(file.stat().st_ino)
    stood.keep(str(standby.folder), "own")
    assert kept(standby) == {"1", "2", "3"}
    standby.taking.changed(Change(str(file), "vim"))
    stood.keep(str(standby.folder), "own")
    assert kept(standby) == {"1", "2", "3", "brought"}


def kept(standby: Standby) -> set[str]:
    files = standby.ground.places.quarantine.rglob("*")
    return {path.read_text() for path in files if path.name.isdigit()}


def test_what_stood_there_is_looked_into_until_a_mirror_has_ended(standby: Standby) -> None:
    (standby.folder / "own").touch()
    assert standby.own
    standby.begin()
    assert standby.own
    standby.taking._ended(Task(binding=standby.binding))
    assert not standby.own
    standby.begin()
    assert not standby.own


def test_what_this_mirror_looked_into_it_does_not_look_into_again(standby: Standby) -> None:
    """For as long as the part is played: nobody else can have put a file there unseen."""
    (standby.folder / "own").touch()
    assert standby.own
    looked = standby.taking._stands(Task(binding=standby.binding)).looked
    assert looked == set()
    looked.add(7)
    assert standby.taking._stands(Task(binding=standby.binding)).looked == {7}
    standby.begin()
    assert standby.taking._stands(Task(binding=standby.binding)).looked == set()


def test_what_another_node_brought_is_own_for_the_one_that_was_chosen(standby: Standby) -> None:
    (standby.folder / "own").touch()
    looked = standby.taking._stands(Task(binding=standby.binding)).looked
    assert looked is not None
    looked.add(7)
    standby.taking.give_up()
    assert standby.taking._stands(Task(binding=standby.binding)).looked == set()
    standby.taking._ended(Task(binding=standby.binding))
    assert not standby.own
    standby.taking.give_up()
    assert standby.own
    assert not standby.taking.whole


def test_an_empty_place_where_the_disk_should_be_says_nothing_of_the_disk(standby: Standby) -> None:
    (standby.folder / "own").touch()
    assert standby.own
    away = standby.folder.rename(standby.folder.with_name("away"))
    standby.folder.mkdir()
    assert standby.taking._hello().unshared == (standby.binding.path,)
    with pytest.raises(NodeError) as refused:
        standby.taking._stands(Task(binding=standby.binding))
    assert refused.value.code == "HS674"
    standby.folder.rmdir()
    away.rename(standby.folder)
    assert standby.own


def test_a_disk_that_was_replaced_has_nothing_in_common(standby: Standby) -> None:
    assert not standby.own
    shutil.rmtree(standby.folder)
    standby.folder.mkdir()
    (standby.folder / "own").touch()
    ground = standby.ground
    begin_empty(ground.places, ground.setup, "boot")
    standby.ground.bound = Bound(ground.places.bound)
    standby.begin()
    assert standby.own


def test_a_standby_does_not_look_for_files_without_end_before_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among many that are not bound one may be: then it counts as one that has files."""
    monkeypatch.setattr(tree, "LOOKED", 3)
    with contextlib.closing(Tree(0, Binding(path=str(tmp_path), kind="ordered", include=("*.db",)))) as data:
        for number in range(3):
            (tmp_path / f"{number}.log").touch()
        assert data.is_bare()
        (tmp_path / "3.log").touch()
        assert not data.is_bare()


@pytest.mark.parametrize("own", [False, True])
def test_size_and_time_say_nothing_of_what_stood_there_before(trees: Trees, own: bool) -> None:
    """But what an earlier run of this mirror brought, or looked into, is not sent or read again."""
    kept: list[str] = []
    trees.keep, trees.looked = lambda _, name: kept.append(name), set()
    for name, size in (("small", 5), ("large", 3 * MIB), ("same", 5), ("large and same", 3 * MIB)):
        for root in (trees.here, trees.there):
            (root / name).write_bytes(os.urandom(size) if "same" not in name else bytes(size))
            os.utime(root / name, ns=(7, 7))
    (trees.here / "other").write_bytes(os.urandom(100))
    trees.mirror(own=own)
    assert trees.equal()
    assert sorted(kept) == (["large", "small"] if own else ["large", "same", "small"])
    trees.mirror()
    assert trees.last.progress.figures().bytes_sent == 0
    assert trees.looked == {path.stat().st_ino for path in trees.there.iterdir() if path.is_file()}
    (trees.there / "small").write_bytes(b"wrong")
    os.utime(trees.there / "small", ns=(7, 7))
    trees.mirror(own=True)
    assert trees.equal(), "where the source says what is in it, that counts"


@pytest.mark.parametrize("size", [3, 3 * MIB])
@pytest.mark.parametrize("what", ["comes", "goes"])
def test_what_the_first_mirror_missed_is_not_taken_for_what_stood_there(
    trees: Trees, monkeypatch: pytest.MonkeyPatch, what: str, size: int
) -> None:
    """A name comes to the source, or goes, while its folder is listed: the file that stood there is kept."""
    kept: list[str] = []
    trees.keep, trees.looked = lambda _, name: kept.append(name), set()
    (trees.there / "folder").mkdir()
    (trees.there / "folder/moves").write_bytes(b"o" * size)
    (trees.here / "folder").mkdir()
    moves = trees.here / "folder/moves"
    step = "_finish" if what == "comes" else "_answer"
    if what == "goes":
        moves.write_bytes(b"n" * size)
    plain = getattr(mirror.Mirror, step)

    def meanwhile(run: mirror.Mirror) -> Any:
        if what == "comes":
            moves.write_bytes(b"n" * size)
        else:
            run._course.replies.put(run._course.replies.get())  # it was listed, and is wanted
            moves.unlink()
        return plain(run)

    monkeypatch.setattr(mirror.Mirror, step, meanwhile)
    trees.mirror(own=True)
    assert kept == ["folder/moves"]
    assert not (trees.there / "folder/moves").exists()


def test_a_large_file_that_was_begun_in_an_earlier_life_is_no_own_one(trees: Trees) -> None:
    """Its part in staging has an inode that nobody remembers."""
    kept: list[str] = []
    trees.keep, trees.looked = lambda _, name: kept.append(name), set()
    (trees.there / "own").touch()
    (trees.here / "big").write_bytes(os.urandom(32 * MIB))
    with pytest.raises(Broken):
        trees.mirror(own=True, cut=16 * MIB)
    trees.looked = set()
    trees.mirror(own=True)
    assert trees.equal()
    assert kept == ["own"]
