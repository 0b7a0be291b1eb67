"""The standby's side of a comparison: what it has otherwise than the source says, while nothing here changes.

Of a file that looks the same (outline.py) it says no more than that. Everything else is told in full
(portray.py): what differs, what has several names, folders and links, and what the source did not name.
"""

from __future__ import annotations

import os
import queue
from collections.abc import Callable, Iterator, Sequence

from hsorch.node.replication.doubt import Brought, Extents
from hsorch.node.replication.entries import FOLDER
from hsorch.node.replication.image import Told
from hsorch.node.replication.messages import Outline, Pictured
from hsorch.node.replication.outline import Part, Reader, strange
from hsorch.node.replication.portray import Portrayer
from hsorch.node.replication.record import Damaged
from hsorch.node.replication.tree import Tree
from hsorch.node.replication.way import Way
from hsorch.node.replication.whereabouts import Whereabouts
from hsorch.node.replication.wire import Broken

BATCH_OBJECTS = 1000
BATCH_BYTES = 1024 * 1024
"""Of digests and attributes."""


class Questions:
    """Outlines that came over one connection: from the thread that receives to the one that answers."""

    def __init__(self, trees: int) -> None:
        self._trees = trees
        self._waiting: queue.SimpleQueue[Outline | None] = queue.SimpleQueue()
        self._first: Outline | None = None
        """Taken, and not answered."""
        self._newest = 0
        self._closed = False

    def put(self, outline: Outline) -> None:
        """Raises Damaged: no node of ours says that."""
        name = strange(outline.parts, self._trees)
        if name is not None:
            raise Damaged(outline.lsn, f"it names {os.fsdecode(name)!r}, which leaves the bound folders")
        self._newest = max(self._newest, outline.lsn)
        self._waiting.put(outline)

    def close(self) -> None:
        """Nothing more comes."""
        self._closed = True
        self._waiting.put(None)

    def ended(self, lsn: int) -> bool:
        """Nobody waits for answers of the comparison that began at lsn: it was given up for a later one, or
        the source is gone."""
        return self._closed or self._newest > lsn

    def next(self, lsn: int) -> Outline:
        """Of the comparison that began at lsn. Raises Broken: none comes any more."""
        while (outline := self._first or self._waiting.get()) is not None and outline.lsn <= lsn:
            self._first = None
            if outline.lsn == lsn:
                return outline
        if outline is None:
            self._waiting.put(None)
        self._first = outline
        raise Broken("the source asks no more")


class Answerer:
    """Of one comparison. Raises OSError, and Broken once it is ended: a large file takes long."""

    def __init__(
        self,
        trees: Sequence[Tree],
        extents: Extents | None,
        brought: Brought | None = None,
        *,
        ended: Callable[[], bool] = lambda: False,
    ) -> None:
        """extents: where contents can differ; None: everywhere. brought: extents count there only.

        ended(): nobody waits for an answer any more."""
        self._trees = {tree.number: tree for tree in trees}
        self._reader = Reader(extents)
        self._brought = brought
        self._ended = ended
        self._portrayer = Portrayer(extents, brought)
        self.index = Whereabouts(())
        """Of everything that was seen: of all files, once the last outline is answered."""
        self._named: set[bytes] = set()
        """In the folder whose parts are under way."""
        self._told: list[Told] = []
        self._bytes = 0

    def answer(self, outline: Outline) -> Iterator[Pictured]:
        """The last of them is the answer, what comes before are objects that did not fit into it."""
        same = bytearray()
        for part in outline.parts:
            for told in self._part(part, same):
                if self._ended():
                    raise Broken("the source asks no more")
                self.index.add(told.fid, told.tree, os.fsdecode(told.path))
                self._told.append(told)
                self._bytes += sum(len(run) for _, run in told.runs) + sum(map(len, told.xattrs.values()))
                if len(self._told) >= BATCH_OBJECTS or self._bytes >= BATCH_BYTES:
                    yield Pictured(lsn=outline.lsn, number=outline.number, objects=self._told, more=True)
                    self._told, self._bytes = [], 0
        yield Pictured(lsn=outline.lsn, number=outline.number, objects=self._told, same=bytes(same))
        self._told, self._bytes = [], 0

    def _part(self, part: Part, same: bytearray) -> Iterator[Told]:
        """same: gets a byte for each item."""
        tree, folder = self._trees[part.tree], os.fsdecode(part.folder)
        with Way(tree.descriptor) as way:
            found = way.to(f"{folder}/." if folder else ".")
            if found is None:
                same += bytes(len(part.items))
            else:
                yield from self._listed(tree, found[0], folder, part, same)
        if part.last:
            self._named = set()

    def _listed(self, tree: Tree, at: int, folder: str, part: Part, same: bytearray) -> Iterator[Told]:
        prefix = f"{folder}/" if folder else ""
        if not folder and not self._named:
            yield from self._portrayer.folder(tree, at, "")
        brought = None if self._brought is None else self._brought[tree.number]
        for item in part.items:
            name = prefix + os.fsdecode(item.leaf)
            if item.fid:
                try:
                    alike = self._reader.item(at, item.leaf, brought) == item
                except FileNotFoundError:
                    alike = False
                if alike and self._portrayer.claims(item.fid):
                    self.index.add(item.fid, tree.number, name)
                    same.append(1)
                    continue
            same.append(0)
            # What is in a folder that the source has, too, comes with its own part.
            whole = item.kind != FOLDER
            yield from self._portrayer.name(tree, at, name, beyond=False, whole=whole)
        self._named.update(item.leaf for item in part.items)
        if part.last:
            for leaf in sorted(set(map(os.fsencode, os.listdir(at))) - self._named):
                name = prefix + os.fsdecode(leaf)
                yield from self._portrayer.name(tree, at, name, beyond=True, whole=True)
