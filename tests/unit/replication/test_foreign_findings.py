"""What somebody else than the source changes on a standby: it is said until a comparison has seen it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from hsorch.node.replication.answer import Questions
from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.doubt import Extents
from hsorch.node.replication.foreign import Change
from hsorch.node.replication.generations import Lineage
from hsorch.node.replication.ground import Ground
from hsorch.node.replication.messages import Begin, Task
from hsorch.node.replication.record import Kind
from hsorch.node.replication.resync import Receiving
from hsorch.node.replication.stage import VERIFY
from hsorch.node.replication.watched.parts import Taking
from tests.unit.replication.test_ends import SENDER, standing


class Compared:
    """A standby with a folder of the kind, which is compared from begin() to end()."""

    def __init__(self, ground: Ground, home: Path, kind: str) -> None:
        (home / "images").mkdir()
        images = Binding(path=str(home / "images"), kind="watched")
        ground.setup = msgspec.structs.replace(ground.setup, bindings=(*ground.setup.bindings, images))
        self.folder = str(home / ("images" if kind == "watched" else "data"))
        self.taking, self._watched = Taking(ground), kind == "watched"
        self._task = Task(binding=images, mode="content")
        self._journal, self._receiving = ground.journal, Receiving(ground, lambda _: None, lambda: None)

    def begin(self) -> None:
        self._begun = self._journal.append(Kind.MIRROR_BEGIN, a=VERIFY)
        if self._watched:
            self.taking._stands(self._task)
        else:
            assert self._receiving.lets_in(self._begun, self._journal.end)

    def end(self) -> None:
        if self._watched:
            self.taking._ended(self._task)
        else:
            self._receiving.apply(self._journal.append(Kind.MIRROR_END, a=VERIFY, b=self._begun.lsn))

    def found(self, name: str) -> None:
        self.taking.changed(Change(f"{self.folder}/{name}", "vim"))


@pytest.mark.parametrize("kind", ["ordered", "watched"])
def test_what_others_change_during_a_comparison_is_said_after_it(tmp_path: Path, kind: str) -> None:
    """Also when something was found before, be it the same again."""
    with standing(tmp_path) as ground:
        pair = Compared(ground, tmp_path, kind)
        pair.found("first")
        for name in ("second", "second"):
            pair.begin()
            pair.found(name)
            pair.end()
            assert f"{name} was changed by vim" in pair.taking.verify_needed
        pair.begin()
        pair.end()
        assert pair.taking.verify_needed == ""


@pytest.mark.parametrize("kind", ["ordered", "watched"])
def test_the_first_finding_is_enough_while_nothing_is_compared(tmp_path: Path, kind: str) -> None:
    """Each one is durable, and a program may write without end."""
    with standing(tmp_path) as ground:
        pair = Compared(ground, tmp_path, kind)
        pair.found("first")
        pair.found("second")
        assert "first was changed by vim" in pair.taking.verify_needed


class Brought:
    """A blank standby that takes in base copy number 1."""

    def __init__(self, ground: Ground, home: Path) -> None:
        ground.meta.change(generations=Lineage(), consistent=False)
        self._ground, self._folder = ground, home / "data"
        self._taking, self._receiving = Taking(ground), Receiving(ground, lambda _: None, lambda: None)

    def found(self) -> None:
        self._taking.changed(Change(f"{self._folder}/file", "vim"))

    def copy(self) -> dict[int, set[int]]:
        """What is known to be here of it."""
        return self._receiving.open_base_copy(1, SENDER)[1]

    def begin(self, brought: dict[int, set[int]]) -> Extents | None:
        """Where contents are compared after it; None: everywhere."""
        self._receiving.close_base_copy()
        at = self._ground.here()
        begin = Begin(at=at, asked_from=at.lsn, fresh=True, extents={})
        questions = Questions(1)
        questions.close()
        self._receiving.begin(begin, SENDER, questions, usable=False, applied=at.lsn, brought=brought)
        return self._receiving._extents

    def resync(self) -> str:
        """What makes a comparison needed once the standby is whole."""
        journal = self._ground.journal
        begun = journal.append(Kind.MIRROR_BEGIN)
        assert self._receiving.lets_in(begun, journal.end)
        self._receiving.apply(begun)
        fields = self._receiving.closing(journal.append(Kind.MIRROR_END, b=begun.lsn))
        return str(fields.get("verify_needed", self._ground.meta.value.verify_needed))


def test_what_others_change_during_a_base_copy_is_compared_after_it(tmp_path: Path) -> None:
    with standing(tmp_path) as ground:
        pair = Brought(ground, tmp_path)
        pair.copy()
        pair.found()
        assert pair.begin({0: set()}) is None


def test_what_others_changed_before_a_base_copy_is_replaced_by_it(tmp_path: Path) -> None:
    with standing(tmp_path) as ground:
        pair = Brought(ground, tmp_path)
        pair.found()
        pair.copy()
        assert pair.begin({0: set()}) == {}
        assert pair.resync() == ""


def test_what_others_change_after_a_base_copy_is_said_when_its_resync_has_ended(tmp_path: Path) -> None:
    """It may have come too late for the resync to see it."""
    with standing(tmp_path) as ground:
        pair = Brought(ground, tmp_path)
        pair.copy()
        assert pair.begin({0: set()}) == {}
        pair.found()
        assert "was changed by vim" in pair.resync()


def test_a_base_copy_in_whose_files_others_wrote_goes_on_from_nothing(tmp_path: Path) -> None:
    with standing(tmp_path) as ground:
        pair = Brought(ground, tmp_path)
        pair.copy()[0] = {77}
        assert pair.copy() == {0: {77}}
        pair.found()
        assert pair.copy() == {}
