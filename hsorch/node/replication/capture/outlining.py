"""The source's side of a comparison's beginning: say what is here, hear what the standby has otherwise.

Both sides read their files at the same time, outline by outline, so that what is the same on both is seen
once and costs a byte. Nothing is recorded here; what is made of it is compare.py's business.

No lock is held over a file that is read here. Records are absolute: whatever of those since MIRROR_BEGIN has
reached the content that the standby found the same, carried out there again they end in the content here; a
byte that none of them touches stays as it was read. So do sizes, times and attributes. Names that changed
since are looked at again (compare.py). All of this needs that no deed of a record before is under way.
"""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from hsorch.node.replication.capture.log import Log
from hsorch.node.replication.doubt import Extents
from hsorch.node.replication.entries import FOLDER, LINK
from hsorch.node.replication.image import Image
from hsorch.node.replication.messages import Outline, Pictured
from hsorch.node.replication.outline import WINDOW, Item, Part, Reader
from hsorch.node.replication.record import Damaged, leaves
from hsorch.node.replication.tree import Tree
from hsorch.node.replication.way import Way

BATCH = 500
"""Names of one outline."""
BATCH_BYTES = 8 << 20
"""Content that is read for one outline, so that both ends read at the same time."""
LOOK_S = 0.2
DEEDS_S = 0.001


class Stopped(Exception):
    """The comparison was told to give up."""


@dataclass
class Heard:
    """What the standby has, and the names to look at: what differs here, then what only the standby has."""

    image: Image = field(default_factory=Image)
    differing: list[tuple[Tree, str]] = field(default_factory=list)
    beyond: list[tuple[Tree, str]] = field(default_factory=list)


class Outlining:
    """Of one comparison. run() once; hear() belongs to another thread."""

    def __init__(
        self,
        trees: Sequence[Tree],
        log: Log,
        *,
        extents: Extents | None = None,
        ended: Callable[[], bool] = lambda: False,
    ) -> None:
        """extents: where contents can differ at all; None: everywhere."""
        self._trees = {tree.number: tree for tree in trees}
        self._log = log
        self._reader = Reader(extents)
        self._ended = ended
        self._answers: queue.SimpleQueue[Pictured] = queue.SimpleQueue()
        self._open: dict[int, list[Part]] = {}
        """Outlines that are not answered yet."""
        self.heard = Heard()
        self.checked = 0
        """Bytes of content that were found the same."""
        self.total = 0
        """Bytes of content that are to be compared, of what was listed so far."""

    def hear(self, answer: Pictured) -> None:
        self._answers.put(answer)

    def run(self, lsn: int, say: Callable[[Outline], None]) -> None:
        """lsn: of the MIRROR_BEGIN. Raises Stopped, OSError, what say() raises, and for what no node of ours
        would answer Damaged, ValueError or KeyError."""
        self._wait_for_deeds(lsn)
        self.heard.differing += [(tree, "") for tree in self._trees.values()]
        number = 0
        for number, parts in enumerate(self._batches()):
            self._say(Outline(lsn=lsn, number=number, parts=parts), say)
        self._say(Outline(lsn=lsn, number=number + 1, parts=[], last=True), say)
        while self._open:
            self._learn()

    def _wait_for_deeds(self, lsn: int) -> None:
        """Of all records before it."""
        while self._log.settled() < lsn:
            if self._ended():
                raise Stopped
            time.sleep(DEEDS_S)

    def _say(self, outline: Outline, say: Callable[[Outline], None]) -> None:
        while len(self._open) >= WINDOW:
            self._learn()
        if self._ended():
            raise Stopped
        self._open[outline.number] = outline.parts
        say(outline)
        while not self._answers.empty():
            self._learn()

    # --------------------------------------------------------------- what is here

    def _batches(self) -> Iterator[list[Part]]:
        batch: list[Part] = []
        count = size = 0
        for tree in self._trees.values():
            for folder, items in self._scan(tree):
                raw = os.fsencode(folder)
                inside: list[Item] = []
                for item in items:
                    if count >= BATCH or size >= BATCH_BYTES:
                        yield [*batch, Part(tree.number, raw, inside, last=False)]
                        batch, inside, count, size = [], [], 0, 0
                    inside.append(item)
                    count += 1
                    size += item.size if item.digest else 0
                    size += sum(map(len, item.xattrs.values())) if item.xattrs else 0
                batch.append(Part(tree.number, raw, inside))
                count += 1
                if count >= BATCH:  # a tree may have any number of empty folders
                    yield batch
                    batch, count, size = [], 0, 0
        yield batch

    def _scan(self, tree: Tree) -> Iterator[tuple[str, Iterator[Item]]]:
        """(folder, what is in it), parents first, also of folders that are gone since they were named: what
        the standby has in them it says only then. The items are to be taken before the next folder."""
        folders = [""]
        with Way(tree.descriptor) as way:
            while folders:
                folder = folders.pop()
                yield folder, self._items(tree, way, folder, folders)

    def _items(self, tree: Tree, way: Way, folder: str, folders: list[str]) -> Iterator[Item]:
        found = way.to(f"{folder}/." if folder else ".")
        if found is None:
            return
        prefix = f"{folder}/" if folder else ""
        seen: set[bytes] = set()
        with os.scandir(found[0]) as names:
            for name in names:
                leaf, relative = os.fsencode(name.name), prefix + name.name
                if leaf in seen:  # it went and came again meanwhile, which the records tell
                    continue
                seen.add(leaf)
                if name.is_file(follow_symlinks=False):
                    if not tree.covers(relative):
                        continue
                    try:
                        item = self._reader.item(found[0], leaf)
                    except FileNotFoundError:
                        continue
                    self.total += item.size if self._reader.compares(item.fid) else 0
                    yield item
                elif name.is_dir(follow_symlinks=False):
                    folders.append(relative)
                    yield Item(leaf, FOLDER)
                elif name.is_symlink() and tree.covers(relative):
                    yield Item(leaf, LINK)

    # ---------------------------------------------------------------- what is there

    def _learn(self) -> None:
        """One message of the standby. Raises Stopped; Damaged: no node of ours says that."""
        while True:
            try:
                answer = self._answers.get(timeout=LOOK_S)
                break
            except queue.Empty:
                if self._ended():
                    raise Stopped from None
        for told in answer.objects:
            if told.path and leaves(told.path):
                raise Damaged(answer.lsn, f"the standby names {os.fsdecode(told.path)!r} in a bound folder")
            self.heard.image.add(told)
            if told.beyond:
                self.heard.beyond.append((self._trees[told.tree], os.fsdecode(told.path)))
        if answer.more:
            return
        at = 0
        for part in self._open.pop(answer.number):
            self._sort(part, answer.same[at : at + len(part.items)])
            at += len(part.items)

    def _sort(self, part: Part, same: bytes) -> None:
        folder, tree = os.fsdecode(part.folder), self._trees[part.tree]
        prefix = f"{folder}/" if folder else ""
        alike = []
        for item, is_same in zip(part.items, same, strict=True):
            if is_same:
                alike.append(item)
                self.checked += item.size if item.digest else 0
            else:
                self.heard.differing.append((tree, prefix + os.fsdecode(item.leaf)))
        if alike:
            self.heard.image.same(tree.number, folder, alike)
