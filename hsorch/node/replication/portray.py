"""The standby's words for what is in its bound folders, in full: attributes, and contents block by block.

Whether so much has to be said of something is answer.py's business, what the source does with it is
capture/compare.py's.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator

from hsorch.node.replication.doubt import Brought, Extents
from hsorch.node.replication.entries import FID, FILE, FOLDER, LINK, fid_of, xattrs_of
from hsorch.node.replication.extents import data_extents
from hsorch.node.replication.image import MORE, Told
from hsorch.node.replication.tree import Tree
from hsorch.node.replication.verify import BLOCK, DIGEST, Hasher, aligned, segments

BAD = 8
"""So many segments of files may be unreadable; a disk with more is not to be trusted with a copy."""
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class Portrayer:
    """extents: where contents can differ; None: everywhere. brought: extents count there only. Names are
    those in an open folder `at`.

    Raises OSError."""

    def __init__(self, extents: Extents | None, brought: Brought | None = None) -> None:
        self._extents = extents
        self._brought = brought
        self._fids: set[int] = set()
        """Identities that are taken."""
        self._hasher = Hasher()
        self._unreadable = 0
        self._twins: set[tuple[int, int]] = set()
        """(tree, inode) of files with several names whose content was told."""

    def claims(self, fid: int) -> bool:
        """Whether no other file had this identity so far: a copy may have brought along its original's."""
        before = len(self._fids)
        self._fids.add(fid)
        return len(self._fids) > before

    def folder(self, tree: Tree, at: int, name: str, *, beyond: bool = False) -> Iterator[Told]:
        """One that is open; nothing where the binding covers only what is in it."""
        if tree.covers_folder(name):
            yield _told(tree, name, FOLDER, f"/proc/self/fd/{at}/.", os.fstat(at), beyond=beyond)

    def name(self, tree: Tree, at: int, name: str, *, beyond: bool, whole: bool) -> Iterator[Told]:
        """What has this name, if anything. whole: with all that is in it, if it is a folder."""
        leaf = name.rpartition("/")[2]
        path = f"/proc/self/fd/{at}/{leaf}"
        try:
            what = os.lstat(path)
        except FileNotFoundError:
            return
        if stat.S_ISDIR(what.st_mode):
            inner = os.open(leaf, _OPEN | os.O_DIRECTORY, dir_fd=at)
            try:
                yield from self.folder(tree, inner, name, beyond=beyond)
                if whole:
                    for below in sorted(os.listdir(inner)):
                        yield from self.name(tree, inner, f"{name}/{below}", beyond=True, whole=True)
            finally:
                os.close(inner)
        elif stat.S_ISLNK(what.st_mode) and tree.covers(name):
            yield _told(tree, name, LINK, path, what, beyond=beyond)
        elif stat.S_ISREG(what.st_mode) and tree.covers(name):
            yield from self._file(tree, name, path, what, beyond=beyond)

    def _file(
        self, tree: Tree, name: str, path: str, what: os.stat_result, *, beyond: bool
    ) -> Iterator[Told]:
        twin = (tree.number, what.st_ino)
        again = twin in self._twins
        if what.st_nlink > 1:
            self._twins.add(twin)
        fid = fid_of(path)
        if fid and not again and not self.claims(fid):
            os.removexattr(path, FID, follow_symlinks=False)
            fid = 0
        known = self._brought is None or what.st_ino in self._brought[tree.number]
        whole = self._extents is None or not fid or not known
        yield _told(tree, name, FILE, path, what, fid=fid, whole=whole, beyond=beyond)
        if again:
            return
        descriptor = os.open(path, _OPEN)
        try:
            if self._extents is None or whole:
                wanted = block_extents(descriptor, what.st_size)
            else:
                wanted = ((begin, min(end, what.st_size)) for begin, end in self._extents.get(fid, ()))
            for extent in wanted:
                for begin, end in segments(*extent):
                    run = self._digests(descriptor, begin, end)
                    if run:
                        yield Told(tree.number, os.fsencode(name), MORE, runs=[(begin // BLOCK, run)])
        finally:
            os.close(descriptor)

    def _digests(self, descriptor: int, begin: int, end: int) -> bytes:
        """What a bad sector hides is like nothing: it is sent again, and written over. Raises OSError: there
        are too many."""
        try:
            return self._hasher.blocks(descriptor, begin, end)
        except OSError as error:
            self._unreadable += 1
            if error.errno != errno.EIO or self._unreadable > BAD:
                raise
            return bytes(DIGEST * -(-(end - begin) // BLOCK))


def _told(tree: Tree, name: str, kind: int, path: str, what: os.stat_result, **fields: object) -> Told:
    return Told(
        tree.number, os.fsencode(name), kind, inode=what.st_ino, mode=stat.S_IMODE(what.st_mode),
        uid=what.st_uid, gid=what.st_gid, mtime_ns=what.st_mtime_ns, size=what.st_size,
        to=os.fsencode(os.readlink(path)) if kind == LINK else b"",
        xattrs={} if kind == LINK else xattrs_of(path), **fields,  # type: ignore[arg-type]
    )  # fmt: skip


def block_extents(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """Where a file has data, widened to whole blocks and never twice the same."""
    done = 0
    for extent in data_extents(descriptor, 0, size):
        begin, end = aligned(extent, size)
        if end > done:
            yield max(begin, done), end
            done = -(-end // BLOCK) * BLOCK
