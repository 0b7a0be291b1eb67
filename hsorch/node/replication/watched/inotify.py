"""Which names of a tree changed, told by the Linux kernel; it says itself when it lost count.

inotify is asked directly, because the portable watchers drop the kernel's overflow event and refuse names
that are no UTF-8: a lost event would be a lost file. What is done about a change is live.py's business.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path

from hsorch.errors import NodeError
from hsorch.node.replication.bell import Bell
from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.entries import folders

MODIFY, ATTRIB, CLOSE_WRITE = 0x2, 0x4, 0x8
MOVED_FROM, MOVED_TO, CREATE, DELETE, DELETE_SELF, MOVE_SELF = 0x40, 0x80, 0x100, 0x200, 0x400, 0x800
UNMOUNT, OVERFLOW, IGNORED = 0x2000, 0x4000, 0x8000
_ONLYDIR, _DONT_FOLLOW, _EXCL_UNLINK, ISDIR = 0x1000000, 0x2000000, 0x4000000, 0x40000000
_MASK = (
    MODIFY | ATTRIB | CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE | DELETE_SELF | MOVE_SELF
    | _ONLYDIR | _DONT_FOLLOW | _EXCL_UNLINK
)  # fmt: skip
_EVENT = struct.Struct("iIII")
_READ = 1 << 20
SETTLE_S = 0.004
LONGEST_S = 0.05
"""Changes that follow each other within SETTLE_S are told together, for LONGEST_S at most."""
_libc = ctypes.CDLL(None, use_errno=True)


class WatchError(NodeError):
    """The tree can't be watched."""

    code = "HS678"


@dataclass
class Changes:
    """names: relative, files and folders alike. folders: new here, with all that is in them.

    overflow: events were lost, look at everything. lost: the root itself moved, or its disk is gone.
    """

    names: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)
    overflow: bool = False
    lost: bool = False

    def __bool__(self) -> bool:
        return bool(self.names or self.folders or self.overflow or self.lost)


class Watcher:
    """Watches from the moment it is made; look at the tree afterwards, and no change is missed.

    Raises WatchError: too many folders for this kernel's limits, or the root is gone.
    """

    def __init__(self, root: str, binding: Binding, bell: Bell | None = None) -> None:
        self._root = root
        self._binding = binding
        self._bell = bell
        self._folders: dict[int, str] = {}
        self._watches: dict[str, int] = {}
        self._fd = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise self._failed(root, ctypes.get_errno())
        try:
            if not self._add(""):
                raise self._failed(root, errno.ENOENT)
            self._enter("")
        except BaseException:
            os.close(self._fd)
            raise
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)
        if bell is not None:
            self._poll.register(bell, select.POLLIN)

    def close(self) -> None:
        os.close(self._fd)

    def wait(self, timeout_s: float) -> Changes:
        """Changes since the last call; empty after timeout_s without any, or when the bell rang."""
        changes = Changes()
        if not self._readable(timeout_s):
            return changes
        until = time.monotonic() + LONGEST_S
        while True:
            self._read(changes)
            if time.monotonic() >= until or not self._readable(SETTLE_S):
                return changes

    def _readable(self, timeout_s: float) -> bool:
        """Not by select(2), which knows no descriptor beyond 1023: each file that an application has open in
        an ordered folder takes one."""
        ready = [fd for fd, _ in self._poll.poll(timeout_s * 1000)]
        if self._bell is not None and self._bell.fileno() in ready:
            self._bell.heard()
        return self._fd in ready

    def _read(self, changes: Changes) -> None:
        try:
            data = os.read(self._fd, _READ)
        except BlockingIOError:
            return
        at = 0
        while at < len(data):
            watch, mask, _, length = _EVENT.unpack_from(data, at)
            at += _EVENT.size
            raw = data[at : at + length].rstrip(b"\0")
            at += length
            if mask & OVERFLOW:
                changes.overflow = True
            elif (folder := self._folders.get(watch)) is not None:
                self._note(changes, folder, os.fsdecode(raw), mask, watch)

    def _note(self, changes: Changes, folder: str, name: str, mask: int, watch: int) -> None:
        if mask & (DELETE_SELF | MOVE_SELF | UNMOUNT | IGNORED) and not name:
            if folder == "" and mask & (DELETE_SELF | MOVE_SELF | UNMOUNT):
                changes.lost = True
            elif mask & UNMOUNT:
                changes.overflow = True
            if mask & IGNORED:
                self._folders.pop(watch, None)
                if self._watches.get(folder) == watch:
                    del self._watches[folder]
            return
        relative = f"{folder}/{name}" if folder and name else folder or name
        if not mask & ISDIR or not name:
            if relative == "" or not name or self._binding.covers(relative):
                changes.names.add(relative)
            return
        if not self._binding.enters(relative):
            return
        changes.names.add(relative)
        if mask & MOVED_FROM:
            self._leave(relative)
        elif mask & (CREATE | MOVED_TO) and self._add(relative):
            changes.folders.add(relative)
            self._enter(relative)

    def _enter(self, folder: str) -> None:
        """Watch all folders below. A folder is watched before it is listed, so nothing slips through."""
        pending = [folder]
        while pending:
            found = folders(self._root, self._binding, pending.pop())
            pending += [folder for folder in found if self._add(folder)]

    def _leave(self, folder: str) -> None:
        for name in [n for n in self._watches if n == folder or n.startswith(folder + "/")]:
            watch = self._watches.pop(name)
            self._folders.pop(watch, None)
            _libc.inotify_rm_watch(self._fd, watch)

    def _add(self, folder: str) -> bool:
        """False: it is gone already."""
        path = f"{self._root}/{folder}"
        watch = _libc.inotify_add_watch(self._fd, os.fsencode(path), _MASK)
        if watch < 0:
            code = ctypes.get_errno()
            if code in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return False
            raise self._failed(path, code)
        self._watches[folder] = watch
        self._folders[watch] = folder
        return True

    def _failed(self, path: str, code: int) -> WatchError:
        hint = "Give hsorch access to it, or exclude it from the binding."
        if code == errno.ENOSPC:
            limit = Path("/proc/sys/fs/inotify/max_user_watches").read_text().strip()
            hint = f"Raise fs.inotify.max_user_watches (now {limit}) above the number of bound folders."
        return WatchError(f"{path} cannot be watched: {os.strerror(code)}", hint=hint)
