"""A change in a watched folder is on the standby a moment later, whatever kind of change it is."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from hsorch.node.replication import sender, tick
from hsorch.node.replication.bell import Bell
from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.massguard import MassGuard
from hsorch.node.replication.messages import Task
from hsorch.node.replication.mirror import Mirror
from hsorch.node.replication.tick import TICK_NS
from hsorch.node.replication.tls import Keys
from hsorch.node.replication.watched import inotify
from hsorch.node.replication.watched.inotify import Changes, Watcher, WatchError
from hsorch.node.replication.watched.live import Batch, Live
from tests.crowded import crowded
from tests.unit.replication.mirrors import Trees, picture
from tests.unit.replication.test_mirror import MIB, plant


@contextlib.contextmanager
def live(trees: Trees) -> Iterator[list[Batch]]:
    """A watcher, a mirror, and then every change; yields what was sent so far."""
    told: list[Batch] = []
    stop = threading.Event()
    failed: list[BaseException] = []
    watcher = Watcher(str(trees.here), trees.binding)
    with trees.channel() as channel:
        mirror = Mirror(channel, str(trees.here), Task(binding=trees.binding))
        mirror.run()
        follower = Live(channel, str(trees.here), trees.binding, mirror)

        def follow() -> None:
            try:
                follower.follow(watcher, stop.is_set, told.append)
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=follow)
        thread.start()
        try:
            yield told
        finally:
            stop.set()
            thread.join(20)
            watcher.close()
            if failed:
                raise failed[0]


def eventually(check: Callable[[], bool], limit_s: float = 20, what: Callable[[], object] = str) -> None:
    until = time.monotonic() + limit_s
    while not check():
        assert time.monotonic() < until, f"not within the limit: {what()}"
        time.sleep(0.01)


def test_every_kind_of_change_arrives(trees: Trees) -> None:
    plant(trees.here)
    here = trees.here
    with live(trees):
        for change in (
            lambda: (here / "small").write_bytes(b"other"),
            lambda: (here / "small").chmod(0o600),
            lambda: os.setxattr(here / "small", "user.new", b"1"),
            lambda: os.utime(here / "small", ns=(7, 7_000_000_007)),
            lambda: (here / "folder").rename(here / "empty/moved"),
            lambda: (here / "empty/moved/deep/mode").write_bytes(b"in a moved folder"),
            lambda: (here / "link").unlink(),
            lambda: (here / "link").symlink_to("elsewhere"),
            lambda: os.link(here / "nothing", here / "another name"),
            lambda: (here / "nothing").write_bytes(b"through one of two names"),
            lambda: (here / "nothing").unlink(),
            lambda: (here / "new/deep/er").mkdir(parents=True),
            lambda: (here / "new/deep/er/file").write_bytes(os.urandom(700_000)),
            lambda: (here / "large twin").write_bytes(os.urandom(1_000_000)),
            lambda: (here / "sparse").unlink(),
            lambda: (here / os.fsdecode(b"\xfe\xff")).write_bytes(b"no utf-8"),
            lambda: (here / "a").write_bytes(b"atomic"),
            lambda: (here / "a").replace(here / "small"),
        ):
            change()
            eventually(trees.equal, what=trees.difference)


@pytest.mark.parametrize("links", [False, True])
def test_a_storm_of_changes_converges(trees: Trees, links: bool) -> None:
    """With hard links that come, are written through and go: after the next mirror."""
    rng = random.Random(5)
    trees.guard = MassGuard(share=100)
    folders = [trees.here / f"f{n}" for n in range(6)]
    for folder in folders:
        folder.mkdir()

    def anything() -> Path:
        return rng.choice(folders) / f"n{rng.randrange(25)}"

    with live(trees):
        for _ in range(3000):
            a, b = anything(), anything()
            with contextlib.suppress(OSError):
                match rng.randrange(9):
                    case 0 | 1 | 2:
                        a.write_bytes(rng.randbytes(rng.choice((10, 5000, 400_000))))
                    case 3:
                        a.unlink()
                    case 4:
                        a.rename(b)
                    case 5:
                        if links:
                            os.link(a, b)
                    case 6:
                        a.mkdir()
                    case 7:
                        a.rmdir()
                    case _:
                        with a.open("r+b") as file:
                            file.truncate(rng.randrange(1000))
        if not links:
            eventually(trees.equal, 15, trees.difference)
    if links:
        trees.mirror("content")
        assert trees.difference() == {}


def test_a_moved_tree_is_there_with_all_it_holds(trees: Trees, tmp_path: Path) -> None:
    plant(tmp_path / "outside") if (tmp_path / "outside").mkdir() is None else None
    with live(trees):
        (tmp_path / "outside").rename(trees.here / "inside")
        eventually(trees.equal)
        (trees.here / "inside/folder").rename(tmp_path / "out again")
        eventually(trees.equal)
        (tmp_path / "out again/unseen").write_bytes(b"x")
        (trees.here / "inside/seen").write_bytes(b"y")
        eventually(trees.equal)


def test_what_is_not_bound_is_not_told(trees: Trees) -> None:
    trees.exclude = ("*.tmp", "cache", "cache/**")
    (trees.here / "cache").mkdir()
    with live(trees) as told:
        (trees.here / "x.tmp").write_bytes(b"x")
        (trees.here / "cache/y").write_bytes(b"y")
        (trees.here / "z").write_bytes(b"z")
        eventually(lambda: (trees.there / "z").exists())
    assert not (trees.there / "x.tmp").exists()
    assert not (trees.there / "cache").exists()
    assert sum(batch.names for batch in told) <= 3


def test_the_kernels_overflow_is_seen(trees: Trees, monkeypatch: pytest.MonkeyPatch) -> None:
    """What inotify(7) sends when its queue is full: watch descriptor -1, IN_Q_OVERFLOW."""
    watcher = Watcher(str(trees.here), trees.binding)
    monkeypatch.setattr(inotify.os, "read", lambda *_: inotify._EVENT.pack(-1, inotify.OVERFLOW, 0, 0))
    changes = Changes()
    watcher._read(changes)
    assert changes.overflow
    watcher.close()


def test_more_changes_than_the_queue_holds_are_all_found(trees: Trees) -> None:
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    watcher = Watcher(str(trees.here), trees.binding)
    for n in range(limit // 2 + 100):
        (trees.here / f"{n}").touch()
    changes = watcher.wait(1)
    assert changes.overflow, "the caller mirrors again"
    watcher.close()


def test_who_waits_for_changes_is_woken_by_the_bell_and_loses_none(trees: Trees) -> None:
    bell = Bell()
    watcher = Watcher(str(trees.here), trees.binding, bell)
    bell.ring()
    assert not watcher.wait(timeout_s=600), "rung before the wait, it counts"
    (trees.here / "a").touch()
    bell.ring()
    assert watcher.wait(timeout_s=600).names == {"a"}, "a change goes before the bell"
    assert not watcher.wait(timeout_s=0)
    watcher.close()


def test_a_file_that_cannot_be_read_leaves_no_folder_open(
    trees: Trees, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator unmounts the source's volume: what was under way when it failed must not be in the way."""
    (trees.here / "a").mkdir()
    plain = os.readv

    def refuses(fd: int, *rest: Any) -> int:
        if os.path.basename(os.readlink(f"/proc/self/fd/{fd}")) == "bad":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return plain(fd, *rest)

    monkeypatch.setattr(os, "readv", refuses)
    (trees.here / "a/bad").write_bytes(b"1")
    with trees.channel() as channel:
        mirror = Mirror(channel, str(trees.here), Task(binding=trees.binding))
        follower = Live(channel, str(trees.here), trees.binding, mirror)
        watcher = Watcher(str(trees.here), trees.binding)
        (trees.here / "a/bad").chmod(0o600)
        with pytest.raises(OSError, match="Input/output error"):
            follower.follow(watcher, lambda: False, lambda batch: None)
        watcher.close()
        assert [path for path in map(opened, os.listdir("/proc/self/fd")) if f"{trees.here}/" in path] == []


def opened(fd: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except FileNotFoundError:
        return ""


@pytest.mark.parametrize("mode", ["quick", "content"])
@pytest.mark.parametrize("size", [10, 3 * MIB])
def test_a_file_that_is_written_twice_within_a_tick_of_its_clock(
    trees: Trees, monkeypatch: pytest.MonkeyPatch, size: int, mode: Literal["quick", "content"]
) -> None:
    """Its size and time are the same for both; the link broke before the second was told."""
    file = trees.here / "file"
    now = time.time_ns()

    def write(content: bytes) -> None:
        with file.open("wb") as opened:
            opened.write(content * size)
        os.utime(file, ns=(now, now))

    stands = Stopped(now)
    (trees.there / "file").write_bytes(b"1" * size)
    write(b"1")
    monkeypatch.setattr(tick, "time", stands)
    trees.mirror(mode)
    write(b"2")
    stands.now += TICK_NS
    trees.mirror()
    assert trees.equal()


def test_files_that_are_written_all_the_while_keep_nobody_waiting(
    trees: Trees, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that are sent together are waited for as long as one."""
    now = time.time_ns()
    monkeypatch.setattr(tick, "time", Stopped(now))
    for number in range(40):
        (trees.here / f"{number}").write_bytes(b"1")
        os.utime(trees.here / f"{number}", ns=(now, now))
    waited: list[float] = []
    with monkeypatch.context() as patched:
        patched.setattr(sender.time, "sleep", waited.append)
        trees.mirror()
    assert 0 < sum(waited) < 3 * TICK_NS / 1e9
    assert trees.last.restless() == {f"{number}" for number in range(40)}


def test_what_was_written_as_it_was_read_is_sent_again(trees: Trees, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody writes to it any more, so no event tells of it: by a mirror, and then by a change."""
    now = time.time_ns()
    stands = Stopped(now)
    monkeypatch.setattr(tick, "time", stands)
    (trees.here / "first").write_bytes(b"1")
    os.utime(trees.here / "first", ns=(now, now))
    with live(trees):
        eventually(lambda: (trees.there / "first").stat().st_mtime_ns == now - 1)
        (trees.here / "second").write_bytes(b"2")
        os.utime(trees.here / "second", ns=(now, now))
        eventually(lambda: (trees.there / "second").exists())
        assert (trees.there / "second").stat().st_mtime_ns == now - 1
        stands.now += TICK_NS
        eventually(trees.equal)


class Stopped:
    """A clock that files have their times from, that stands still."""

    def __init__(self, now: int) -> None:
        self.now = now

    def clock_gettime_ns(self, clock: int) -> int:
        return self.now


def test_a_root_that_moves_or_goes_is_lost(trees: Trees) -> None:
    watcher = Watcher(str(trees.here), trees.binding)
    trees.here.rename(trees.here.parent / "elsewhere")
    assert watcher.wait(5).lost
    watcher.close()
    with pytest.raises(WatchError):
        Watcher(str(trees.here), Binding(path="/gone", kind="watched"))


def test_a_mass_deletion_is_held_back_live_too(trees: Trees) -> None:
    for n in range(400):
        (trees.here / f"{n}").write_bytes(b"x")
    with live(trees) as told:
        for path in list(trees.here.iterdir()):
            path.unlink()
        eventually(lambda: sum(batch.held for batch in told) > 0)
        (trees.here / "still alive").write_bytes(b"1")
        eventually(lambda: (trees.there / "still alive").exists())
    assert len(picture(trees.there)) > 250


@pytest.fixture
def apart(tmp_path: Path, enrolled: tuple[Keys, Keys]) -> Trees:
    """Each node has a folder beside the bound one that is its own."""
    for node in ("a", "b"):
        (tmp_path / node / "bound/folder").mkdir(parents=True)
        (tmp_path / node / "own").mkdir()
    for name in ("deleted", "written"):
        (tmp_path / "a/bound/folder" / name).write_bytes(b"of the folder")
        (tmp_path / "b/own" / name).write_bytes(b"nobody's but b's")
    (tmp_path / "a/own/written").write_bytes(b"nobody's but a's")
    return Trees(tmp_path / "a/bound", tmp_path / "b/bound", enrolled)


def test_what_lies_behind_a_link_is_never_touched_through_a_folder_that_it_replaced(apart: Trees) -> None:
    with live(apart):
        (apart.here / "folder/written").write_bytes(b"changed just before")
        (apart.here / "folder").rename(apart.here.parent / "moved away")
        (apart.here / "folder").symlink_to("../own")
        (apart.here / "last").touch()
        eventually(lambda: (apart.there / "last").exists())
        eventually(lambda: (apart.there / "folder").is_symlink())
    own = apart.there.parent / "own"
    assert {path.name: path.read_bytes() for path in own.iterdir()} == {
        "deleted": b"nobody's but b's",
        "written": b"nobody's but b's",
    }


def test_a_folder_is_watched_however_many_files_an_application_has_open(trees: Trees) -> None:
    with crowded():
        watcher = Watcher(str(trees.here), trees.binding)
        try:
            (trees.here / "new").write_bytes(b"x")
            assert watcher.wait(10).names == {"new"}
        finally:
            watcher.close()
