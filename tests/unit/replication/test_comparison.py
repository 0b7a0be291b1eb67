"""A standby with any folders at all becomes equal, while the application goes on doing anything."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import stat
import threading
from pathlib import Path

import pytest

from hsorch.node.replication.apply import Applier
from hsorch.node.replication.capture.group import Capture
from hsorch.node.replication.doubt import Brought, Doubt
from hsorch.node.replication.gate import Gate
from hsorch.node.replication.journal import Journal
from hsorch.node.replication.record import Kind, Record
from hsorch.node.replication.segments import Start
from hsorch.node.replication.tree import Attributes, Tree
from tests.replicators.comparing import Compared
from tests.replicators.world import START, binding, picture

OWNER = (os.getuid(), os.getgid())


TURN = threading.Lock()
"""The kernel looks after the folders on the way to a name before it calls a mount; here: one at a time."""


class Application:
    """Does anything to a tree, through what a mount would call."""

    def __init__(self, home: Path, tree: Tree, journal: Journal, seed: int) -> None:
        self.random = random.Random(seed)
        self.tree = tree
        self.capture = Capture([tree], journal, home / "mark", Gate("none"), on_fault=pytest.fail)

    def name(self) -> str:
        folder = self.random.choice(["", "", "d/", "d/e/", "f/"])
        return self.reached(f"{folder}{self.random.choice('abcdefgh')}")

    def folder(self) -> str:
        return self.reached(self.random.choice(["d", "d/e", "f", "a"]))

    def reached(self, name: str) -> str:
        above = self.tree.look(name.rpartition("/")[0])
        if above is None or not stat.S_ISDIR(above.st_mode):
            raise FileNotFoundError(name)
        return name

    def remove_folder(self) -> None:
        name = self.folder()
        what = self.tree.look(name)
        if what is not None and stat.S_ISDIR(what.st_mode):
            self.capture.names.remove_folder(self.tree, name)

    def file(self) -> str:
        name = self.name()
        what = self.tree.look(name)
        if what is not None and not stat.S_ISREG(what.st_mode):
            raise FileNotFoundError(name)
        return name

    def rename(self, old: str, new: str) -> None:
        if not (new + "/").startswith(old + "/"):
            self.capture.names.rename(self.tree, old, new, replace=True)

    def write(self) -> None:
        number = self.capture.names.create(self.tree, self.file(), 0o640, OWNER, os.O_RDWR)
        size = self.random.choice([0, 10, 5_000, 200_000])
        self.capture.files.write(
            number, self.random.randbytes(size), self.random.choice([0, 7, 150_000, 900_000])
        )
        self.capture.files.close(number)

    def truncate(self) -> None:
        number = self.capture.files.open(self.tree, self.file(), os.O_RDWR)
        self.capture.files.truncate(number, self.random.choice([0, 3, 140_000, 400_000]))
        self.capture.files.close(number)

    def punch(self) -> None:
        number = self.capture.files.open(self.tree, self.file(), os.O_RDWR)
        self.capture.files.allocate(number, 3, self.random.choice([0, 131_072]), 131_072)
        self.capture.files.close(number)

    def attributes(self) -> None:
        changes = self.capture._attributes
        changes.change(self.tree, self.file(), Attributes(mode=self.random.choice([0o600, 0o644, 0o755])))
        changes.change_xattr(self.tree, self.file(), "user.x", self.random.randbytes(3), 0)

    def once(self) -> None:
        names, rng = self.capture.names, self.random
        deeds = [
            (self.write, 30), (self.truncate, 8), (self.punch, 4), (self.attributes, 6),
            (lambda: names.unlink(self.tree, self.name()), 12),
            (lambda: names.link(self.tree, self.name(), self.name()), 8),
            (lambda: names.symlink(self.tree, self.name(), self.name(), OWNER), 4),
            (lambda: names.make_folder(self.tree, self.folder(), 0o750, OWNER), 8),
            (self.remove_folder, 4),
            (lambda: self.rename(self.name(), self.name()), 14),
            (lambda: self.rename(self.folder(), self.folder()), 4),
        ]  # fmt: skip
        deed = rng.choices([deed for deed, _ in deeds], [weight for _, weight in deeds])[0]
        with TURN, contextlib.suppress(OSError):
            deed()


class Side:
    def __init__(self, home: Path, name: str, seed: int) -> None:
        self.home = home / name
        (self.home / "data").mkdir(parents=True, exist_ok=True)
        self.tree = Tree(0, binding(self.home / "data"))
        # Identities are named after generations: two nodes never give the same one.
        self.journal = Journal(self.home / "journal", Start(job=START.job, generation=ord(name) << 40))
        self.application = Application(self.home, self.tree, self.journal, seed)


def compare(
    source: Side, target: Side, writers: int, deeds: int, *, since: int = 0, brought: Brought | None = None
) -> Compared:
    """As a resync does; afterwards the target has applied everything up to its end. since: contents can
    differ only where records touch them from there on; 0: anywhere. brought: of the target."""
    capture, journal = source.application.capture, source.journal
    begin = journal.append(Kind.MIRROR_BEGIN)
    extents = None
    if since:
        doubt = Doubt()
        doubt.add_records(journal.records(since, begin.lsn))
        extents = doubt.extents()
    compared = Compared([source.tree], capture, [target.tree], extents=extents, brought=brought)

    def work(seed: int) -> None:
        other = Application.__new__(Application)
        other.random, other.tree, other.capture = random.Random(seed), source.tree, capture
        for _ in range(deeds):
            other.once()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(writers)]
    for thread in threads:
        thread.start()
    end = compared.run(begin)
    follow(target, journal, begin, end)
    for thread in threads:
        thread.join()
    follow(target, journal, end, None)
    return compared


def follow(target: Side, journal: Journal, since: Record, until: Record | None) -> None:
    def set_aside(tree: Tree, name: str) -> None:
        path = tree.path(name)
        shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)

    applier = Applier([target.tree], set_aside)
    applier.restart(since.lsn)
    for record in journal.records(since.lsn, until.end if until is not None else None):
        applier.apply(record)
    applier.checkpoint()
    applier.close()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(40))
def test_any_two_trees_become_equal_under_load(tmp_path: Path, seed: int) -> None:
    source, target = Side(tmp_path, "a", seed), Side(tmp_path, "b", 1_000 + seed)
    for _ in range(80):
        source.application.once()
        target.application.once()
    compare(source, target, 2, 60)
    assert picture(source.home / "data") == picture(target.home / "data")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(20))
def test_a_standby_that_went_astray_becomes_equal_under_load(tmp_path: Path, seed: int) -> None:
    """Both have the same files, told apart by identity; then each goes its own way."""
    source, target = Side(tmp_path, "a", seed), Side(tmp_path, "b", 1_000 + seed)
    for _ in range(80):
        source.application.once()
    compare(source, target, 0, 0)
    assert picture(source.home / "data") == picture(target.home / "data")
    for _ in range(40):
        source.application.once()
        target.application.once()
    compare(source, target, 2, 60)
    assert picture(source.home / "data") == picture(target.home / "data")


def test_what_is_equal_is_not_sent(tmp_path: Path) -> None:
    source, target = Side(tmp_path, "a", 1), Side(tmp_path, "b", 2)
    content = bytearray(random.Random(3).randbytes(5_000_000))
    (source.home / "data/large").write_bytes(content)
    content[2_000_000:2_000_010] = b"0123456789"
    (target.home / "data/large").write_bytes(content)
    first = compare(source, target, 0, 0)
    assert first.comparison.copied == 128 * 1024
    again = compare(source, target, 0, 0)
    assert again.comparison.copied == 0
    assert again.checked == 5_000_000
    assert picture(source.home / "data") == picture(target.home / "data")


def test_a_hole_stays_a_hole(tmp_path: Path) -> None:
    source, target = Side(tmp_path, "a", 1), Side(tmp_path, "b", 2)
    with (source.home / "data/sparse").open("wb") as file:
        file.truncate(8 << 30)
        file.seek(4 << 30)
        file.write(b"in the middle")
    (target.home / "data/sparse").write_bytes(b"full" * 500_000)
    done = compare(source, target, 0, 0)
    assert done.comparison.copied <= 128 * 1024
    there = (target.home / "data/sparse").stat()
    assert there.st_size == 8 << 30
    assert there.st_blocks * 512 <= 256 * 1024
