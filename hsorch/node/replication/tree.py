"""A bound folder, reached through its descriptor: the same files whether or not a mount lies over them.

Source and standby share this: what a fid is (an extended attribute of the file, so that it survives restarts
and changes of role), how attributes are read and set, and the few calls that Python has no name for.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

from hsorch.errors import NodeError
from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.entries import FID, HIDDEN, fid_of, leads_below
from hsorch.node.replication.way import Way

_APPLIED = HIDDEN + "applied"
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
"""A name that is not there, or whose way leads through something that is no folder (any more)."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
_libc.syncfs.argtypes = [ctypes.c_int]
_libc.linkat.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
_EMPTY_PATH = 0x1000
"""AT_EMPTY_PATH: what is meant is the descriptor itself."""


class Attributes(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, array_like=True):
    """What a record ATTRIBUTES sets; None: left as it is. Times are nanoseconds since the epoch."""

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    atime: int | None = None
    mtime: int | None = None


encode_attributes = msgspec.msgpack.Encoder().encode
decode_attributes = msgspec.msgpack.Decoder(Attributes).decode
encode_xattr = msgspec.msgpack.Encoder().encode
"""Of (name, value); value None: it is gone."""
decode_xattr = msgspec.msgpack.Decoder(tuple[bytes, bytes | None]).decode

LOOKED = 10_000
"""A folder in which so much lies that is not bound counts as one with files."""


class Tree:
    """Folder `number` of a group. Relative paths are str as os.fsdecode gives them, "" is the folder."""

    def __init__(self, number: int, binding: Binding, folder: Path | None = None) -> None:
        """folder: where the files are, when not at binding.path (tests, a staged copy).

        Raises NodeError HS682: no folder, or a file system without extended attributes.
        """
        self.number = number
        self.binding = binding
        self.folder = Path(binding.path) if folder is None else folder
        try:
            self.descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._base = f"/proc/self/fd/{self.descriptor}/"
            os.setxattr(self.path(""), HIDDEN + "probe", b"")
            os.removexattr(self.path(""), HIDDEN + "probe")
        except OSError as error:
            raise NodeError(
                f"{self.folder} cannot be replicated: {error.strerror}",
                hint="it must be a folder on a local file system with extended attributes (ext4, xfs, btrfs)",
                code="HS682",
            ) from error
        self.device = os.fstat(self.descriptor).st_dev

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def refuse_read_only(self) -> None:
        """Raises OSError EROFS, as a change of a name would."""
        if os.fstatvfs(self.descriptor).f_flag & os.ST_RDONLY:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self.folder))

    def path(self, relative: str) -> str:
        return self._base + (relative or ".")

    def covers(self, relative: str) -> bool:
        return self.binding.covers(relative)

    def covers_folder(self, relative: str) -> bool:
        """Whether a folder is replicated itself: it is covered, or what lies in it would be."""
        return not relative or self.binding.covers(relative) or self.binding.covers(relative + "/0")

    def look(self, relative: str) -> os.stat_result | None:
        """lstat(2) of a name that lies in folders of this tree; None: there is none.

        A link on the way leads elsewhere, so what lies behind it is not below this folder.
        """
        try:
            return os.lstat(self.path(relative)) if leads_below(self._base, relative) else None
        except OSError as error:
            if error.errno in _GONE:
                return None
            raise

    def is_bare(self) -> bool:
        """No file lies there, as far as that can be said while the other node waits. Raises OSError."""
        for looked, (name, what) in enumerate(self.walk()):
            if looked == LOOKED or (not stat.S_ISDIR(what.st_mode) and self.covers(name)):
                return False
        return True

    # ----------------------------------------------------------------- identity

    def fid(self, relative: str) -> int:
        """0: the file has no identity yet. Raises OSError: no such file."""
        return fid_of(self.path(relative))

    def must_be(self, relative: str, fid: int) -> None:
        """Raises FileNotFoundError: another file has this name, or none."""
        if self.look(relative) is None or self.fid(relative) != fid:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), relative)

    def set_fid(self, relative: str, fid: int) -> None:
        os.setxattr(self.path(relative), FID, fid.to_bytes(8, "little"), follow_symlinks=False)

    def drop_fid(self, relative: str) -> None:
        """Its name in the stream is nothing to the file any more. One without stays as it is."""
        if self.fid(relative):
            os.removexattr(self.path(relative), FID, follow_symlinks=False)

    def applied(self) -> int:
        """The last record that changed names here, or was about to (apply.py)."""
        try:
            return int.from_bytes(os.getxattr(self.path(""), _APPLIED), "little")
        except OSError as error:
            if error.errno == errno.ENODATA:
                return 0
            raise

    def set_applied(self, lsn: int) -> None:
        os.setxattr(self._base + ".", _APPLIED, lsn.to_bytes(8, "little"))

    # ---------------------------------------------------------------- attributes

    def set_attributes(self, relative: str, value: Attributes) -> None:
        """Raises OSError."""
        path = self.path(relative)
        if value.uid is not None or value.gid is not None:
            os.chown(path, _or_keep(value.uid), _or_keep(value.gid), follow_symlinks=False)
        if value.mode is not None:
            _change_mode(path, value.mode)
        if value.atime is not None or value.mtime is not None:
            now = os.lstat(path)
            atime = now.st_atime_ns if value.atime is None else value.atime
            mtime = now.st_mtime_ns if value.mtime is None else value.mtime
            os.utime(path, ns=(atime, mtime), follow_symlinks=False)

    def open(self, relative: str, flags: int) -> int:
        """A file that lies in folders of this tree: no link on the way is followed. Raises OSError."""
        with Way(self.descriptor) as way:
            found = way.to(relative)
            if found is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), relative)
            return os.open(found[1], flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=found[0])

    # --------------------------------------------------------------------- walk

    def walk(self, relative: str = "") -> Iterator[tuple[str, os.stat_result]]:
        """Everything below, folders before what is in them, links not followed. What vanishes is left out."""
        pending = [relative]
        while pending:
            folder = pending.pop()
            for name, _ in self._listed(folder):
                inner = f"{folder}/{name}" if folder else name
                try:
                    what = os.lstat(self.path(inner))
                except OSError as error:
                    if error.errno in _GONE:
                        continue
                    raise
                yield inner, what
                if stat.S_ISDIR(what.st_mode):
                    pending.append(inner)

    def named(self, prefix: str) -> Iterator[str]:
        """What is no folder, anywhere below, and has a name that begins so. Looks at names only, as a service
        waits for it. Raises OSError."""
        pending = [""]
        while pending:
            folder = pending.pop()
            for name, is_folder in self._listed(folder):
                inner = f"{folder}/{name}" if folder else name
                if is_folder:
                    pending.append(inner)
                elif name.startswith(prefix):
                    yield inner

    def _listed(self, folder: str) -> list[tuple[str, bool]]:
        """(name, whether it is a folder) of what is in a folder, sorted; none when it is gone, or something
        else stands there by now."""
        try:
            opened = os.open(self.path(folder), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in _GONE:
                return []
            raise
        try:
            with os.scandir(opened) as found:
                # Some file systems list a name twice that goes and comes again meanwhile.
                return sorted({(item.name, item.is_dir(follow_symlinks=False)) for item in found})
        finally:
            os.close(opened)


def is_identified(descriptor: int) -> bool:
    """Whether this open file is replicated. Raises OSError."""
    return FID in os.listxattr(descriptor)


def allocate(descriptor: int, mode: int, offset: int, length: int) -> None:
    """fallocate(2), with its modes. Raises OSError."""
    if _libc.fallocate(descriptor, mode, offset, length) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def sync_filesystem(descriptor: int) -> None:
    """syncfs(2): everything of the file system that holds descriptor. Raises OSError."""
    if _libc.syncfs(descriptor) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def give_name(descriptor: int, folder: int, leaf: str) -> None:
    """To an open file that has none yet, in an open folder. Raises FileExistsError, OSError."""
    if _libc.linkat(descriptor, b"", folder, os.fsencode(leaf), _EMPTY_PATH) == 0:
        return
    number = ctypes.get_errno()
    if number != errno.ENOENT:
        raise OSError(number, os.strerror(number), leaf)
    os.link(f"/proc/self/fd/{descriptor}", leaf, dst_dir_fd=folder)  # the way for who may not do the other


def write_all(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Raises OSError; some of it may be written then."""
    done = os.pwrite(descriptor, data, offset)
    while done < len(data):
        done += os.pwrite(descriptor, data[done:], offset + done)


def _change_mode(path: str, mode: int) -> None:
    """chmod(2), but not of what a link leads to."""
    found = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISLNK(os.fstat(found).st_mode):
            os.chmod(f"/proc/self/fd/{found}", mode)
    finally:
        os.close(found)


def _or_keep(number: int | None) -> int:
    return -1 if number is None else number
