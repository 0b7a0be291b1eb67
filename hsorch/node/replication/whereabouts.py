"""Where each identified file of a group is, kept in memory: read from the files' own attributes.

A file may have several names; only those that are bound count: a copy beside them may have brought along the
identity of its original. Folders have no identity; when one moves, the names below it move along.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence

from hsorch.node.replication.tree import Tree

Where = tuple[int, str]
"""Number of the tree, relative path."""


class Whereabouts:
    def __init__(self, trees: Sequence[Tree]) -> None:
        """Walks the trees. Raises OSError."""
        self._names: dict[int, list[Where]] = {}
        for tree in trees:
            for name, what in tree.walk():
                if stat.S_ISREG(what.st_mode) and tree.covers(name):
                    self.add(tree.fid(name), tree.number, name)

    def __len__(self) -> int:
        return len(self._names)

    def replace(self, other: Whereabouts) -> None:
        """By what another one holds, which is not to be used any more."""
        self._names = other._names

    def where(self, fid: int) -> Where | None:
        """One of the file's names; None: it has none (any more)."""
        names = self._names.get(fid)
        return names[0] if names else None

    def add(self, fid: int, number: int, name: str) -> None:
        if fid:
            self._names.setdefault(fid, []).append((number, name))

    def remove(self, fid: int, number: int, name: str) -> None:
        names = self._names.get(fid)
        if names is not None and (number, name) in names:
            names.remove((number, name))
            if not names:
                del self._names[fid]

    def leave(self, number: int, name: str) -> list[int]:
        """A name and all below it are gone: the files that had one there."""
        prefix = name + "/"
        gone = [
            (fid, where)
            for fid, names in self._names.items()
            for where in names
            if where[0] == number and (where[1] == name or where[1].startswith(prefix))
        ]
        for fid, where in gone:
            self.remove(fid, *where)
        return [fid for fid, _ in gone]

    def rename_identity(self, old: int, new: int, number: int, name: str) -> None:
        """The file under this name, with all its other names, is `new` from now on."""
        names = self._names.pop(old, None) if old else None
        self._names[new] = names or [(number, name)]

    def move_folder(self, number: int, old: str, new: str) -> None:
        prefix = old + "/"
        for names in self._names.values():
            for place, (tree, name) in enumerate(names):
                if tree == number and name.startswith(prefix):
                    names[place] = (tree, new + name.removeprefix(old))
