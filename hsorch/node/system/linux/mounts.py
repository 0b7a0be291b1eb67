"""Our mounts over the application's folders, as the kernel lists them; and how they are taken away by force.

Never touches the mounts themselves: whoever looks into one whose server is frozen freezes with it.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

TYPE = "fuse.hsorch"
_MOUNTINFO = Path("/proc/self/mountinfo")
_FORCE, _DETACH = 1, 2
"""umount2(2). Force aborts the connection, so that programs that wait in it wake with an error."""


class LinuxMounts:
    """Implements hsorch.node.system.base.Mounts."""

    def cut(self, folders: Iterable[str]) -> tuple[list[str], list[str]]:
        ours = mounted()
        found = [folder for folder in folders if folder in ours]
        faults = [fault for folder in found if (fault := _cut(folder))]
        return found, faults


def mounted() -> frozenset[str]:
    """Folders that an hsorch mount lies over."""
    found = set()
    for line in _MOUNTINFO.read_text("utf-8", "surrogateescape").splitlines():
        before, _, after = line.partition(" - ")
        if after.split()[0] == TYPE:
            where = before.split()[4].encode("utf-8", "surrogateescape")
            found.add(where.decode("unicode_escape"))
    return frozenset(found)


def _cut(folder: str) -> str:
    """Empty: it is gone. Force alone may say that it is busy, and has aborted the connection all the same."""
    libc = ctypes.CDLL(None, use_errno=True)
    path = os.fsencode(folder)
    if libc.umount2(path, _FORCE) == 0 or libc.umount2(path, _DETACH) == 0:
        return ""
    return f"the mount over {folder} is still there: {os.strerror(ctypes.get_errno())}"
