"""A watched folder whose disk refused what was written.

The system tells of it once, and shows the files with the right size and time until it needs the memory: the
folder counts as whole only when all was written again.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from hsorch.errors import NodeError
from hsorch.node.replication import flushing
from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.bound import Bound
from hsorch.node.replication.generations import adopted, begin
from hsorch.node.replication.massguard import MassGuard
from hsorch.node.replication.messages import Hello, Task
from hsorch.node.replication.mirror import Mirror
from hsorch.node.replication.partial import _part
from hsorch.node.replication.tls import Keys
from hsorch.node.replication.watched.parts import Taking
from hsorch.node.replication.wire import Broken
from tests.unit.replication.mirrors import Trees, channels, picture
from tests.unit.replication.test_ends import standing
from tests.unit.replication.test_watched import eventually

SOURCE = begin(7)


class Disk:
    """Of the standby: refuses the flush of which refuses(number) says so, and forgets what is in `file`."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.flushes = 0
        self.refuses: Callable[[int], bool] = lambda number: False

    def refuse_next(self) -> int:
        """The number of that flush."""
        next_ = self.flushes + 1
        self.refuses = lambda number: number == next_
        return next_

    def sync(self, fd: int) -> None:
        self.flushes += 1
        if self.refuses(self.flushes):
            found = self.file.stat()
            self.file.write_bytes(bytes(found.st_size))
            os.utime(self.file, ns=(found.st_mtime_ns, found.st_mtime_ns))
            raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.fixture
def trees(trees: Trees) -> Trees:
    """What the standby's disk refused is remembered, as by a replicator."""
    bound = Bound(trees.here.parent / "bound")
    trees.refusals = bound
    trees.ended = lambda task: bound.change(task.binding.path, follows=True)
    (trees.here / "file").write_bytes(b"what matters")
    return trees


@pytest.fixture
def disk(trees: Trees, monkeypatch: pytest.MonkeyPatch) -> Disk:
    made = Disk(trees.there / "file")
    monkeypatch.setattr(flushing, "sync_filesystem", made.sync)
    return made


def whole(trees: Trees) -> bool:
    """As a replicator that was started anew remembers it."""
    return Bound(trees.here.parent / "bound").whole([trees.binding])


@pytest.mark.parametrize("size", [100, 3 << 20])
def test_a_mirror_after_a_refusal_writes_everything_again(trees: Trees, disk: Disk, size: int) -> None:
    (trees.here / "file").write_bytes(os.urandom(size))
    disk.refuses = lambda number: number == 1
    with pytest.raises(NodeError, match=f"Input/output error .{trees.there}."):
        trees.mirror()
    assert not whole(trees)
    trees.mirror()
    assert whole(trees)
    assert picture(trees.there) == picture(trees.here)


def test_a_refusal_that_came_while_the_channel_broke_is_remembered(
    trees: Trees, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flushing, "STEP_BYTES", 1)
    trees.mirror()
    assert whole(trees)
    (trees.here / "file").write_bytes(b"other")
    refused = disk.refuse_next()
    with trees.channel() as channel:
        mirror = Mirror(channel, str(trees.here), Task(binding=trees.binding))
        monkeypatch.setattr(mirror, "_finish", lambda: eventually(lambda: disk.flushes == refused))
        mirror.run()
    assert not whole(trees)
    trees.mirror()
    assert picture(trees.there) == picture(trees.here)


def test_a_refusal_since_the_last_mirror_is_found_before_the_next_one(trees: Trees, disk: Disk) -> None:
    """Only who had the folder open when it happened hears of it, if another program asked the disk since."""
    with trees.channel() as channel:
        Mirror(channel, str(trees.here), Task(binding=trees.binding)).run()
        disk.refuse_next()
        (trees.here / "new").touch()
        with pytest.raises(NodeError):
            Mirror(channel, str(trees.here), Task(binding=trees.binding)).run()
    assert not whole(trees)
    assert not (trees.there / "new").exists()
    trees.mirror()
    assert picture(trees.there) == picture(trees.here)


def test_nothing_that_seems_to_be_there_is_left_as_it_is(trees: Trees) -> None:
    """Neither a large file in its place, nor one on its way in staging: it may be in memory only."""
    for name in ("stands", "on its way"):
        (trees.here / name).write_bytes(os.urandom(3 << 20))
    trees.mirror()
    (trees.there / "on its way").rename(trees.there / _part("on its way"))
    assert trees.refusals is not None
    trees.refusals.refuse(trees.binding.path, "the disk refused")
    with trees.channel() as channel:
        Mirror(channel, str(trees.here), Task(binding=trees.binding, mode="content")).run()
        assert channel.sent > 6 << 20
    assert whole(trees)


@pytest.mark.parametrize("large", [False, True])
def test_writing_all_again_goes_on_where_it_broke_off(trees: Trees, large: bool) -> None:
    """Until the disk refuses something again: then it begins again, too."""
    sizes = [48 << 20] if large else [300_000] * 168
    for number, size in enumerate(sizes):
        (trees.here / f"{number}").write_bytes(os.urandom(size))
    trees.mirror()
    assert trees.refusals is not None
    trees.refusals.refuse(trees.binding.path, "the disk refused")

    def sent() -> int:
        with trees.channel() as channel:
            Mirror(channel, str(trees.here), Task(binding=trees.binding)).run()
            return channel.sent

    with pytest.raises(Broken):
        trees.mirror(cut=36 << 20)
    assert sent() < 36 << 20, "but for what was on its way"
    assert whole(trees)
    trees.refusals.refuse(trees.binding.path, "the disk refused")
    with pytest.raises(Broken):
        trees.mirror(cut=36 << 20)
    trees.refusals.refuse(trees.binding.path, "the disk refused")
    assert sent() > 47 << 20
    assert whole(trees)
    assert picture(trees.there) == picture(trees.here)


def test_files_whose_deletion_is_held_back_may_be_lost_still(trees: Trees, disk: Disk) -> None:
    """They are gone at the source by mistake, and moved back there."""
    trees.guard = MassGuard(share=0.1, floor=0)
    disk.file = trees.there / "all/file"
    (trees.here / "all").mkdir()
    (trees.here / "file").rename(trees.here / "all/file")
    trees.mirror()
    disk.refuses = lambda number: True
    with pytest.raises(NodeError):
        trees.mirror()
    disk.refuses = lambda number: False
    (trees.here / "all").rename(trees.here.parent / "elsewhere")
    assert trees.mirror().held
    assert not whole(trees)
    (trees.here.parent / "elsewhere").rename(trees.here / "all")
    trees.mirror()
    assert whole(trees)
    assert picture(trees.there) == picture(trees.here)


def test_what_came_last_is_asked_of_the_disk_when_the_channel_ends(trees: Trees, disk: Disk) -> None:
    """Nobody has the folder open afterwards, so nobody could hear of it."""
    with trees.channel() as channel:
        Mirror(channel, str(trees.here), Task(binding=trees.binding)).run()
        disk.refuse_next()
    assert not whole(trees)
    trees.mirror()
    assert whole(trees)
    assert picture(trees.there) == picture(trees.here)


def test_a_standby_whose_disk_refused_says_why_it_takes_nothing_over(
    tmp_path: Path, enrolled: tuple[Keys, Keys], disk: Disk
) -> None:
    with standing(tmp_path) as ground:
        bound = Binding(path=str(tmp_path / "there"), kind="watched")
        ground.setup = msgspec.structs.replace(ground.setup, bindings=(bound,))
        ground.meta.change(generations=adopted(SOURCE, 0))
        taking = Taking(ground)
        theirs = Hello(
            job=ground.meta.value.job, node="a", purpose="watched", epoch=(9, 9), lineage=SOURCE,
        )  # fmt: skip

        def mirror() -> None:
            mine, other = channels(*enrolled)
            with ThreadPoolExecutor(1) as pool:
                taken = pool.submit(taking.serve, other, theirs)
                assert mine.receive(10) is not None
                try:
                    Mirror(mine, str(tmp_path / "here"), Task(binding=bound)).run()
                finally:
                    mine.close()
                    taken.exception(20)

        disk.refuses = lambda number: number == 1
        with pytest.raises(NodeError, match="Input/output error"):
            mirror()
        assert not taking.whole
        assert ["refused what was written" in trouble.message for trouble in taking.troubles()] == [True]
        mirror()
        assert taking.whole
        assert list(taking.troubles()) == []
        assert picture(tmp_path / "here") == picture(tmp_path / "there")


def test_what_an_ended_part_still_hears_of_its_disk_takes_back_nothing(tmp_path: Path) -> None:
    """This node took over meanwhile."""
    over = Bound(tmp_path / "bound")
    over.change("/srv/files", follows=True)
    Bound(tmp_path / "bound").change("/srv/files", follows=False, own=True)
    over.refuse("/srv/files", "the disk refused what was written")
    found = Bound(tmp_path / "bound").note("/srv/files")
    assert found.own
    assert not found.follows
    assert found.unwritten
