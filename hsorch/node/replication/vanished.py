"""Files that the standby has and the source lost: weighed before a comparison deletes them there (REQ-J10).

What the application deletes is a record of its own and gets across in its order. What a comparison finds to
be gone was removed past the mount, or while the standby was away: much of it at once looks like a disk that
was emptied, and then an operator decides. Changes nothing.
"""

from __future__ import annotations

import errno
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
) -> dict[str, int]:
    """By bound path the files that are gone, where they are too many.

    names: the lock under which image follows the stream. own: as many the standby may have made itself.
    Raises OSError.
    """
    gone = {}
    for tree in trees:
        known, told = 0, []
        with names:
            for node in image.files(tree.number):
                known += 1
                if not node.same:  # what was found the same is not looked at again, and so not deleted
                    told.append((node.path, node.identity))
        missing = [fid for path, fid in told if tree.look(path) is None]
        if not _too_many(len(missing), known, own):
            continue
        here = {_fid(tree, name) for name in _files(tree)}
        lost = sum(fid not in here for fid in missing)
        if _too_many(lost, known, own):
            gone[tree.binding.path] = lost
    return gone


def _too_many(gone: int, known: int, own: int) -> bool:
    lost = gone - own
    return lost > 0 and (gone == known or lost > max(FLOOR, SHARE * known))


def _files(tree: Tree) -> Iterator[str]:
    for name, what in tree.walk():
        if stat.S_ISREG(what.st_mode) and tree.covers(name):
            yield name


def _fid(tree: Tree, name: str) -> int:
    try:
        return tree.fid(name)
    except OSError as error:
        if error.errno == errno.ENOENT:  # the application goes on meanwhile
            return 0
        raise
