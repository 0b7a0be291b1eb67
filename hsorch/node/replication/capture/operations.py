"""What the kernel asks of the mount, translated; the work is done in files.py and names.py.

Handles are numbers of files.py, folders are open descriptors. Paths come as "/a/b" and go on as "a/b".
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import threading
import time
from typing import Any

import mfusepy

from hsorch.node.replication.capture.attributes import AttributeChanges
from hsorch.node.replication.capture.files import Files
from hsorch.node.replication.capture.names import Names
from hsorch.node.replication.entries import HIDDEN
from hsorch.node.replication.tree import Attributes, Tree

_UTIME_NOW, _UTIME_OMIT = 0x3FFF_FFFF, 0x3FFF_FFFE
_NO_REPLACE = 1
_STATVFS = (
    "f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_favail", "f_ffree", "f_files", "f_flag",
    "f_frsize", "f_namemax",
)  # fmt: skip
WAITING_CALLS = 1000
"""So many calls may wait for the standby before one that does not has to wait with them. It is more than the
library ever has threads: none of them ends, so what Python holds for each is held once (Fuse)."""
THREADS = {"max_idle_threads": WAITING_CALLS}
if (mfusepy.fuse_version_major, mfusepy.fuse_version_minor) >= (3, 12):
    THREADS["max_threads"] = WAITING_CALLS  # ten, if it is not told; before, there was no bound
_seen = threading.local()
"""What a thread of the library has once it called us."""


class Mounted(mfusepy.Operations):  # type: ignore[misc]
    """Operations of one tree."""

    use_ns = True
    flag_nopath = True
    flag_nullpath_ok = True
    """Handles suffice for what is done to open files; paths are not even looked up."""

    def __init__(self, tree: Tree, files: Files, names: Names, attributes: AttributeChanges) -> None:
        self._tree = tree
        self._files = files
        self._names = names
        self._attributes = attributes
        self._xattrs = not tree.binding.preset
        """The kernel asks for an attribute before each write unless told that there are none; databases have
        none and write a lot."""

    def init_with_config(self, conn_info: Any, config_3: Any) -> None:
        """Writes that the kernel does not wait for itself (asynchronous ones) count, too."""
        conn_info.max_background = conn_info.congestion_threshold = WAITING_CALLS

    # ---------------------------------------------------------------- looking

    def getattr(self, path: str | None, fh: int | None = None) -> dict[str, Any]:
        if path is None and fh is not None:
            what = os.fstat(self._files.descriptor(fh))
        else:
            what = os.lstat(self._at(path))
        return {
            "st_atime": what.st_atime_ns, "st_ctime": what.st_ctime_ns, "st_mtime": what.st_mtime_ns,
            "st_gid": what.st_gid, "st_ino": what.st_ino, "st_mode": what.st_mode, "st_nlink": what.st_nlink,
            "st_size": what.st_size, "st_uid": what.st_uid, "st_blocks": what.st_blocks,
            "st_blksize": what.st_blksize, "st_rdev": what.st_rdev,
        }  # fmt: skip

    def readlink(self, path: str) -> str:
        return os.readlink(self._at(path))

    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(self._at(""))
        return {name: getattr(found, name) for name in _STATVFS}

    def opendir(self, path: str) -> int:
        return os.open(self._at(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def readdir(self, path: str | None, fh: int) -> list[tuple[str, dict[str, int], int]]:
        listed = [(".", {"st_mode": stat.S_IFDIR}, 0), ("..", {"st_mode": stat.S_IFDIR}, 0)]
        with os.scandir(fh) as entries:
            for entry in entries:
                if entry.is_symlink():
                    kind = stat.S_IFLNK
                else:
                    kind = stat.S_IFDIR if entry.is_dir(follow_symlinks=False) else stat.S_IFREG
                listed.append((entry.name, {"st_mode": kind, "st_ino": entry.inode()}, 0))
        return listed

    def releasedir(self, path: str | None, fh: int) -> int:
        os.close(fh)
        return 0

    def fsyncdir(self, path: str | None, datasync: int, fh: int) -> int:
        self._files.flush_folder(fh)
        return 0

    # ---------------------------------------------------------------- content

    def open(self, path: str, flags: int) -> int:
        return self._files.open(self._tree, path[1:], flags)

    def create(self, path: str, mode: int, fi: int | None = None) -> int:
        return self._names.create(self._tree, path[1:], mode, _caller(), fi or 0)

    def mknod(self, path: str, mode: int, dev: int) -> int:
        if stat.S_IFMT(mode) in (0, stat.S_IFREG):
            self._files.close(self.create(path, mode, os.O_EXCL))
        else:
            self._names.make_special(self._tree, path[1:], mode, dev, _caller())
        return 0

    def read(self, path: str | None, size: int, offset: int, fh: int) -> bytes:
        return self._files.read(fh, size, offset)

    def write(self, path: str | None, data: bytes, offset: int, fh: int) -> int:
        return self._files.write(fh, data, offset)

    def truncate(self, path: str | None, length: int, fh: int | None = None) -> int:
        if fh is not None:
            self._files.truncate(fh, length)
            return 0
        assert path is not None
        opened = self._files.open(self._tree, path[1:], os.O_WRONLY)
        try:
            self._files.truncate(opened, length)
        finally:
            self._files.close(opened)
        return 0

    def fallocate(self, path: str | None, mode: int, offset: int, size: int, fh: int) -> int:
        self._files.allocate(fh, mode, offset, size)
        return 0

    def fsync(self, path: str | None, datasync: int, fh: int) -> int:
        self._files.flush(fh, data_only=bool(datasync))
        return 0

    def release(self, path: str | None, fh: int) -> int:
        self._files.close(fh)
        return 0

    # ------------------------------------------------------------------ names

    def mkdir(self, path: str, mode: int) -> int:
        self._names.make_folder(self._tree, path[1:], mode, _caller())
        return 0

    def unlink(self, path: str) -> int:
        self._names.unlink(self._tree, path[1:])
        return 0

    def rmdir(self, path: str) -> int:
        self._names.remove_folder(self._tree, path[1:])
        return 0

    def symlink(self, target: str, source: str) -> int:
        """target: the new name; source: where it leads (the order of mfusepy)."""
        self._names.symlink(self._tree, target[1:], source, _caller())
        return 0

    def link(self, target: str, source: str) -> int:
        """target: the new name; source: the file."""
        self._names.link(self._tree, source[1:], target[1:])
        return 0

    def rename_as(self, old: str, new: str, flags: int) -> int:
        if flags & ~_NO_REPLACE:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._names.rename(self._tree, old[1:], new[1:], replace=not flags & _NO_REPLACE)
        return 0

    def rename(self, old: str, new: str) -> int:
        return self.rename_as(old, new, 0)

    # ------------------------------------------------------------- attributes

    def chmod(self, path: str, mode: int) -> int:
        self._attributes.change(self._tree, path[1:], Attributes(mode=stat.S_IMODE(mode)))
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        value = Attributes(uid=None if uid == -1 else uid, gid=None if gid == -1 else gid)
        self._attributes.change(self._tree, path[1:], value)
        return 0

    def utimens(self, path: str, times: tuple[int | None, int | None] | None = None) -> int:
        now = time.time_ns()
        atime, mtime = (now, now) if times is None else times
        self._attributes.change(self._tree, path[1:], Attributes(atime=atime, mtime=mtime))
        return 0

    def getxattr(self, path: str, name: str, position: int = 0) -> bytes:
        if not self._xattrs:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        if name.startswith(HIDDEN):
            raise OSError(errno.ENODATA, os.strerror(errno.ENODATA))
        return os.getxattr(self._at(path), name, follow_symlinks=False)

    def listxattr(self, path: str) -> list[str]:
        names = os.listxattr(self._at(path), follow_symlinks=False)
        return [name for name in names if not name.startswith(HIDDEN)]

    def setxattr(self, path: str, name: str, value: bytes, options: int, position: int = 0) -> int:
        _not_ours(name)
        self._attributes.change_xattr(self._tree, path[1:], name, value, options)
        return 0

    def removexattr(self, path: str, name: str) -> int:
        _not_ours(name)
        self._attributes.change_xattr(self._tree, path[1:], name, None, 0)
        return 0

    def _at(self, path: str | None) -> str:
        return self._tree.path((path or "/")[1:])


class Fuse(mfusepy.FUSE):  # type: ignore[misc]
    """mfusepy drops the flags of rename(2) and the handle of ftruncate(2), and folds special times into
    numbers; kept here."""

    def _wrapper(self, func: Any, *args: Any, **kwargs: Any) -> Any:
        """One call of the library.

        Python would make a state for the foreign thread at each call and unmake it after, with an mmap(2) and
        a munmap(2); one more hold, never given back, keeps it. See WAITING_CALLS.
        """
        if not hasattr(_seen, "held"):
            _seen.held = ctypes.pythonapi.PyGILState_Ensure()
        return super()._wrapper(func, *args, **kwargs)

    def truncate_fuse_3(self, path: bytes | None, length: int, fip: Any) -> int:
        name = None if path is None else path.decode(self.encoding, self.errors)
        return int(self.operations.truncate(name, length, fip.contents.fh if fip else None))

    def rename_fuse_3(self, old: bytes, new: bytes, flags: int) -> int:
        return int(
            self.operations.rename_as(
                old.decode(self.encoding, self.errors), new.decode(self.encoding, self.errors), flags
            )
        )

    def utimens_fuse_3(self, path: bytes, buf: Any, fip: Any) -> int:
        times = (_time(buf.contents.actime), _time(buf.contents.modtime)) if buf else None
        return int(self.operations.utimens(path.decode(self.encoding, self.errors), times))


def _caller() -> tuple[int, int]:
    uid, gid, _ = mfusepy.fuse_get_context()
    return uid, gid


def _time(spec: Any) -> int | None:
    """A time as utimensat(2) means it: its nanoseconds may say "now" or "leave it"."""
    if spec.tv_nsec == _UTIME_NOW:
        return time.time_ns()
    if spec.tv_nsec == _UTIME_OMIT:
        return None
    return int(spec.tv_sec) * 1_000_000_000 + int(spec.tv_nsec)


def _not_ours(name: str) -> None:
    if name.startswith(HIDDEN):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))
