"""How a file gets its name at the standby: whole, in its own folder, with its own attributes."""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hsorch.node.replication import flushing, placing
from hsorch.node.replication.bindings import STAGING
from hsorch.node.replication.entries import FILE, Entry
from hsorch.node.replication.flushing import STEP_BYTES, Flusher
from hsorch.node.replication.mirror import MirrorError
from hsorch.node.replication.partial import Partials
from hsorch.node.replication.placing import Placer
from hsorch.node.replication.way import Way
from tests.unit.replication.mirrors import Trees, picture

_ACL = struct.Struct("<HHI")
USER_OBJ, USER, GROUP_OBJ, MASK, OTHER = 0x1, 0x2, 0x4, 0x10, 0x20
NOBODY = 0xFFFF_FFFF


def default_acl() -> bytes:
    """system.posix_acl_default: user 1234 may do anything with whatever is made in the folder."""
    entries = (
        (USER_OBJ, 7, NOBODY),
        (USER, 7, 1234),
        (GROUP_OBJ, 5, NOBODY),
        (MASK, 7, NOBODY),
        (OTHER, 0, NOBODY),
    )
    return struct.pack("<I", 2) + b"".join(_ACL.pack(*entry) for entry in entries)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    folder = tmp_path / "root"
    folder.mkdir()
    fd = os.open(folder, os.O_RDONLY)
    yield folder, fd
    os.close(fd)


def test_a_file_takes_no_rights_from_the_standbys_folder(trees: Trees) -> None:
    """The source has it from before its folder got a default ACL: who may not read it there, may not here."""
    (trees.here / "plates").mkdir()
    for name, size in (("small", 100), ("large", 3 << 20)):
        (trees.here / "plates" / name).write_bytes(os.urandom(size))
    os.setxattr(trees.here / "plates", "system.posix_acl_default", default_acl())
    os.setxattr(trees.there, "system.posix_acl_default", default_acl())
    trees.mirror()
    for name in ("small", "large"):
        assert os.listxattr(trees.there / "plates" / name) == []
    assert picture(trees.there) == picture(trees.here)


def test_a_file_system_without_nameless_files_takes_a_mirror_as_well(
    trees: Trees, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = os.open

    def without(path: str, flags: int, *rest: Any, **more: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        return plain(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", without)
    for n in range(20):
        (trees.here / f"{n}").write_bytes(bytes([n]) * 1000)
    (trees.there / "7").write_bytes(b"older")
    trees.mirror()
    assert picture(trees.there) == picture(trees.here)
    assert list((trees.there / STAGING).iterdir()) == []


def placer(root: tuple[Path, int], kept: list[str]) -> Placer:
    made: list[int] = []
    partials = Partials(root[1], str(root[0]), made.append, survey=False, trusts=lambda _: True)
    return Placer(
        root[1], str(root[0]), partials, lambda *_: None, lambda _, name: kept.append(name), made.append
    )


def entry(name: str, content: bytes) -> Entry:
    return Entry(name.encode(), FILE, 0o640, os.getuid(), os.getgid(), 1_000, len(content))


def test_what_was_made_meanwhile_is_kept_before_it_is_replaced(root: tuple[Path, int]) -> None:
    kept: list[str] = []
    (root[0] / "new").mkdir()
    (root[0] / "new/theirs").write_bytes(b"nobody told of it")
    placer(root, kept).files([entry("new/ours", b"1"), entry("new/theirs", b"22")], memoryview(b"122"))
    assert kept == ["new/theirs"]
    assert [(root[0] / "new" / name).read_bytes() for name in ("ours", "theirs")] == [b"1", b"22"]


def test_of_a_name_that_comes_twice_the_last_one_counts(root: tuple[Path, int]) -> None:
    """A file that changes all the while; the two are in the middle, where another hand takes over."""
    names = [f"{n}" for n in range(100)]
    names[len(names) // 2 : len(names) // 2] = ["changing", "changing"]
    entries = [entry(name, b"1") for name in names]
    placer(root, []).files(entries, memoryview(bytes(range(len(entries)))))
    assert (root[0] / "changing").read_bytes() == bytes([len(entries) // 2])


@pytest.mark.parametrize(
    ("paths", "apart"),
    [
        ([b"a", b"b", b"c/a", b"c/b"], True),
        ([b"d.jpg", b"d/x", b"dd"], True),
        ([b"d", b"d/x"], False),
        ([b"d/e/x", b"a", b"d"], False),
        ([b"a", b"b", b"a"], False),
    ],
)
def test_what_may_be_in_each_others_way_is_placed_in_order(paths: list[bytes], apart: bool) -> None:
    """What was a file is a folder by now, or the other way round: both may be in one pack."""
    assert placing._apart(paths) is apart


def test_what_is_refused_waits_for_the_other_hand(
    root: tuple[Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That reads its contents from where the next message is received into."""
    plain = placing.dress

    def slowly(fd: int, entry: Entry) -> None:
        if entry.name == "0":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        time.sleep(0.02)
        plain(fd, entry)

    monkeypatch.setattr(placing, "dress", slowly)
    with pytest.raises(OSError, match="No space left") as refused:
        placer(root, []).files([entry(f"{n}", b"1") for n in range(20)], memoryview(bytes(20)))
    assert refused.value.filename == str(root[0] / "0")
    assert {path.name for path in root[0].iterdir()} == {STAGING, *(f"{n}" for n in range(10, 20))}


def test_one_file_is_kept_at_a_time(root: tuple[Path, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """However many are placed: the quarantine is for one who brings."""
    for n in range(20):
        (root[0] / f"{n}").write_bytes(b"only here")
    under_way, kept, most = [0], [], [0]
    hands = placer(root, [])

    def keep(_root: str, name: str) -> None:
        under_way[0] += 1
        most[0] = max(most[0], under_way[0])
        time.sleep(0.002)
        kept.append(name)
        under_way[0] -= 1

    monkeypatch.setattr(hands, "_keep", keep)
    hands.files([entry(f"{n}", b"1") for n in range(20)], memoryview(bytes(20)))
    assert most == [1]
    assert sorted(kept, key=int) == [f"{n}" for n in range(20)]


def test_a_file_whose_folder_went_goes_nowhere(root: tuple[Path, int], tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (root[0] / "link").symlink_to(tmp_path / "elsewhere")
    placer(root, []).files([entry("gone/a", b"1"), entry("link/a", b"2")], memoryview(b"12"))
    assert [path.name for path in root[0].iterdir() if path.name != STAGING] == ["link"]
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_the_way_to_a_name_leads_through_folders_only(root: tuple[Path, int]) -> None:
    (root[0] / "a/b").mkdir(parents=True)
    (root[0] / "to a").symlink_to("a")
    (root[0] / "file").touch()
    with Way(root[1]) as way:
        for name in ("to a/b", "to a/b/c", "file/x", "none/x", "a/none/x"):
            assert way.to(name) is None
        there = way.to("a/b/c")
        assert there is not None
        assert os.path.samestat(os.fstat(there[0]), (root[0] / "a/b").stat())
        (root[0] / "a").rename(root[0] / "other")
        (root[0] / "a/b").mkdir(parents=True)
        way.forget()
        again = way.to("a/b/d")
        assert again is not None
        assert os.path.samestat(os.fstat(again[0]), (root[0] / "a/b").stat())


def test_a_way_from_a_path_holds_nothing_once_it_is_forgotten(root: tuple[Path, int]) -> None:
    """An operator unmounts the volume of a bound folder: no descriptor of ours is in the way."""
    way, before = Way(str(root[0])), set(os.listdir("/proc/self/fd"))
    assert way.to("a") is not None
    way.forget()
    assert set(os.listdir("/proc/self/fd")) == before


def test_an_error_of_a_flush_on_the_way_is_told_at_the_end(
    root: tuple[Path, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel tells of it once: a mirror must not be called durable because a thread heard it alone."""
    answers = [OSError(errno.EIO, "Input/output error")]

    def once(fd: int) -> None:
        if answers:
            raise answers.pop()

    monkeypatch.setattr(flushing, "sync_filesystem", once)
    heard: list[str] = []
    flusher = Flusher(root[1], str(root[0]), heard.append)
    flusher.wrote(STEP_BYTES)
    with pytest.raises(OSError, match="Input/output error") as refused:
        flusher.finish()
    assert refused.value.filename == str(root[0])
    assert len(heard) == 1
    flusher.close()


def test_what_the_disk_refuses_is_named(root: tuple[Path, int], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, *_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    hands = placer(root, [])
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space left on device") as refused:
        hands.files([entry("plate.jpg", b"1")], memoryview(b"1"))
    assert refused.value.filename == str(root[0] / "plate.jpg")


def test_what_cannot_be_made_is_named_from_the_root_on(trees: Trees, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done below a descriptor knows the last part of a name only, what is staged another one."""
    (trees.here / "a/b").mkdir(parents=True)
    (trees.here / "a/large").write_bytes(bytes(3 << 20))
    (trees.there / "a").mkdir()
    (trees.there / "a/large").write_bytes(b"older")
    for call, name in (("mkdir", "a/b"), ("rename", "a/large")):
        plain = getattr(os, call)

        def full(path: str, *rest: object, plain: Any = plain, **more: object) -> None:
            if path != STAGING:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
            plain(path, *rest, **more)

        with monkeypatch.context() as patch:
            patch.setattr(os, call, full)
            with pytest.raises(MirrorError, match="No space left") as refused:
                trees.mirror()
        assert f"({trees.there}/{name})" in refused.value.message


def test_a_file_that_cannot_be_read_is_named_from_the_root_on(
    trees: Trees, monkeypatch: pytest.MonkeyPatch
) -> None:
    (trees.here / "a").mkdir()
    (trees.here / "a/bad").write_bytes(b"1")
    plain = os.open

    def refuses(path: str, *rest: Any, **more: Any) -> int:
        if path == "bad":
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return plain(path, *rest, **more)

    monkeypatch.setattr(os, "open", refuses)
    with pytest.raises(OSError, match="Input/output error") as refused:
        trees.mirror()
    assert refused.value.filename == str(trees.here / "a/bad")


def test_a_folder_that_was_made_there_meanwhile_is_taken_as_it_is(
    trees: Trees, monkeypatch: pytest.MonkeyPatch
) -> None:
    (trees.here / "new/inner").mkdir(parents=True)
    (trees.here / "new/inner/file").write_bytes(b"1")
    plain = os.mkdir

    def with_inner(path: str, *rest: Any, **more: Any) -> None:
        plain(path, *rest, **more)
        if path == "new":
            plain(trees.there / "new/inner")

    monkeypatch.setattr(os, "mkdir", with_inner)
    trees.mirror()
    assert picture(trees.there) == picture(trees.here)


def test_names_of_one_file_that_are_right_are_left_alone(trees: Trees) -> None:
    (trees.here / "one").write_bytes(b"1")
    os.link(trees.here / "one", trees.here / "other")
    trees.mirror()
    before = (trees.there / "one").stat().st_ctime_ns
    trees.mirror()
    assert (trees.there / "one").stat().st_ctime_ns == before


def test_a_file_from_the_epoch_is_equal_once_it_was_sent(trees: Trees) -> None:
    for name, size in (("small", 10), ("large", 3 << 20)):
        (trees.here / name).write_bytes(bytes(size))
        os.utime(trees.here / name, ns=(0, 0))
    trees.mirror()
    assert picture(trees.there) == picture(trees.here)


def test_a_folder_that_cannot_be_taken_is_not_held_open(trees: Trees) -> None:
    """The source asks again each second: the standby must not run out of descriptors meanwhile."""
    (trees.there / STAGING).write_bytes(b"no folder")
    with pytest.raises(MirrorError):
        trees.mirror()
    assert [fd for fd in Path("/proc/self/fd").iterdir() if leads_to(fd, trees.there)] == []


def leads_to(fd: Path, folder: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return str(fd.readlink()).startswith(str(folder))
    return False
