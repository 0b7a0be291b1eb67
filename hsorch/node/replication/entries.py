"""One object of a watched or verified tree as a value, and the walk that yields them folder by folder.

Contents are read by mirror.py and compared through verify.py.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from hsorch.node.replication.bindings import Binding

FILE, FOLDER, LINK, TWIN = 1, 2, 3, 4
"""Kinds. TWIN: a further name of a file listed before, `to` is its first name."""
_TRAVEL = ("user.", "trusted.", "system.posix_acl_", "security.capability")
HIDDEN = "user.hsorch."
"""Extended attributes of ours: no application sees or changes them, and a copy of a file has none."""
FID = HIDDEN + "fid"
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK

Digest = Callable[[int, int], bytes]
"""digest(fd, size): of the content of an open file; b"": it has none. Raises OSError."""
Fid = Callable[[int], int]
"""fid(descriptor): the identity of an open file of an ordered folder; 0: it has none. Raises OSError."""


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """path: relative to the root, bytes as on the disk. twin: inode of a file with several names, else 0.

    size and mtime of a folder are 0 in listings: its time follows from what is done inside.
    """

    path: bytes
    kind: int
    mode: int
    uid: int
    gid: int
    mtime_ns: int = 0
    size: int = 0
    twin: int = 0
    to: bytes = b""
    """Where a symbolic link leads."""
    xattrs: dict[str, bytes] = {}
    digest: bytes = b""
    """Of the content of a small file, where a comparison wants it (verify.py)."""
    fid: int = 0
    """Identity of a file in an ordered folder (tree.py)."""

    @property
    def name(self) -> str:
        return os.fsdecode(self.path)


@dataclass(frozen=True)
class Anchor:
    """Which volume a root lies on. A formatted, unmounted or swapped disk has another one."""

    filesystem: int
    device: int

    @classmethod
    def of(cls, root: str) -> Anchor:
        """Raises OSError."""
        return cls(os.statvfs(root).f_fsid, Path(root).stat().st_dev)


def leads_below(root: str, relative: str) -> bool:
    """Whether the way to a name leads through folders that are there: behind a link it would be elsewhere.

    Raises OSError."""
    try:
        at = relative.find("/")
        while at >= 0:
            if not stat.S_ISDIR(os.lstat(f"{root}/{relative[:at]}").st_mode):
                return False
            at = relative.find("/", at + 1)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def entry_of(root: str, relative: str) -> Entry | None:
    """The object as it is now; None: it is gone, or of a kind that is not replicated (socket, device, fifo).

    Raises OSError for anything else.
    """
    path = f"{root}/{relative}"
    if not leads_below(root, relative):
        return None
    try:
        return _entry(path, relative, os.lstat(path))
    except (FileNotFoundError, NotADirectoryError):
        return None


def entry_of_open(
    fd: int,
    relative: str,
    found: os.stat_result,
    xattrs: dict[str, bytes] | None = None,
    *,
    fid: Fid | None = None,
) -> Entry:
    """The file behind a descriptor. xattrs: as known already; None: looked up. Raises OSError."""
    xattrs = xattrs_of(fd) if xattrs is None else xattrs
    return _file(os.fsencode(relative), found, xattrs, fid=0 if fid is None else fid(fd))


def folder_of(root: str, relative: str) -> Entry | None:
    """A folder with its time; None: it is none (any more). Raises OSError."""
    if not leads_below(root, relative):
        return None
    try:
        found = os.lstat(f"{root}/{relative}")
        entry = _entry(f"{root}/{relative}", relative, found) if stat.S_ISDIR(found.st_mode) else None
    except (FileNotFoundError, NotADirectoryError):
        return None
    return entry and msgspec.structs.replace(entry, mtime_ns=found.st_mtime_ns)


def entry_inside(
    folder: int, leaf: str, relative: str, digest: Digest, fid: Fid | None = None
) -> Entry | None:
    """The file of that name in an open folder, its content included; None: no file that can be read.

    Raises OSError: its attributes can't be."""
    try:
        fd = os.open(leaf, _READ, dir_fd=folder)
    except OSError:
        return None
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            return None
        try:
            content = digest(fd, found.st_size)
        except OSError:
            content = b""
        identity = 0 if fid is None else fid(fd)
        return _file(os.fsencode(relative), found, xattrs_of(fd), content, identity)
    finally:
        os.close(fd)


def scan(
    root: str, binding: Binding, below: str = "", digest: Digest | None = None, fid: Fid | None = None
) -> Iterator[tuple[str, Iterator[Entry]]]:
    """(folder, all replicated objects directly in it), parents first. What vanishes meanwhile is left out.

    The objects of one folder are to be taken before the next. digest: of each file, or None; then fid, too.
    Raises OSError, at the objects, too.
    """
    folders = [below]
    while folders:
        folder = folders.pop()
        inner: list[str] = []
        yield folder, _children(root, binding, folder, inner, digest, fid)
        folders.extend(reversed(inner))


def _children(
    root: str, binding: Binding, folder: str, inner: list[str], digest: Digest | None, fid: Fid | None
) -> Iterator[Entry]:
    """inner: is told the folders among them."""
    for at, item, relative in _listed(root, folder):
        is_folder = item.is_dir(follow_symlinks=False)
        if not (binding.enters(relative) if is_folder else binding.covers(relative)):
            continue
        entry = None
        if digest is not None and item.is_file(follow_symlinks=False):
            entry = entry_inside(at, item.name, relative, digest, fid)
        if entry is None:
            try:
                entry = _entry(f"{root}/{relative}", relative, item.stat(follow_symlinks=False))
            except (FileNotFoundError, NotADirectoryError):
                continue
        if is_folder:
            inner.append(relative)
        if entry is not None:
            yield entry


def folders(root: str, binding: Binding, folder: str) -> Iterator[str]:
    """Names of the replicated folders directly in one, without a look at the files. Raises OSError."""
    for _, item, relative in _listed(root, folder):
        if item.is_dir(follow_symlinks=False) and binding.enters(relative):
            yield relative


def _listed(root: str, folder: str) -> Iterator[tuple[int, os.DirEntry[str], str]]:
    """What is in a folder, which is open as the number that comes along; nothing when it is gone."""
    prefix = folder + "/" if folder else ""
    try:
        at = os.open(f"{root}/{folder}", _READ | os.O_DIRECTORY)
    except OSError as error:
        if folder and error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return
        raise
    try:
        with os.scandir(at) as found:
            for item in found:
                yield at, item, prefix + item.name
    finally:
        os.close(at)


def _entry(path: str, relative: str, found: os.stat_result) -> Entry | None:
    mode = stat.S_IMODE(found.st_mode)
    kind = stat.S_IFMT(found.st_mode)
    raw = os.fsencode(relative)
    if kind == stat.S_IFREG:
        return _file(raw, found, xattrs_of(path))
    if kind == stat.S_IFDIR:
        return Entry(raw, FOLDER, mode, found.st_uid, found.st_gid, 0, 0, 0, b"", xattrs_of(path))
    if kind == stat.S_IFLNK:
        to = os.fsencode(os.readlink(path))
        return Entry(raw, LINK, 0o777, found.st_uid, found.st_gid, found.st_mtime_ns, 0, 0, to)
    return None


def _file(
    raw: bytes, found: os.stat_result, xattrs: dict[str, bytes], digest: bytes = b"", fid: int = 0
) -> Entry:
    twin = found.st_ino if found.st_nlink > 1 else 0
    return Entry(
        raw, FILE, stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, found.st_mtime_ns,
        found.st_size, twin, b"", xattrs, digest, fid,
    )  # fmt: skip


def travels(name: str) -> bool:
    """Whether an extended attribute belongs to the file wherever it is copied to."""
    return name.startswith(_TRAVEL) and not name.startswith(HIDDEN)


def xattrs_of(at: str | int) -> dict[str, bytes]:
    """Extended attributes that travel; access control lists are among them. Raises OSError."""
    return _values(at, _attributes(at))


def _attributes(at: str | int) -> list[str]:
    try:
        return os.listxattr(at) if isinstance(at, int) else os.listxattr(at, follow_symlinks=False)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.ENODATA):
            return []
        raise


def _values(at: str | int, names: list[str]) -> dict[str, bytes]:
    try:
        return {name: os.getxattr(at, name) for name in names if travels(name)}
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.ENODATA):
            return {}
        raise


def fid_of(at: str | int) -> int:
    """Of a file by its path or descriptor; 0: it has no identity yet. Raises OSError: no such file."""
    try:
        if isinstance(at, int):
            return int.from_bytes(os.getxattr(at, FID), "little")
        return int.from_bytes(os.getxattr(at, FID, follow_symlinks=False), "little")
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.ENOTSUP, errno.EPERM):
            return 0
        raise


def set_fid(fd: int, fid: int, flags: int = 0) -> None:
    """Of an open file. flags: of setxattr(2). Raises OSError."""
    os.setxattr(fd, FID, fid.to_bytes(8, "little"), flags)


def dress(fd: int, entry: Entry) -> None:
    """Give an open file or folder the entry's owner, mode, attributes, identity and time, as far as it has
    others.

    A new one may have attributes of the folder that it was made in. Raises OSError."""
    found = os.fstat(fd)
    owned = (found.st_uid, found.st_gid) == (entry.uid, entry.gid)
    if not owned:
        os.fchown(fd, entry.uid, entry.gid)
    if not owned or stat.S_IMODE(found.st_mode) != entry.mode:  # a change of the owner takes bits of it
        os.fchmod(fd, entry.mode)
    names = _attributes(fd)
    worn = _values(fd, names)
    if worn != entry.xattrs:
        for name in worn.keys() - entry.xattrs.keys():
            os.removexattr(fd, name)
        for name, value in entry.xattrs.items():
            if worn.get(name) != value:
                os.setxattr(fd, name, value)
    if entry.fid and (FID not in names or fid_of(fd) != entry.fid):
        set_fid(fd, entry.fid)
    if entry.kind == FILE or entry.mtime_ns:
        os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
