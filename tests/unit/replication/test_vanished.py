"""How many files may be gone at the source before a comparison asks: turnover passes, an emptied disk not."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.capture import outlining
from hsorch.node.replication.capture.log import Log, Mark
from hsorch.node.replication.journal import Journal
from hsorch.node.replication.messages import Outline
from hsorch.node.replication.segments import Start
from hsorch.node.replication.tree import Tree
from hsorch.node.replication.vanished import FLOOR, weigh
from tests.replicators.comparing import seen_by


class Nodes:
    """Both with the same files; what is done to `here` afterwards went past the replicator."""

    def __init__(self, home: Path, count: int) -> None:
        self.here, self.trees = home / "here", []
        for name in ("here", "there"):
            (home / name).mkdir()
            tree = Tree(0, Binding(path=str(home / name), kind="ordered"))
            for n in range(count):
                (home / name / f"{n}").write_bytes(b"x")
                tree.set_fid(f"{n}", n + 1)
            self.trees.append(tree)
        journal = Journal(home / "journal", Start(b"j" * 16, 7))
        self._log = Log(journal, Mark(home / "mark"), on_fault=pytest.fail)

    def gone(self, own: int = 0, saw: Callable[[Outline], None] = lambda outline: None) -> int:
        here, there = self.trees
        image = seen_by(self._log, [here], [there], saw)
        return sum(weigh([here], image, contextlib.nullcontext(), own).values())

    def lose(self, count: int) -> None:
        for n in range(count):
            (self.here / f"{n}").unlink()


@pytest.mark.parametrize(
    ("files", "lost", "held"),
    [
        (1, 1, 1),
        (3, 2, 0),
        (3, 3, 3),
        (20, FLOOR, 0),
        (20, FLOOR + 1, FLOOR + 1),
        (100, 25, 0),
        (100, 26, 26),
    ],
)
def test_a_quarter_may_go_or_a_few_but_never_all(tmp_path: Path, files: int, lost: int, held: int) -> None:
    nodes = Nodes(tmp_path, files)
    nodes.lose(lost)
    assert nodes.gone() == held


def test_what_has_another_name_by_now_is_not_gone(tmp_path: Path) -> None:
    nodes = Nodes(tmp_path, 40)
    for n in range(40):
        (nodes.here / f"{n}").rename(nodes.here / f"renamed {n}")
    assert nodes.gone() == 0


def test_what_the_standby_may_have_made_itself_is_not_counted(tmp_path: Path) -> None:
    """As the source before: its last writes are what a takeover rolls back."""
    nodes = Nodes(tmp_path, 40)
    nodes.lose(30)
    assert nodes.gone() == 30
    assert nodes.gone(own=25) == 0


def test_files_that_never_were_in_both_folders_do_not_count(tmp_path: Path) -> None:
    nodes = Nodes(tmp_path, 3)
    for n in range(100):
        (tmp_path / "there" / f"own {n}").write_bytes(b"y")
    assert nodes.gone() == 0


def test_files_of_a_folder_in_whose_place_something_else_stands_are_gone(tmp_path: Path) -> None:
    nodes = Nodes(tmp_path, 0)
    (tmp_path / "here/folder").write_bytes(b"a file")
    (tmp_path / "there/folder").mkdir()
    for n in range(20):
        (tmp_path / f"there/folder/{n}").write_bytes(b"x")
        nodes.trees[1].set_fid(f"folder/{n}", n + 1)
    assert nodes.gone() == 20


def test_what_is_removed_past_the_mount_while_it_is_listed_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlining, "BATCH", 1)
    nodes = Nodes(tmp_path, 40)

    def empty(_: Outline) -> None:
        for path in nodes.here.iterdir():
            path.unlink()

    assert nodes.gone(saw=empty) > 30


def test_what_differs_and_is_removed_past_the_mount_once_all_is_listed_is_gone(tmp_path: Path) -> None:
    nodes = Nodes(tmp_path, 40)
    for n in range(40):
        (nodes.here / f"{n}").write_bytes(b"another content")

    def empty(outline: Outline) -> None:
        if outline.last:
            nodes.lose(40)

    assert nodes.gone(saw=empty) == 40
