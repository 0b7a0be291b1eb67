"""The standby gets what the source has: all of it, nothing else, and no more bytes than needed."""

from __future__ import annotations

import os
import queue
import random
import threading
import time
from pathlib import Path

import pytest

from hsorch.node.replication import mirror
from hsorch.node.replication.bindings import STAGING
from hsorch.node.replication.entries import Anchor, scan
from hsorch.node.replication.massguard import MassGuard
from hsorch.node.replication.messages import Doomed, Mark
from hsorch.node.replication.mirror import MirrorError
from hsorch.node.replication.verify import BLOCK
from hsorch.node.replication.wire import Broken
from tests.unit.replication.mirrors import Trees, picture

MIB = 1 << 20


def plant(root: Path) -> None:
    """One of everything."""
    (root / "folder/deep/deeper").mkdir(parents=True)
    (root / "empty").mkdir(mode=0o2750)
    (root / "small").write_bytes(b"hello")
    (root / "nothing").touch()
    (root / "folder/large").write_bytes(os.urandom(3 * MIB + 17))
    (root / "folder/deep/mode").write_bytes(b"x")
    (root / "folder/deep/mode").chmod(0o4711)
    os.chown(root / "folder/deep/mode", 1234, 4321)
    (root / "folder/deep/mode").chmod(0o4711)  # chown took the bit away
    os.setxattr(root / "small", "user.colour", b"green")
    os.setxattr(root / "folder", "user.kind", b"f")
    os.utime(root / "small", ns=(1, 1_234_567_890_123_456_789))
    (root / "link").symlink_to("folder/large")
    (root / "dangling").symlink_to("/nowhere/at all")
    os.link(root / "small", root / "folder/twin")
    os.link(root / "folder/large", root / "large twin")
    (root / os.fsdecode(b"not \xff utf-8")).write_bytes(b"name")
    (root / "line\nbreak").write_bytes(b"name")
    with (root / "sparse").open("wb") as sparse:
        sparse.seek(40 * MIB)
        sparse.write(b"end")
        sparse.truncate(90 * MIB)
    os.utime(root / "folder", ns=(5, 1_000_000_000_000_000_005))


def test_the_first_mirror_brings_everything(trees: Trees) -> None:
    plant(trees.here)
    reached = trees.mirror()
    assert trees.equal()
    assert reached.held == 0
    assert not (trees.there / STAGING / "1").exists()
    assert (trees.there / "sparse").stat().st_blocks * 512 < MIB
    figures = trees.last.progress.figures()
    assert figures.files == figures.files_total
    assert figures.bytes_done == figures.bytes_total
    assert figures.left_bytes == 0


@pytest.mark.parametrize("mode", ["quick", "content"])
def test_a_second_mirror_sends_nothing(trees: Trees, mode: str) -> None:
    plant(trees.here)
    trees.mirror()
    before = {p: p.lstat().st_ino for p in trees.there.rglob("*")}
    trees.mirror(mode)  # type: ignore[arg-type]
    assert trees.last.progress.figures().bytes_sent == 0
    assert {p: p.lstat().st_ino for p in trees.there.rglob("*") if STAGING not in p.parts} == {
        p: inode for p, inode in before.items() if STAGING not in p.parts
    }
    assert trees.equal()


@pytest.mark.parametrize("mode", ["quick", "content"])
def test_files_that_are_one_only_on_the_standby_become_two(trees: Trees, mode: str) -> None:
    """What lies outside and shares a file with the standby's folder keeps its owner and its time."""
    outside = trees.there.parent / "outside"
    outside.write_bytes(b"same")
    os.utime(outside, ns=(1, 1_000_000_000))
    os.link(outside, trees.there / "one")
    (trees.here / "one").write_bytes(b"same")
    (trees.here / "one").chmod(0o4700)
    os.utime(trees.here / "one", ns=(1, 1_000_000_000 if mode == "quick" else 2_000_000_000))
    trees.mirror(mode)  # type: ignore[arg-type]
    assert trees.equal()
    assert outside.stat().st_nlink == 1
    assert (outside.stat().st_mode & 0o7777, outside.stat().st_mtime) == (0o644, 1)


def test_verify_finds_what_size_and_time_hide(trees: Trees) -> None:
    plant(trees.here)
    trees.mirror()
    large = trees.there / "folder/large"
    seen = large.stat()
    with large.open("r+b") as file:
        file.seek(2 * MIB)
        file.write(b"rot")
    os.utime(large, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    small = trees.there / "small"
    seen = small.stat()
    small.write_bytes(b"HELLO")
    os.utime(small, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    trees.mirror("quick")
    assert not trees.equal()
    trees.mirror("content")
    assert trees.equal()


def test_a_folder_is_told_while_it_is_read(trees: Trees) -> None:
    """Both ends work at once, however many files lie in one folder."""
    for number in range(20):
        (trees.here / f"{number}").touch()
    read: list[int] = []

    def digest(fd: int, _size: int) -> bytes:
        read.append(fd)
        return b"d"

    _, entries = next(scan(str(trees.here), trees.binding, digest=digest))
    next(entries)
    assert len(read) == 1
    assert len(list(entries)) == 19


def test_only_blocks_that_differ_are_sent(trees: Trees) -> None:
    big = trees.here / "big"
    big.write_bytes(os.urandom(64 * MIB))
    trees.mirror()
    with big.open("r+b") as file:
        for at in (0, 5 * MIB + 3, 63 * MIB):
            file.seek(at)
            file.write(b"changed")
        file.truncate(64 * MIB - 5)
    with trees.channel() as channel:
        from hsorch.node.replication.messages import Task
        from hsorch.node.replication.mirror import Mirror

        Mirror(channel, str(trees.here), Task(binding=trees.binding)).run()
        assert channel.sent < 5 * BLOCK
    assert trees.equal()


def test_holes_stay_holes_and_new_holes_are_punched(trees: Trees) -> None:
    path = trees.here / "file"
    path.write_bytes(os.urandom(40 * MIB))
    trees.mirror()
    with path.open("wb") as file:
        file.truncate(40 * MIB)
        file.seek(8 * MIB)
        file.write(b"island")
    trees.mirror()
    assert trees.equal()
    assert (trees.there / "file").stat().st_blocks * 512 < 2 * MIB


def test_a_folder_of_what_is_not_bound_makes_no_room_for_a_file(trees: Trees) -> None:
    trees.exclude = ("*.txt",)
    (trees.here / "plate").write_bytes(b"1")
    (trees.there / "plate").mkdir()
    (trees.there / "plate/inner").mkdir()
    (trees.there / "plate/bound").write_bytes(b"2")
    (trees.there / "plate/inner/notes.txt").write_bytes(b"the operator's")
    with pytest.raises(MirrorError, match="holds what is not bound") as refused:
        trees.mirror()
    assert f"{trees.there}/plate" in refused.value.message
    assert (trees.there / "plate/bound").read_bytes() == b"2", "nothing of it goes until all may"
    (trees.there / "plate/inner/notes.txt").rename(trees.there / "notes.txt")
    trees.mirror()
    assert (trees.there / "plate").read_bytes() == b"1"
    assert (trees.there / "notes.txt").read_bytes() == b"the operator's"


def test_every_kind_turns_into_every_other(trees: Trees) -> None:
    kinds = ("file", "folder", "link", "large")

    def make(path: Path, kind: str) -> None:
        if kind == "file":
            path.write_bytes(b"f")
        elif kind == "large":
            path.write_bytes(os.urandom(MIB))
        elif kind == "folder":
            path.mkdir()
            (path / "inner").write_bytes(b"i")
        else:
            path.symlink_to("somewhere")

    for old in kinds:
        for new in kinds:
            make(trees.there / f"{old}-{new}", old)
            make(trees.here / f"{old}-{new}", new)
    trees.mirror()
    assert trees.equal()


def test_deletions_follow_and_what_is_not_bound_stays(trees: Trees) -> None:
    trees.exclude = ("*.pid", "private/**", "private")
    plant(trees.here)
    trees.mirror()
    (trees.there / "server.pid").write_text("1")
    (trees.there / "private").mkdir()
    (trees.there / "private/own").write_text("mine")
    (trees.there / "extra").mkdir()
    (trees.there / "extra/old").write_text("old")
    (trees.there / "extra/x.pid").write_text("2")
    (trees.here / "folder/large").unlink()
    trees.mirror()
    assert (trees.there / "server.pid").exists()
    assert (trees.there / "private/own").exists()
    assert (trees.there / "extra/x.pid").exists()
    assert not (trees.there / "extra/old").exists()
    assert not (trees.there / "folder/large").exists()


def test_a_formatted_source_does_not_empty_the_standby(trees: Trees) -> None:
    for n in range(300):
        (trees.here / f"image-{n}").write_bytes(b"picture")
    trees.mirror()
    for path in trees.here.iterdir():
        path.unlink()
    (trees.here / "lost+found").mkdir()
    reached = trees.mirror()
    assert reached.held == 300
    assert len(list(trees.there.glob("image-*"))) == 300
    assert trees.mirror(confirmed=True).deleted == 300
    assert trees.equal()


def test_what_is_gone_is_deleted_however_late_the_end_of_the_list_is_told(
    trees: Trees, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Late(queue.SimpleQueue[object]):
        def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
            time.sleep({Mark: 0.3, Doomed: 1.0}.get(type(item), 0.0))
            super().put(item, block, timeout)

    course = mirror._Course
    monkeypatch.setattr(mirror, "_Course", lambda: course(replies=Late()))  # type: ignore[arg-type]
    (trees.there / "old").touch()
    (trees.here / "new").touch()
    assert trees.mirror().deleted == 1
    assert trees.equal()


def test_the_guard_weighs_many_deletions_as_one(trees: Trees) -> None:
    """More names than fit in one message."""
    for n in range(12_000):
        (trees.there / f"image-{n}").touch()
    assert trees.mirror().held == 12_000
    assert len(list(trees.there.glob("image-*"))) == 12_000


def test_few_deletions_pass_the_guard(trees: Trees) -> None:
    trees.guard = MassGuard(share=0.5, floor=0)
    for n in range(10):
        (trees.here / f"{n}").touch()
    trees.mirror()
    for n in range(4):
        (trees.here / f"{n}").unlink()
    assert trees.mirror().held == 0
    assert trees.equal()


def test_a_lost_mount_stops_before_the_first_message(trees: Trees) -> None:
    plant(trees.here)
    trees.mirror()
    with pytest.raises(MirrorError) as caught:
        trees.mirror(anchor=Anchor(filesystem=1, device=2))
    assert caught.value.code == "HS674"
    (trees.here.parent / "gone").mkdir()
    trees.here = trees.here.parent / "missing"
    with pytest.raises(MirrorError) as caught:
        trees.mirror()
    assert caught.value.code == "HS674"


def test_a_folder_that_the_standby_lacks_is_named(trees: Trees) -> None:
    plant(trees.here)
    trees.there.rmdir()
    with pytest.raises(MirrorError, match="there"):
        trees.mirror()
    assert len(trees.refused) == 1


def test_a_survey_changes_nothing_and_tells_what_would_be_lost(trees: Trees) -> None:
    plant(trees.here)
    (trees.there / "small").write_bytes(b"newer here")
    (trees.there / "only here").write_bytes(b"12345678")
    (trees.there / "folder").mkdir()
    before = picture(trees.there)
    reached = trees.mirror(survey=True)
    assert picture(trees.there) == before
    assert not (trees.there / STAGING).exists()
    assert reached.newer == [b"small"]
    assert (reached.replaced, reached.replaced_bytes) == (1, 10)
    assert (reached.deleted, reached.deleted_bytes) == (1, 8)
    assert reached.created > 5


@pytest.mark.parametrize("percent", [1, 10, 30, 50, 75, 90, 99])
def test_a_broken_mirror_goes_on_where_it_was(trees: Trees, percent: int) -> None:
    rng = random.Random(percent)
    for n in range(6):
        (trees.here / f"large-{n}").write_bytes(rng.randbytes(4 * MIB))
    for n in range(200):
        (trees.here / f"small-{n}").write_bytes(rng.randbytes(20_000))
    with pytest.raises(Broken):
        trees.mirror(cut=28 * MIB * percent // 100)
    with trees.channel() as channel:
        from hsorch.node.replication.messages import Task
        from hsorch.node.replication.mirror import Mirror

        Mirror(channel, str(trees.here), Task(binding=trees.binding)).run()
        assert channel.sent < 28 * MIB * (100 - percent) // 100 + 6 * MIB
    assert trees.equal()


def test_files_are_whole_at_any_moment(trees: Trees) -> None:
    """A reader on the standby sees the old or the new content, never a part."""
    path, copy = trees.here / "file", trees.there / "file"
    path.write_bytes(b"a" * 2 * MIB)
    trees.mirror()
    stop, seen = threading.Event(), set()

    def read() -> None:
        while not stop.is_set():
            data = copy.read_bytes()
            seen.add((len(data), data[:1], data.count(data[:1]) == len(data)))

    reader = threading.Thread(target=read)
    reader.start()
    for letter in (b"b", b"c", b"d"):
        path.write_bytes(letter * 2 * MIB)
        trees.mirror()
    stop.set()
    reader.join()
    assert all(length == 2 * MIB and whole for length, _, whole in seen)


def test_what_would_be_replaced_is_kept_first(trees: Trees) -> None:
    kept = []
    trees.keep = lambda root, name: kept.append((name, (Path(root) / name).read_bytes()))
    (trees.here / "a").write_bytes(b"new")
    (trees.there / "a").write_bytes(b"old")
    (trees.there / "b").write_bytes(b"only")
    trees.mirror()
    assert sorted(kept) == [("a", b"old"), ("b", b"only")]


def test_a_full_quarantine_stops_before_anything_is_lost(trees: Trees) -> None:
    def full(root: str, name: str) -> None:
        raise OSError(28, "No space left on device", name)

    trees.keep = full
    (trees.here / "a").write_bytes(b"new")
    (trees.there / "a").write_bytes(b"old")
    with pytest.raises(MirrorError, match="No space left"):
        trees.mirror()
    assert (trees.there / "a").read_bytes() == b"old"
