"""What somebody else than the source changes on a standby: it is said until a comparison has seen it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.foreign import Change
from hsorch.node.replication.ground import Ground
from hsorch.node.replication.messages import Task
from hsorch.node.replication.record import Kind
from hsorch.node.replication.resync import Receiving
from hsorch.node.replication.stage import VERIFY
from hsorch.node.replication.watched.parts import Taking
from tests.unit.replication.test_ends import standing


class Compared:
    """A standby with a folder of the kind, which is compared from begin() to end()."""

    def __init__(self, ground: Ground, home: Path, kind: str) -> None:
        images = Binding(path=str(home / "images"), kind="watched")
        ground.setup = msgspec.structs.replace(ground.setup, bindings=(*ground.setup.bindings, images))
        self.folder = str(home / ("images" if kind == "watched" else "data"))
        self.taking, self._watched = Taking(ground), kind == "watched"
        self._task = Task(binding=images, mode="content")
        self._journal, self._receiving = ground.journal, Receiving(ground, lambda _: None, lambda: None)

    def begin(self) -> None:
        self._begun = self._journal.append(Kind.MIRROR_BEGIN, a=VERIFY)
        if self._watched:
            self.taking._keeps(self._task)
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
