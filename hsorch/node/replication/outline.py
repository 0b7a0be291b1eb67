"""What the two sides of a comparison say of a file at first: enough to find it the same without a word more.

Both read it with the same eyes (Reader), in an open folder, and compare what they saw. The source's walk is
capture/outlining.py, the standby's answer is answer.py.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Container, Iterable

import msgspec

from hsorch.node.replication.doubt import Extents
from hsorch.node.replication.entries import FID, FILE, travels
from hsorch.node.replication.record import leaves
from hsorch.node.replication.verify import SMALL

WINDOW = 16
"""Outlines without an answer."""
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class Item(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One name in a folder. fid 0: it is told in full in any case, and nothing else is said of it here.

    digest: of the content, where that is compared and fits; b"" otherwise."""

    leaf: bytes
    kind: int
    fid: int = 0
    mode: int = 0
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    size: int = 0
    xattrs: dict[str, bytes] = {}
    digest: bytes = b""


class Part(msgspec.Struct, frozen=True, array_like=True):
    """Names in one folder, all of its folders among them. last: no further part of this folder follows."""

    tree: int
    folder: bytes
    items: list[Item]
    last: bool = True


def strange(parts: Iterable[Part], trees: int) -> bytes | None:
    """A name that leads out of its folder, or of all folders; None: there is none."""
    for part in parts:
        names = [item.leaf for item in part.items]
        inside = b"/".join(names)
        if not 0 <= part.tree < trees or (part.folder and leaves(part.folder)):
            return part.folder
        if names and (leaves(inside) or inside.count(b"/") >= len(names)):
            return inside
    return None


class Reader:
    """extents: where contents can differ at all; None: everywhere."""

    def __init__(self, extents: Extents | None) -> None:
        from xxhash import xxh3_128_digest

        self._extents = extents
        self._digest = xxh3_128_digest

    def compares(self, fid: int) -> bool:
        """Whether the content of this file counts. What has no identity has to be compared whole."""
        return self._extents is None or not fid or fid in self._extents

    def item(self, folder: int, leaf: bytes, only: Container[int] | None = None) -> Item:
        """The regular file of this name in an open folder. only: inodes of the files to look at; None: all.

        What is not to be read, is too large or has several names has to go the long way.
        Raises FileNotFoundError."""
        try:
            fd = os.open(leaf, _READ, dir_fd=folder)
        except FileNotFoundError:
            raise
        except OSError:
            return Item(leaf, FILE)
        try:
            return self._seen(fd, leaf, only)
        except OSError:
            return Item(leaf, FILE)
        finally:
            os.close(fd)

    def _seen(self, fd: int, leaf: bytes, only: Container[int] | None) -> Item:
        found = os.fstat(fd)
        fid, xattrs = 0, {}
        if only is not None and found.st_ino not in only:
            return Item(leaf, FILE)
        if found.st_nlink == 1 and stat.S_ISREG(found.st_mode):
            for name in os.listxattr(fd):
                if name == FID:
                    fid = int.from_bytes(os.getxattr(fd, name), "little")
                elif travels(name):
                    xattrs[name] = os.getxattr(fd, name)
        size, content = found.st_size, b""
        if fid and self.compares(fid):
            if size > SMALL:
                fid = 0
            else:
                content = self._digest(os.read(fd, size + 1))
        return Item(
            leaf, FILE, fid, stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, found.st_mtime_ns,
            size, xattrs, content,
        )  # fmt: skip
