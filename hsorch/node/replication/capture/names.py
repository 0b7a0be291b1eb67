"""Names: make, remove, rename, link; all under one lock, in one order.

What can't succeed is refused before it is recorded, so that a record stands for a deed; a failure after the
record (the disk itself) is a fault of the log.
Renames across the edge of a filter are a copy or a removal on the standby.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import AbstractContextManager

from hsorch.node.replication.capture.files import Files
from hsorch.node.replication.capture.log import Log
from hsorch.node.replication.capture.nodes import Nodes
from hsorch.node.replication.entries import xattrs_of
from hsorch.node.replication.record import Kind, Record, pack_owner
from hsorch.node.replication.tree import Attributes, Tree, encode_attributes, encode_xattr

COPY_BYTES = 1024 * 1024


class Names:
    """Names of all trees of a group. Methods raise OSError for the application."""

    def __init__(self, log: Log, nodes: Nodes, files: Files) -> None:
        self._log = log
        self._nodes = nodes
        self._files = files

    # ------------------------------------------------------------------- make

    def create(self, tree: Tree, relative: str, mode: int, owner: tuple[int, int], flags: int) -> int:
        """A new file, opened: the handle."""
        with self._log.names:
            if _exists(tree, relative):
                if flags & os.O_EXCL:
                    raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
                return self._files.open(tree, relative, flags)
            if not tree.covers(relative):
                descriptor = _make_file(tree, relative, mode, owner)
                return self._files.created(descriptor, self._nodes.born(descriptor, 0), flags)
            with self._record(
                tree, Kind.CREATE, relative, fid=None, a=stat.S_IMODE(mode), b=pack_owner(*owner)
            ) as record:
                descriptor = _make_file(tree, relative, mode, owner)
                tree.set_fid(relative, record.fid)
            node = self._nodes.born(descriptor, record.fid)
            node.written = True
            return self._files.created(descriptor, node, flags)

    def make_folder(self, tree: Tree, relative: str, mode: int, owner: tuple[int, int]) -> None:
        with self._log.names:
            _must_be_new(tree, relative)
            if not tree.covers_folder(relative):
                _make_folder(tree, relative, mode, owner)
                return
            with self._record(
                tree, Kind.MAKE_DIRECTORY, relative, a=stat.S_IMODE(mode), b=pack_owner(*owner)
            ):
                _make_folder(tree, relative, mode, owner)

    def symlink(self, tree: Tree, relative: str, target: str, owner: tuple[int, int]) -> None:
        with self._log.names:
            _must_be_new(tree, relative)
            if not tree.covers(relative):
                _make_link(tree, relative, target, owner)
                return
            with self._record(tree, Kind.SYMLINK, relative, data=os.fsencode(target), b=pack_owner(*owner)):
                _make_link(tree, relative, target, owner)

    def link(self, tree: Tree, existing: str, relative: str) -> None:
        """A further name. Across the filter's edge the standby gets a file of its own, or nothing."""
        with self._log.names:
            _must_be_new(tree, relative)
            if not tree.covers(relative):
                if tree.covers(existing) and stat.S_ISREG(os.lstat(tree.path(existing)).st_mode):
                    with self._nodes.using(tree, existing):
                        pass  # what is written through the other name is known by its identity
                os.link(tree.path(existing), tree.path(relative), follow_symlinks=False)
                return
            if not tree.covers(existing):
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
            if not stat.S_ISREG(os.lstat(tree.path(existing)).st_mode):
                raise OSError(errno.EPERM, os.strerror(errno.EPERM))
            with (
                self._nodes.using(tree, existing) as node,
                self._record(tree, Kind.LINK, relative, fid=node.fid),
            ):
                os.link(tree.path(existing), tree.path(relative))

    def make_special(self, tree: Tree, relative: str, mode: int, device: int, owner: tuple[int, int]) -> None:
        """A socket, pipe or device: of this machine only, not recorded."""
        with self._log.names:
            os.mknod(tree.path(relative), mode, device)
            os.chown(tree.path(relative), *owner)

    # ----------------------------------------------------------------- remove

    def unlink(self, tree: Tree, relative: str) -> None:
        with self._log.names:
            what = os.lstat(tree.path(relative))
            if stat.S_ISDIR(what.st_mode):
                raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
            if not tree.covers(relative) or special(what):
                os.unlink(tree.path(relative))
                return
            with self._record(tree, Kind.UNLINK, relative, fid=tree.fid(relative)):
                os.unlink(tree.path(relative))

    def remove_folder(self, tree: Tree, relative: str) -> None:
        with self._log.names:
            with os.scandir(tree.path(relative)) as entries:
                if any(True for _ in entries):
                    raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
            if not tree.covers_folder(relative):
                os.rmdir(tree.path(relative))
                return
            with self._record(tree, Kind.REMOVE_DIRECTORY, relative):
                os.rmdir(tree.path(relative))

    # ----------------------------------------------------------------- rename

    def rename(self, tree: Tree, old: str, new: str, *, replace: bool) -> None:
        with self._log.names:
            what = os.lstat(tree.path(old))
            if not self._may_rename(tree, what, new, replace=replace):
                return
            folder = stat.S_ISDIR(what.st_mode)
            if folder and not _same_cover(tree, old, new):
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
            covers = _concerns if folder else Tree.covers
            before = covers(tree, old)
            after = before if folder else covers(tree, new)
            if (not before and not after) or special(what):
                os.rename(tree.path(old), tree.path(new))
            elif before and after:
                self._rename_inside(tree, old, new, what)
            elif before:
                with self._record(tree, Kind.UNLINK, old, fid=tree.fid(old)):
                    os.rename(tree.path(old), tree.path(new))
                if stat.S_ISREG(what.st_mode) and what.st_nlink == 1:
                    tree.drop_fid(new)
            else:
                self._rename_into(tree, old, new, what)

    def _may_rename(self, tree: Tree, what: os.stat_result, new: str, *, replace: bool) -> bool:
        """False: old and new are the same file, and rename(2) does nothing then."""
        try:
            there = os.lstat(tree.path(new))
        except FileNotFoundError:
            return True
        if not replace:
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
        if os.path.samestat(there, what):
            return False
        into_folder, folder = stat.S_ISDIR(there.st_mode), stat.S_ISDIR(what.st_mode)
        if into_folder and not folder:
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        if folder and not into_folder:
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if into_folder and os.listdir(tree.path(new)):
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
        return True

    def _rename_inside(self, tree: Tree, old: str, new: str, what: os.stat_result) -> None:
        fid = 0
        if stat.S_ISREG(what.st_mode):
            with self._nodes.using(tree, old) as node:
                fid = node.fid
        with self._record(tree, Kind.RENAME, old, fid=fid, data=os.fsencode(new)):
            os.rename(tree.path(old), tree.path(new))

    def _rename_into(self, tree: Tree, old: str, new: str, what: os.stat_result) -> None:
        """A file comes in over the edge: the standby gets it whole, under its new name. One that has a name
        inside already is refused: whoever moves it makes a copy then."""
        if stat.S_ISREG(what.st_mode) and what.st_nlink > 1 and tree.fid(old):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        owner = pack_owner(what.st_uid, what.st_gid)
        if _exists(tree, new):  # replaced by the rename below
            with self._record(tree, Kind.UNLINK, new, fid=tree.fid(new)):
                pass
        if stat.S_ISLNK(what.st_mode):
            target = os.fsencode(os.readlink(tree.path(old)))
            with self._record(tree, Kind.SYMLINK, new, data=target, b=owner):
                os.rename(tree.path(old), tree.path(new))
            return
        with self._record(tree, Kind.CREATE, new, fid=None, a=stat.S_IMODE(what.st_mode), b=owner) as record:
            os.rename(tree.path(old), tree.path(new))
            tree.set_fid(new, record.fid)
        descriptor = os.open(tree.path(new), os.O_RDONLY | os.O_CLOEXEC)
        node = self._nodes.born(descriptor, record.fid)
        try:
            self._log.brought_in(record.fid, what.st_size)
            offset = 0
            while count := self._files.copy(descriptor, node, offset, COPY_BYTES):
                offset += count
            with node.lock:  # who has it open may go on writing
                data = encode_attributes(Attributes(mtime=os.fstat(descriptor).st_mtime_ns))
                with self._log.entry(Kind.ATTRIBUTES, fid=node.fid, data=data):
                    pass
            for item in xattrs_of(descriptor).items():
                data = encode_xattr((os.fsencode(item[0]), item[1]))
                with node.lock, self._log.entry(Kind.XATTR, fid=node.fid, data=data):
                    pass
        finally:
            self._nodes.drop(node)
            os.close(descriptor)

    # ------------------------------------------------------------------ inside

    def _record(
        self,
        tree: Tree,
        kind: Kind,
        relative: str,
        *,
        fid: int | None = 0,
        a: int = 0,
        b: int = 0,
        data: bytes = b"",
    ) -> AbstractContextManager[Record]:
        tree.refuse_read_only()  # else the standby would do what is refused here
        return self._log.entry(
            kind, fid=fid, a=a, b=b, aux=tree.number, path=os.fsencode(relative), data=data
        )


def _exists(tree: Tree, relative: str) -> bool:
    try:
        os.lstat(tree.path(relative))
    except FileNotFoundError:
        return False
    return True


def _must_be_new(tree: Tree, relative: str) -> None:
    if _exists(tree, relative):
        raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))


def special(what: os.stat_result) -> bool:
    """Sockets, pipes and devices: of this machine only."""
    return not (stat.S_ISREG(what.st_mode) or stat.S_ISLNK(what.st_mode) or stat.S_ISDIR(what.st_mode))


def _same_cover(tree: Tree, old: str, new: str) -> bool:
    """Whether all that lies in a folder is replicated as before under its new name."""
    if tree.covers_folder(old) != tree.covers_folder(new):
        return False
    for inner, what in tree.walk(old):
        covers = tree.covers_folder if stat.S_ISDIR(what.st_mode) else tree.covers
        if covers(inner) != covers(new + inner.removeprefix(old)):
            return False
    return True


def _concerns(tree: Tree, folder: str) -> bool:
    """Whether the standby has this folder: also one that is not bound, on the way to files that are."""
    return tree.covers_folder(folder) or any(tree.covers(inner) for inner, _ in tree.walk(folder))


def _make_file(tree: Tree, relative: str, mode: int, owner: tuple[int, int]) -> int:
    descriptor = os.open(
        tree.path(relative), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
    )
    os.fchown(descriptor, *owner)
    os.fchmod(descriptor, stat.S_IMODE(mode))
    return descriptor


def _make_folder(tree: Tree, relative: str, mode: int, owner: tuple[int, int]) -> None:
    os.mkdir(tree.path(relative), 0o700)
    os.chown(tree.path(relative), *owner)
    os.chmod(tree.path(relative), stat.S_IMODE(mode))


def _make_link(tree: Tree, relative: str, target: str, owner: tuple[int, int]) -> None:
    os.symlink(target, tree.path(relative))
    os.chown(tree.path(relative), *owner, follow_symlinks=False)
