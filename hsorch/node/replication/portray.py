"""The standby's side of a comparison: tell what is in the bound folders, while nothing there changes.

What the source does with it is capture/compare.py's business.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence

from hsorch.node.replication.doubt import Extents
from hsorch.node.replication.entries import FILE, FOLDER, LINK, xattrs_of
from hsorch.node.replication.extents import data_extents
from hsorch.node.replication.image import MORE, Told
from hsorch.node.replication.tree import Tree
from hsorch.node.replication.verify import BLOCK, Hasher, aligned, segments

BATCH_OBJECTS = 1000
BATCH_DIGESTS = 1024 * 1024


def portray(trees: Sequence[Tree], extents: Extents | None = None) -> Iterator[list[Told]]:
    """Everything covered, in batches. extents None: all contents are compared. Raises OSError."""
    batch: list[Told] = []
    digests = 0
    for told in _all(trees, extents):
        batch.append(told)
        digests += sum(len(run) for _, run in told.runs)
        if len(batch) >= BATCH_OBJECTS or digests >= BATCH_DIGESTS:
            yield batch
            batch, digests = [], 0
    yield batch


def _all(trees: Sequence[Tree], extents: Extents | None) -> Iterator[Told]:
    hasher = Hasher()
    for tree in trees:
        yield _told(tree, "", FOLDER, os.lstat(tree.path("")))
        seen: set[int] = set()
        for name, what in tree.walk():
            if stat.S_ISDIR(what.st_mode) and tree.covers_folder(name):
                yield _told(tree, name, FOLDER, what)
            elif stat.S_ISLNK(what.st_mode) and tree.covers(name):
                yield _told(tree, name, LINK, what)
            elif stat.S_ISREG(what.st_mode) and tree.covers(name):
                again = what.st_ino in seen
                seen.add(what.st_ino)
                yield from _file(tree, name, what, hasher, extents, again=again)


def _told(tree: Tree, name: str, kind: int, what: os.stat_result, **fields: object) -> Told:
    path = tree.path(name)
    return Told(
        tree.number, os.fsencode(name), kind, inode=what.st_ino, mode=stat.S_IMODE(what.st_mode),
        uid=what.st_uid, gid=what.st_gid, mtime_ns=what.st_mtime_ns, size=what.st_size,
        to=os.fsencode(os.readlink(path)) if kind == LINK else b"",
        xattrs={} if kind == LINK else xattrs_of(path), **fields,  # type: ignore[arg-type]
    )  # fmt: skip


def _file(
    tree: Tree, name: str, what: os.stat_result, hasher: Hasher, extents: Extents | None, *, again: bool
) -> Iterator[Told]:
    """again: a further name of a file whose content was told."""
    fid = tree.fid(name)
    whole = extents is None or not fid
    yield _told(tree, name, FILE, what, fid=fid, whole=whole)
    if again:
        return
    descriptor = os.open(tree.path(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if extents is None or whole:
            wanted = block_extents(descriptor, what.st_size)
        else:
            wanted = ((begin, min(end, what.st_size)) for begin, end in extents.get(fid, ()))
        for extent in wanted:
            for begin, end in segments(*extent):
                run = hasher.blocks(descriptor, begin, end)
                if run:
                    yield Told(tree.number, os.fsencode(name), MORE, runs=[(begin // BLOCK, run)])
    finally:
        os.close(descriptor)


def block_extents(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """Where a file has data, widened to whole blocks and never twice the same."""
    done = 0
    for extent in data_extents(descriptor, 0, size):
        begin, end = aligned(extent, size)
        if end > done:
            yield max(begin, done), end
            done = -(-end // BLOCK) * BLOCK
