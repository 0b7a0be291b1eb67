"""What a standby's ordered folders hold, as the source knows it: told once, then kept up with the stream.

The names follow every record as the standby will apply it (apply_names.py), so they are its names at the
end of the stream. Contents stay as they were told: what was written since is in the stream, on both sides.
Of a file that was found the same there is its name, and of its content nothing.
Nothing here touches a disk.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import msgspec

from hsorch.node.replication.entries import FILE, FOLDER, LINK
from hsorch.node.replication.outline import Item
from hsorch.node.replication.record import Kind, Record, unpack_owner
from hsorch.node.replication.verify import BLOCK, DIGEST, digest

MORE = 0
"""Kind of an object that only adds digests to the one told before under its name."""
_ZEROS = bytes(BLOCK)
_NO_NAMES: dict[str, Node] = {}
"""Inside of a file."""


class Told(msgspec.Struct, frozen=True, array_like=True):
    """One object of a bound folder. inode: tells names of one file apart where it has no fid.

    runs: (number of the first block, digests) of what was compared; whole: that is all data of the file,
    the rest are holes. Otherwise blocks that are not told count as equal. beyond: the source did not name it.
    """

    tree: int
    path: bytes
    kind: int
    fid: int = 0
    inode: int = 0
    mode: int = 0
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    size: int = 0
    to: bytes = b""
    xattrs: dict[str, bytes] = {}
    runs: list[tuple[int, bytes]] = []
    whole: bool = True
    beyond: bool = False


_NOTHING = Told(0, b"", FILE, mode=-1)


class Content:
    """A file's content and attributes as told; told None: nothing is to be compared, as all of it came with
    the stream, or was found the same."""

    def __init__(self, told: Told | None) -> None:
        self.told = told
        self.compared = False
        self.stale = False
        """Something else may stand there by now; it is to be cut to nothing first."""
        self._runs: list[tuple[int, bytes]] = []

    def add(self, runs: list[tuple[int, bytes]]) -> None:
        self._runs += runs

    def extents(self) -> Iterator[tuple[int, int]]:
        """(offset, end) of what was compared."""
        for first, digests in self._runs:
            yield first * BLOCK, (first + len(digests) // DIGEST) * BLOCK

    def differs(self, number: int, data: memoryview) -> bool:
        """Whether the block that stands here is another one there; beyond its end there are zeros."""
        if self.told is None:
            return False
        found = self._told_digest(number)
        if found is not None:
            return digest(data) != found
        inside = number * BLOCK < self.told.size
        return (self.told.whole or not inside) and not is_zero(data)

    def _told_digest(self, number: int) -> bytes | None:
        at = bisect_right(self._runs, number, key=lambda run: run[0]) - 1
        if at < 0:
            return None
        first, digests = self._runs[at]
        place = (number - first) * DIGEST
        return digests[place : place + DIGEST] or None


@dataclass(eq=False, slots=True)
class Node:
    """One name. identity: of a file; negative: it has no fid yet. same: nothing had to be said of it."""

    name: str
    parent: Node | None
    kind: int
    identity: int = 0
    told: Told | None = None
    """Of a folder or link."""
    inner: dict[str, Node] = field(default_factory=dict)
    same: bool = False

    @property
    def path(self) -> str:
        above = self.parent.path if self.parent is not None else ""
        return f"{above}/{self.name}" if above else self.name


class Image:
    """Of all trees of a group. Not thread-safe: used under the lock of names."""

    def __init__(self) -> None:
        self._roots: dict[int, Node] = {}
        self._names: dict[int, list[Node]] = {}
        self._contents: dict[int, Content] = {}
        """Of files that have a name; one that is missing here needs no look."""

    # ------------------------------------------------------------------- told

    def add(self, told: Told) -> None:
        """Folders come before what is in them; the folder of a tree itself has the path b""."""
        path = os.fsdecode(told.path)
        if told.kind == MORE:
            node = self.at(told.tree, path)
            assert node is not None
            self._contents[node.identity].add(told.runs)
            return
        if not path:
            self._root(told.tree).told = told
            return
        parent, name = self._parents(told.tree, path)
        if name in parent.inner:  # it was named twice, as names came and went
            return
        node = parent.inner[name] = Node(name, parent, told.kind)
        node.told = None if told.kind == FILE else told
        if told.kind == FILE:
            identity = told.fid or -(told.tree << 64 | told.inode)
            self._name(node, identity)
            self._contents.setdefault(identity, Content(told)).add(told.runs)

    def same(self, tree: int, folder: str, items: Iterable[Item]) -> None:
        """Files in a folder that were found the same. One that has another name is what it was told as."""
        parent = self._parents(tree, f"{folder}/." if folder else ".")[0]
        inner, names = parent.inner, self._names
        for item in items:
            name, fid = os.fsdecode(item.leaf), item.fid
            if name in inner:  # a folder was listed while names came and went
                continue
            node = inner[name] = Node(name, parent, FILE, fid, inner=_NO_NAMES, same=True)
            names.setdefault(fid, []).append(node)
            if item.xattrs and fid not in self._contents:
                content = self._contents[fid] = Content(msgspec.structs.replace(_NOTHING, xattrs=item.xattrs))
                content.compared = True

    # ------------------------------------------------------------------ asked

    def at(self, tree: int, path: str) -> Node | None:
        node: Node | None = self._root(tree)
        for name in path.split("/") if path else ():
            if node is None or node.kind != FOLDER:
                return None
            node = node.inner.get(name)
        return node

    def below(self, tree: int, path: str) -> Iterator[str]:
        """Paths of everything below, what is in a folder before the folder."""
        node = self.at(tree, path)
        if node is not None:
            yield from [inner.path for inner in _inside(node)]

    def files(self, tree: int) -> Iterator[Node]:
        """Each name of a file that has an identity: both nodes have, or had, it."""
        folders = [self._root(tree)]
        while folders:
            for node in folders.pop().inner.values():
                if node.identity > 0:
                    yield node
                elif node.kind == FOLDER:
                    folders.append(node)

    def names(self, identity: int) -> int:
        """How many names a file has."""
        return len(self._names.get(identity, ()))

    def names_of(self, identity: int) -> list[tuple[int, str]]:
        """(tree, path) of each."""
        return [(self._tree_of(node), node.path) for node in self._names.get(identity, ())]

    def content(self, fid: int) -> Content:
        """Nothing at all, as long as the standby has no such file."""
        return self._contents.get(fid) or Content(None if fid in self._names else _NOTHING)

    # ---------------------------------------------------------------- followed

    def apply(self, record: Record) -> None:
        """A record that changes names, as apply_names.py carries it out."""
        path = os.fsdecode(bytes(record.path))
        deed = _DEEDS.get(record.kind)
        if deed is not None:
            deed(self, record, path)

    def _ident(self, record: Record, path: str) -> None:
        node = self.at(record.aux, path)
        if node is None or node.kind != FILE:
            self._drop(node)
            self._name(self._make(record.aux, path, FILE), record.fid)
            self._contents[record.fid] = Content(_NOTHING)
            return
        old = node.identity
        if old == record.fid:
            return
        for name in self._names.pop(old):
            name.identity = record.fid
            self._names.setdefault(record.fid, []).append(name)
        content = self._contents.pop(old, None) or Content(None)
        if old > 0:
            # What was written since to the identity it had is in the stream, but not in what was told.
            content = _stale(content)
        content.compared = False
        self._contents[record.fid] = content

    def _create(self, record: Record, path: str) -> None:
        self._drop(self.at(record.aux, path))
        self._name(self._make(record.aux, path, FILE), record.fid)
        self._contents.pop(record.fid, None)

    def _make_folder(self, record: Record, path: str) -> None:
        node = self.at(record.aux, path)
        if node is None or node.kind != FOLDER:
            self._drop(node)
            node = self._make(record.aux, path, FOLDER)
        node.told = _owned(record, FOLDER, node.told)

    def _symlink(self, record: Record, path: str) -> None:
        self._drop(self.at(record.aux, path))
        self._make(record.aux, path, LINK).told = _owned(record, LINK, None)

    def _link(self, record: Record, path: str) -> None:
        node = self.at(record.aux, path)
        if record.fid not in self._names or (node is not None and node.identity == record.fid):
            return
        self._drop(node)
        self._parents(record.aux, path)
        if record.fid in self._names:
            self._name(self._make(record.aux, path, FILE), record.fid)

    def _unlink(self, record: Record, path: str) -> None:
        self._drop(self.at(record.aux, path))

    def _rename(self, record: Record, path: str) -> None:
        node, to = self.at(record.aux, path), os.fsdecode(bytes(record.data))
        if node is None:
            return
        there = self.at(record.aux, to)
        if there is not None and node.kind == FILE == there.kind and node.identity == there.identity:
            return
        self._drop(there)
        assert node.parent is not None
        del node.parent.inner[node.name]
        node.parent, node.name = self._parents(record.aux, to)
        node.parent.inner[node.name] = node

    def distrust(self, fid: int) -> None:
        """What stands there may be written by what was meant for another file."""
        self._contents[fid] = _stale(self.content(fid))

    # ------------------------------------------------------------------ inside

    def _tree_of(self, node: Node) -> int:
        while node.parent is not None:
            node = node.parent
        return next(number for number, root in self._roots.items() if root is node)

    def _root(self, tree: int) -> Node:
        return self._roots.setdefault(tree, Node("", None, FOLDER))

    def _parents(self, tree: int, path: str) -> tuple[Node, str]:
        """The folder that path is to lie in, made where it is missing or something else; and the name."""
        node = self._root(tree)
        *folders, name = path.split("/")
        for folder in folders:
            inner = node.inner.get(folder)
            if inner is None or inner.kind != FOLDER:
                self._drop(inner)
                inner = node.inner[folder] = Node(folder, node, FOLDER)
            node = inner
        return node, name

    def _make(self, tree: int, path: str, kind: int) -> Node:
        parent, name = self._parents(tree, path)
        node = parent.inner[name] = Node(name, parent, kind)
        return node

    def _name(self, node: Node, identity: int) -> None:
        node.identity = identity
        self._names.setdefault(identity, []).append(node)

    def _drop(self, node: Node | None) -> None:
        """The name and all below it are gone; a file's content goes with its last name."""
        if node is None or node.parent is None:
            return
        for gone in [*_inside(node), node]:
            if gone.kind == FILE:
                names = self._names[gone.identity]
                names.remove(gone)
                if not names:
                    del self._names[gone.identity]
                    self._contents.pop(gone.identity, None)
        del node.parent.inner[node.name]


def _stale(content: Content) -> Content:
    xattrs = {} if content.told is None else content.told.xattrs
    stale = Content(msgspec.structs.replace(_NOTHING, xattrs=xattrs))
    stale.stale = True
    return stale


def _inside(node: Node) -> Iterator[Node]:
    for inner in list(node.inner.values()):
        yield from _inside(inner)
        yield inner


def _owned(record: Record, kind: int, known: Told | None) -> Told:
    uid, gid = unpack_owner(record.b)
    xattrs = {} if known is None else known.xattrs
    return Told(
        record.aux, bytes(record.path), kind, mode=record.a, uid=uid, gid=gid, xattrs=xattrs,
        to=bytes(record.data),
    )  # fmt: skip


def is_zero(data: memoryview) -> bool:
    return data[0] == 0 and data.tobytes() == (_ZEROS if len(data) == BLOCK else _ZEROS[: len(data)])


_DEEDS = {
    Kind.IDENT: Image._ident,
    Kind.CREATE: Image._create,
    Kind.MAKE_DIRECTORY: Image._make_folder,
    Kind.SYMLINK: Image._symlink,
    Kind.LINK: Image._link,
    Kind.UNLINK: Image._unlink,
    Kind.REMOVE_DIRECTORY: Image._unlink,
    Kind.RENAME: Image._rename,
}
