"""Files with several names (hard links): which names are one file at the source. Memory only.

The kernel tells of a write under the name that was used. If that name is gone before anyone looks, the names
that are left are suspects; a name that came, was written through and went unseen is found by the next mirror.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.entries import FILE, Entry, entry_of, scan


class TwinNames:
    """By inode of the source. A name belongs to one file at a time."""

    def __init__(self) -> None:
        self._names: dict[tuple[int, int], list[bytes]] = {}
        self._file: dict[bytes, tuple[int, int]] = {}
        self._links: dict[tuple[int, int], int] = {}
        """Link count when the tree was last searched; the names may be fewer, as some lie outside."""
        self.suspects: set[str] = set()
        """Names that may have changed through a name that is no longer theirs; the reader clears it."""

    def note(self, root: str, entry: Entry) -> bytes:
        """The first known name of this file; its own when there is none yet."""
        try:
            found = os.lstat(f"{root}/{entry.name}")
        except (FileNotFoundError, NotADirectoryError):
            return entry.path
        key = (found.st_dev, entry.twin)
        self._links.setdefault(key, found.st_nlink)
        if self._file.get(entry.path) != key:
            self.forget([entry.path])
            self._file[entry.path] = key
            self._names.setdefault(key, []).append(entry.path)
        return self._names[key][0]

    def standing(self, root: str, binding: Binding, entry: Entry) -> bytes:
        """note(), but the name is still one of this file: a first name may have moved on.

        A file that got a name since is searched for: link(2) tells of the new name only.
        """
        now = entry_of(root, entry.name)
        if now is None or now.twin != entry.twin:
            return entry.path
        known = self._links.get(self._file.get(entry.path, (0, 0)))
        if known is None or known != _links(root, entry):
            self._links.clear()
            for _, entries in scan(root, binding):
                for other in entries:
                    if other.kind == FILE and other.twin:
                        self.note(root, other)
        while (first := self.note(root, entry)) != entry.path:
            found = entry_of(root, os.fsdecode(first))
            if found is not None and found.twin == entry.twin:
                break
            self.forget([first])
        return first

    def pairs(self, root: str, first: bytes) -> list[tuple[bytes, bytes]]:
        """(further name, first) of the file; names that became something else are forgotten."""
        key = self._file.get(first)
        if key is None:
            return []
        for name in self._names[key][:]:
            found = entry_of(root, os.fsdecode(name))
            if found is None or found.twin != key[1]:
                self.forget([name])
        return [(name, first) for name in self._names.get(key, []) if name != first]

    def all_pairs(self) -> list[tuple[bytes, bytes]]:
        return [(name, names[0]) for names in self._names.values() for name in names[1:]]

    def forget(self, names: Iterable[bytes]) -> None:
        for name in names:
            key = self._file.pop(name, None)
            if key is not None:
                self._names[key].remove(name)
                self.suspects.update(os.fsdecode(other) for other in self._names[key])
                if not self._names[key]:
                    del self._names[key]


def _links(root: str, entry: Entry) -> int:
    """0: the name is gone."""
    try:
        return os.lstat(f"{root}/{entry.name}").st_nlink
    except (FileNotFoundError, NotADirectoryError):
        return 0


def same_file(root: str, one: bytes, other: bytes) -> bool:
    """Whether both names are one file now."""
    here, there = entry_of(root, os.fsdecode(one)), entry_of(root, os.fsdecode(other))
    return here is not None and there is not None and here.twin != 0 and here.twin == there.twin
