"""Files that the standby has and the source lost: weighed before a comparison deletes them there (REQ-J10).

What the application deletes is a record of its own and gets across in its order. What a comparison finds to
be gone was removed past the mount, or while the standby was away: much of it at once looks like a disk that
was emptied, and then an operator decides. Changes nothing.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager

from hsorch.node.replication.image import Image
from hsorch.node.replication.tree import Tree

SHARE, FLOOR = 0.25, 10
"""Of the files of a folder that both nodes had so many may be gone, and in any case so many; never all."""


class Vanished(Exception):
    """files: by bound path, how many are gone."""

    def __init__(self, files: dict[str, int]) -> None:
        super().__init__(f"files are gone here that the standby has: {files}")
        self.files = files


def weigh(
    trees: Sequence[Tree], image: Image, names: AbstractContextManager[object], own: int = 0
) -> tuple[int, dict[str, int]]:
    """Bytes of content here; and by bound path the files that are gone, where they are too many.

    names: the lock under which image follows the stream. own: as many the standby may have made itself.
    Raises OSError.
    """
    size, gone = 0, {}
    for tree in trees:
        there = 0
        for name, what in _files(tree):
            size += what.st_size
            with names:
                node = image.at(tree.number, name)
            there += node is not None and node.identity > 0
        with names:
            known = [(node.path, node.identity) for node in image.files(tree.number)]
        if not _too_many(len(known) - there, len(known), own):
            continue
        here = {_fid(tree, name) for name, _ in _files(tree)}
        lost = [path for path, fid in known if fid not in here and tree.look(path) is None]
        if _too_many(len(lost), len(known), own):
            gone[tree.binding.path] = len(lost)
    return size, gone


def _too_many(gone: int, known: int, own: int) -> bool:
    lost = gone - own
    return lost > 0 and (gone == known or lost > max(FLOOR, SHARE * known))


def _files(tree: Tree) -> Iterator[tuple[str, os.stat_result]]:
    for name, what in tree.walk():
        if stat.S_ISREG(what.st_mode) and tree.covers(name):
            yield name, what


def _fid(tree: Tree, name: str) -> int:
    try:
        return tree.fid(name)
    except OSError as error:
        if error.errno == errno.ENOENT:  # the application goes on meanwhile
            return 0
        raise
