"""Before an operator chooses whose data count: what would the other side lose?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.generations import Fork, Lineage
from hsorch.node.replication.journal import Journal
from hsorch.node.replication.record import Kind
from hsorch.node.replication.segments import Start
from hsorch.node.replication.survey import LISTED, Survey, SurveyInput, survey
from hsorch.node.replication.tree import Tree

COMMON, HERE, THERE = 7, 8, 9
JOB = bytes(16)


class Side:
    """One node's folder and journal; `wrote` is what the application did to a file, as capture notes it."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "data"
        self.folder.mkdir(parents=True)
        self.tree = Tree(0, Binding(path=str(self.folder), kind="ordered"))
        self.journal = Journal(home / "journal", Start(job=JOB, generation=COMMON))
        self.fork = 0

    def wrote(self, name: str, data: bytes, at_s: int = 1_700_000_000) -> None:
        path, fid = self.folder / name, sum(name.encode())
        self.journal.append(Kind.CREATE, fid=fid, path=name.encode())
        self.journal.append(Kind.WRITE, fid=fid, data=data)
        path.write_bytes(data)
        self.tree.set_fid(name, fid)
        os.utime(path, (at_s, at_s))

    def deleted(self, name: str) -> None:
        self.journal.append(Kind.UNLINK, path=name.encode())
        (self.folder / name).unlink()

    def goes_on_alone(self) -> None:
        self.fork = self.journal.end
        self.journal.begin_generation(HERE)

    def asked(self, theirs: Lineage | None, *paths: str) -> Survey:
        fork = Fork(generation=COMMON, lsn=self.fork)
        mine = Lineage(current=HERE, base=fork, end=self.journal.end)
        raw = tuple(os.fsencode(path) for path in paths)
        wanted = SurveyInput(theirs=theirs, paths=raw)
        return survey("a", "target", mine, True, [self.tree], self.journal, wanted)


def diverged(side: Side) -> Lineage:
    return Lineage(current=THERE, base=Fork(generation=COMMON, lsn=side.fork), end=10 * side.fork)


@pytest.fixture
def side(tmp_path: Path) -> Iterator[Side]:
    made = Side(tmp_path)
    made.wrote("before", b"on both nodes")
    made.goes_on_alone()
    yield made
    made.journal.close()
    made.tree.close()


def test_only_what_was_written_after_the_fork_would_be_lost(side: Side) -> None:
    side.wrote("book", b"x" * 100, at_s=1_700_000_100)
    side.wrote("page", b"y" * 10)
    found = side.asked(diverged(side))
    assert found.meeting == "diverged"
    assert found.exact
    assert (found.files, found.size, found.written) == (2, 110, 110)
    assert found.newest_ns == 1_700_000_100 * 10**9
    assert [Path(os.fsdecode(f.path)).name for f in found.listed] == ["book", "page"]


def test_a_file_of_the_time_before_that_was_changed_counts_and_a_deletion_is_told(side: Side) -> None:
    side.journal.append(Kind.WRITE, fid=side.tree.fid("before"), data=b"more")
    side.wrote("gone", b"z")
    side.deleted("gone")
    found = side.asked(diverged(side))
    assert (found.files, found.removed) == (1, 1)


def test_nothing_written_nothing_lost(side: Side) -> None:
    found = side.asked(diverged(side))
    assert (found.exact, found.files, found.written) == (True, 0, 0)


def test_without_a_common_past_everything_counts(side: Side) -> None:
    found = side.asked(Lineage(current=4711, end=5))
    assert found.meeting == "unrelated"
    assert (found.exact, found.files) == (False, 1)


def test_many_files_are_counted_but_only_the_newest_are_named(side: Side) -> None:
    for number in range(LISTED + 20):
        side.wrote(f"f{number:03d}", b"1", at_s=1_700_000_000 + number)
    found = side.asked(diverged(side))
    assert found.files == LISTED + 20
    assert len(found.listed) == LISTED
    assert os.fsdecode(found.listed[0].path).endswith(f"f{LISTED + 19:03d}")


def test_it_says_what_stands_at_the_paths_of_the_other_sides_list(side: Side) -> None:
    found = side.asked(None, f"{side.folder}/before", f"{side.folder}/missing", "/etc/passwd")
    assert [os.fsdecode(file.path) for file in found.asked] == [f"{side.folder}/before"]
    assert found.meeting == ""
