"""Records that change names, carried out on a standby's folders (or on the active's own after a crash).

apply.py decides whether a record is due and whether it is in doubt (it may have been carried out already);
what stands in the way of a record was put there by nobody we know, and is set aside, never overwritten.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from hsorch.node.replication.record import Kind, Record, unpack_owner
from hsorch.node.replication.tree import Attributes, Tree, decode_attributes, decode_xattr
from hsorch.node.replication.whereabouts import Whereabouts

SetAside = Callable[[Tree, str], None]
"""Moves what nobody recorded out of the way (quarantine); the name is free afterwards."""


class NameApplier:
    def __init__(
        self, trees: dict[int, Tree], index: Whereabouts, set_aside: SetAside, forget: Callable[[int], None]
    ) -> None:
        """forget(fid): a file may have lost its last name."""
        self._trees = trees
        self._index = index
        self._set_aside = set_aside
        self._forget = forget
        self.skipped = 0

    def apply(self, tree: Tree, record: Record, *, in_doubt: bool) -> None:
        """Raises OSError."""
        name = os.fsdecode(bytes(record.path))
        if not (in_doubt and self._is_done(tree, name, record)):
            _DEEDS[record.kind](self, tree, name, record)

    def _is_done(self, tree: Tree, name: str, record: Record) -> bool:
        """Whether the one record in doubt was carried out before the crash."""
        there = tree.look(name)
        if record.kind in (Kind.CREATE, Kind.LINK, Kind.IDENT):
            return there is not None and tree.fid(name) == record.fid
        if record.kind in (Kind.UNLINK, Kind.REMOVE_DIRECTORY, Kind.RENAME):
            return there is None
        return False  # to do the others twice is the same as once

    def _ident(self, tree: Tree, name: str, record: Record) -> None:
        there = tree.look(name)
        if there is not None and not stat.S_ISREG(there.st_mode):
            self._clear(tree, name)
            there = None
        if there is None:
            self._parents(tree, name)
            os.close(os.open(tree.path(name), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        old = tree.fid(name)
        tree.set_fid(name, record.fid)
        self._index.rename_identity(old, record.fid, tree.number, name)
        self._forget(old)

    def _create(self, tree: Tree, name: str, record: Record) -> None:
        self._clear(tree, name)
        self._parents(tree, name)
        descriptor = os.open(
            tree.path(name), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        try:
            os.fchown(descriptor, *unpack_owner(record.b))
            os.fchmod(descriptor, record.a)
        finally:
            os.close(descriptor)
        tree.set_fid(name, record.fid)
        self._index.add(record.fid, tree.number, name)

    def _make_folder(self, tree: Tree, name: str, record: Record) -> None:
        there = tree.look(name)
        if there is None or not stat.S_ISDIR(there.st_mode):
            self._clear(tree, name)
            self._parents(tree, name)
            os.mkdir(tree.path(name), 0o700)
        uid, gid = unpack_owner(record.b)
        tree.set_attributes(name, Attributes(mode=record.a, uid=uid, gid=gid))

    def _symlink(self, tree: Tree, name: str, record: Record) -> None:
        there, target = tree.look(name), os.fsdecode(bytes(record.data))
        if there is None or not stat.S_ISLNK(there.st_mode) or os.readlink(tree.path(name)) != target:
            self._clear(tree, name)
            self._parents(tree, name)
            os.symlink(target, tree.path(name))
        uid, gid = unpack_owner(record.b)
        os.chown(tree.path(name), uid, gid, follow_symlinks=False)

    def _link(self, tree: Tree, name: str, record: Record) -> None:
        found = self._index.where(record.fid)
        if found is None:
            self.skipped += 1
            return
        if tree.look(name) is not None and tree.fid(name) == record.fid:
            return
        self._clear(tree, name)
        self._parents(tree, name)
        found = self._index.where(record.fid)
        if found is None:
            self.skipped += 1
            return
        self._trees[found[0]].must_be(found[1], record.fid)
        os.link(self._trees[found[0]].path(found[1]), tree.path(name))
        self._index.add(record.fid, tree.number, name)

    def _unlink(self, tree: Tree, name: str, record: Record) -> None:
        there = tree.look(name)
        if there is not None and stat.S_ISDIR(there.st_mode):
            self._put_aside(tree, name)
        elif there is not None:
            fid = tree.fid(name)
            if fid == 0 and stat.S_ISREG(there.st_mode):
                self._set_aside(tree, name)  # no record ever made it: somebody else did
                return
            os.unlink(tree.path(name))
            self._index.remove(fid, tree.number, name)
            self._forget(fid)

    def _remove_folder(self, tree: Tree, name: str, record: Record) -> None:
        there = tree.look(name)
        if there is not None and stat.S_ISDIR(there.st_mode):
            for inner in os.listdir(tree.path(name)):
                self._put_aside(tree, f"{name}/{inner}")
            os.rmdir(tree.path(name))
        elif there is not None:
            self._put_aside(tree, name)

    def _rename(self, tree: Tree, name: str, record: Record) -> None:
        new = os.fsdecode(bytes(record.data))
        what = tree.look(name)
        if what is None:
            self.skipped += 1
            return
        self._parents(tree, new)
        there = tree.look(new)
        replaced = 0
        if there is not None and os.path.samestat(there, what):
            return  # two names of one file here: rename(2) does nothing, both stay
        if there is not None:
            if stat.S_ISDIR(there.st_mode) and stat.S_ISDIR(what.st_mode):
                for inner in os.listdir(tree.path(new)):
                    self._put_aside(tree, f"{new}/{inner}")
            elif stat.S_ISDIR(there.st_mode) or stat.S_ISDIR(what.st_mode):
                self._put_aside(tree, new)
            else:
                replaced = tree.fid(new)
                if not replaced and stat.S_ISREG(there.st_mode) and there.st_size:
                    self._set_aside(tree, new)  # no record ever made it: somebody else did
        os.rename(tree.path(name), tree.path(new))
        self._index.remove(replaced, tree.number, new)
        self._forget(replaced)
        if stat.S_ISDIR(what.st_mode):
            self._index.move_folder(tree.number, name, new)
        else:
            fid = tree.fid(new)
            self._index.remove(fid, tree.number, name)
            self._index.add(fid, tree.number, new)

    def _attributes(self, tree: Tree, name: str, record: Record) -> None:
        if tree.look(name) is None:
            self.skipped += 1
        elif record.kind is Kind.ATTRIBUTES:
            tree.set_attributes(name, decode_attributes(record.data))
        else:
            set_xattr(tree, name, record)

    def _clear(self, tree: Tree, name: str) -> None:
        """Something stands where the record makes a new name: nobody recorded it, so it is kept elsewhere."""
        there = tree.look(name)
        if there is not None:
            fid = tree.fid(name)
            if stat.S_ISREG(there.st_mode) and there.st_size == 0 and fid == 0:
                os.unlink(tree.path(name))  # half a creation, cut by a crash
            else:
                self._put_aside(tree, name)
            self._index.remove(fid, tree.number, name)
            self._forget(fid)

    def _put_aside(self, tree: Tree, name: str) -> None:
        self._set_aside(tree, name)
        for fid in self._index.leave(tree.number, name):
            self._forget(fid)

    def _parents(self, tree: Tree, name: str) -> None:
        """Folders on the way that the binding does not cover by themselves."""
        folder = name.rpartition("/")[0]
        there = tree.look(folder) if folder else None
        if there is not None and not stat.S_ISDIR(there.st_mode):
            self._put_aside(tree, folder)
            there = None
        if folder and there is None:
            self._parents(tree, folder)
            os.mkdir(tree.path(folder), 0o755)


_DEEDS: dict[Kind, Callable[[NameApplier, Tree, str, Record], None]] = {
    Kind.IDENT: NameApplier._ident,
    Kind.CREATE: NameApplier._create,
    Kind.MAKE_DIRECTORY: NameApplier._make_folder,
    Kind.SYMLINK: NameApplier._symlink,
    Kind.LINK: NameApplier._link,
    Kind.UNLINK: NameApplier._unlink,
    Kind.REMOVE_DIRECTORY: NameApplier._remove_folder,
    Kind.RENAME: NameApplier._rename,
    Kind.ATTRIBUTES: NameApplier._attributes,
    Kind.XATTR: NameApplier._attributes,
}


def set_xattr(tree: Tree, name: str, record: Record) -> None:
    attribute, value = decode_xattr(record.data)
    path = tree.path(name)
    if value is not None:
        os.setxattr(path, attribute, value, follow_symlinks=False)
    elif os.fsdecode(attribute) in os.listxattr(path, follow_symlinks=False):
        os.removexattr(path, attribute, follow_symlinks=False)
