"""In which watched folders of a standby size and time count: where both nodes had all in common once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from hsorch.errors import NodeError
from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.bound import Bound
from hsorch.node.replication.foreign import Change
from hsorch.node.replication.ground import Ground
from hsorch.node.replication.messages import Task
from hsorch.node.replication.rest import begin_empty
from hsorch.node.replication.watched.parts import Taking
from tests.unit.replication.test_ends import standing


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
