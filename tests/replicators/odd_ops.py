"""An application that does to a folder what few applications do: python odd_ops.py FOLDER. Each deed is a
function of its own; its name goes to stdout, with the word of the kernel where it refuses."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
KEEP_SIZE, PUNCH, COLLAPSE, ZERO, INSERT = 1, 2, 8, 16, 32
NO_REPLACE, EXCHANGE = 1, 2
GIB = 1 << 30


def fallocate(descriptor: int, mode: int, offset: int, length: int) -> None:
    if _libc.fallocate(descriptor, mode, offset, length):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def renameat2(old: Path, new: Path, flags: int) -> None:
    if _libc.renameat2(-100, os.fsencode(old), -100, os.fsencode(new), flags):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def two_appenders(home: Path) -> None:
    with (home / "log").open("ab", 0) as one, (home / "log").open("ab", 0) as two:
        for number in range(60):
            (one, two)[number % 2].write(b"line %d\n" % number)
    assert (home / "log").read_bytes().count(b"\n") == 60


def append_through_two_names(home: Path) -> None:
    (home / "one").write_bytes(b"0\n")
    os.link(home / "one", home / "two")
    with (home / "one").open("ab", 0) as one, (home / "two").open("ab", 0) as two:
        for number in range(20):
            (one, two)[number % 2].write(b"line %d\n" % number)


def copied_inside_the_kernel(home: Path) -> None:
    (home / "original").write_bytes(os.urandom(300_000))
    with (home / "original").open("rb") as source, (home / "copy").open("wb") as copy:
        os.copy_file_range(source.fileno(), copy.fileno(), 200_000, 50_000, 10_000)


def allocated(home: Path, mode: int) -> None:
    path = home / f"allocated{mode}"
    path.write_bytes(os.urandom(100_000))
    with path.open("r+b") as file:
        fallocate(file.fileno(), mode, 8192, 16_384)
        file.seek(60_000)
        file.write(b"behind")


def allocated_beyond_the_end(home: Path) -> None:
    path = home / "beyond"
    path.write_bytes(b"short")
    with path.open("r+b") as file:
        fallocate(file.fileno(), 0, 0, 50_000)
        fallocate(file.fileno(), KEEP_SIZE, 50_000, 50_000)


def huge_and_sparse(home: Path) -> None:
    with (home / "huge").open("wb") as file:
        file.truncate(200 * GIB)
        for at in (0, 77 * GIB + 13, 200 * GIB - 7):
            file.seek(at)
            file.write(b"island!")


def long_name(home: Path) -> None:
    (home / ("n" * 255)).write_bytes(b"long")


def too_long_name(home: Path) -> None:
    (home / ("n" * 256)).write_bytes(b"longer")


def strange_names(home: Path) -> None:
    for name in (b"\xff\xfe not text", b"new\nline", b"\\back", b"sp ace ", b"\x01", b"-rf"):
        path = home / os.fsdecode(name)
        path.write_bytes(name)
        path.rename(f"{path}.moved")
        Path(f"{path}.link").symlink_to(os.fsdecode(name))


def rename_over_a_full_folder(home: Path) -> None:
    for name in ("from", "over"):
        (home / name).mkdir()
        (home / name / "inner").write_bytes(name.encode())
    (home / "from").rename(home / "over")


def rename_over_an_empty_folder(home: Path) -> None:
    (home / "full").mkdir()
    (home / "full/inner").write_bytes(b"1")
    (home / "empty").mkdir()
    (home / "full").rename(home / "empty")


def exchanged(home: Path) -> None:
    (home / "left").write_bytes(b"left")
    (home / "right").write_bytes(b"right")
    renameat2(home / "left", home / "right", EXCHANGE)


def renamed_only_if_free(home: Path) -> None:
    (home / "stays").write_bytes(b"stays")
    (home / "moves").write_bytes(b"moves")
    renameat2(home / "moves", home / "moved", NO_REPLACE)
    renameat2(home / "moved", home / "stays", NO_REPLACE)


def attributes_come_and_go(home: Path) -> None:
    for path in (home / "worn", home / "worn.d"):
        if path.name == "worn":
            path.write_bytes(b"x")
        else:
            path.mkdir()
        os.setxattr(path, "user.kept", b"\0\xff" * 50)
        os.setxattr(path, "user.changed", b"1")
        os.setxattr(path, "user.changed", b"22", os.XATTR_REPLACE)
        os.setxattr(path, "user.gone", b"1")
        os.removexattr(path, "user.gone")
        os.setxattr(path, "trusted.ours", b"root's")


def owners_and_modes(home: Path) -> None:
    for mode in (0o4755, 0o2755, 0o1777, 0o000, 0o444):
        path = home / f"mode{mode:o}"
        path.write_bytes(b"x")
        path.chmod(mode)
    os.chown(home / "mode4755", 1234, 4321)
    (home / "sticky").mkdir()
    (home / "sticky").chmod(0o1777)
    os.chown(home / "sticky", 7, 8)
    (home / "owned link").symlink_to("nowhere")
    os.chown(home / "owned link", 5, 6, follow_symlinks=False)


def pipes_sockets_devices(home: Path) -> None:
    os.mkfifo(home / "pipe")
    os.mknod(home / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    os.mknod(home / "socket", stat.S_IFSOCK | 0o600)
    (home / "pipe").rename(home / "pipe2")
    (home / "device").unlink()


def hard_links_across_folders(home: Path) -> None:
    (home / "a/b").mkdir(parents=True)
    (home / "a/file").write_bytes(b"first")
    os.link(home / "a/file", home / "a/b/second")
    os.link(home / "a/b/second", home / "third")
    (home / "a/file").unlink()
    (home / "third").write_bytes(b"changed through the third")
    (home / "a").rename(home / "moved a")


def links_across_the_edge(home: Path) -> None:
    """*.tmp is not replicated."""
    (home / "inside").write_bytes(b"inside")
    os.link(home / "inside", home / "outside.tmp")
    with (home / "outside.tmp").open("ab") as file:
        file.write(b", written outside")


def links_in_over_the_edge(home: Path) -> None:
    (home / "work.tmp").write_bytes(b"work")
    os.link(home / "work.tmp", home / "result")


def in_over_the_edge(home: Path) -> None:
    (home / "part.tmp").write_bytes(b"finished" * 1000)
    os.setxattr(home / "part.tmp", "user.kept", b"along")
    (home / "part.tmp").rename(home / "whole")
    (home / "again.tmp").write_bytes(b"replaces it")
    (home / "again.tmp").rename(home / "whole")
    os.setxattr(home / "whole", "user.later", b"too")


def out_over_the_edge_and_in_again(home: Path) -> None:
    (home / "kept").write_bytes(b"kept")
    (home / "kept").rename(home / "kept.tmp")
    (home / "kept.tmp").write_bytes(b"changed outside")
    (home / "kept.tmp").rename(home / "kept again")


def in_under_a_second_name(home: Path) -> None:
    (home / "inside").write_bytes(b"inside")
    os.link(home / "inside", home / "outside.tmp")
    (home / "outside.tmp").rename(home / "second")


def deep(home: Path) -> None:
    folder = home
    for number in range(60):
        folder = folder / f"level {number}"
        folder.mkdir()
    (folder / "bottom").write_bytes(b"deep")
    (home / "level 0/level 1").rename(home / "lifted")


def written_though_read_only(home: Path) -> None:
    descriptor = os.open(home / "read only", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o444)
    os.write(descriptor, b"written by its maker")
    os.close(descriptor)


def removed_while_open(home: Path) -> None:
    with (home / "temporary").open("w+b", 0) as file:
        (home / "temporary").unlink()
        file.write(b"still here")
        os.fsync(file.fileno())
        file.truncate(4)
        (home / "temporary").write_bytes(b"another one")


def replaced_while_open(home: Path) -> None:
    (home / "config").write_bytes(b"old")
    with (home / "config").open("r+b", 0) as file:
        (home / "config.new").write_bytes(b"new")
        (home / "config.new").rename(home / "config")
        file.write(b"too late")
        os.fsync(file.fileno())


def truncated_beyond(home: Path) -> None:
    (home / "grown").write_bytes(b"x" * 10_000)
    os.truncate(home / "grown", 100)
    os.truncate(home / "grown", 1_000_000)
    with (home / "grown").open("r+b") as file:
        file.seek(2_000_000)
        file.write(b"y")


def mapped(home: Path) -> None:
    (home / "mapped").write_bytes(bytes(50_000))
    with (home / "mapped").open("r+b") as file, mmap.mmap(file.fileno(), 50_000) as memory:
        memory[100:105] = b"first"
        memory.flush(0, 4096)
        os.pwrite(file.fileno(), b"between", 20_000)
        memory[49_990:] = b"0123456789"
        memory.flush()


def times(home: Path) -> None:
    (home / "old").write_bytes(b"x")
    os.utime(home / "old", ns=(1, 2))
    (home / "future").write_bytes(b"x")
    os.utime(home / "future", ns=(5, 4_000_000_000 * 10**9))


def temporary_without_a_name(home: Path) -> None:
    descriptor = os.open(home, os.O_RDWR | os.O_TMPFILE, 0o600)
    os.write(descriptor, b"named later")
    os.link(f"/proc/self/fd/{descriptor}", home / "named", follow_symlinks=True)
    os.close(descriptor)


def _allocating(mode: int) -> Callable[[Path], None]:
    def deed(home: Path) -> None:
        allocated(home, mode)

    deed.__name__ = f"allocated_with_mode_{mode}"
    return deed


MODES = (0, KEEP_SIZE, PUNCH | KEEP_SIZE, ZERO, ZERO | KEEP_SIZE, COLLAPSE, INSERT)
DEEDS: list[Callable[[Path], None]] = [
    two_appenders, append_through_two_names, copied_inside_the_kernel, allocated_beyond_the_end,
    huge_and_sparse, long_name, too_long_name, strange_names, rename_over_a_full_folder,
    rename_over_an_empty_folder, exchanged, renamed_only_if_free, attributes_come_and_go, owners_and_modes,
    pipes_sockets_devices, hard_links_across_folders, links_across_the_edge, links_in_over_the_edge,
    in_over_the_edge, out_over_the_edge_and_in_again, in_under_a_second_name, deep,
    written_though_read_only, removed_while_open, replaced_while_open, truncated_beyond, mapped, times,
    temporary_without_a_name, *map(_allocating, MODES),
]  # fmt: skip


def main(root: Path) -> None:
    for deed in DEEDS:
        home = root / deed.__name__
        home.mkdir()
        try:
            deed(home)
            print(deed.__name__, "done", flush=True)
        except OSError as error:
            print(deed.__name__, errno.errorcode[error.errno or 0], flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
