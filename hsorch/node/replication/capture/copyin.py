"""What records of writes left out (queue.py) goes into the same journal, as COPY records.

The application goes on writing meanwhile; since copies and writes of a file share its lock and the journal
has their order, the standby equals the active at MIRROR_END.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from hsorch.node.replication.capture.files import Files
from hsorch.node.replication.capture.log import Log
from hsorch.node.replication.capture.nodes import Node, Nodes
from hsorch.node.replication.capture.outlining import Stopped
from hsorch.node.replication.dirty import DirtyMap
from hsorch.node.replication.tree import Tree
from hsorch.node.replication.whereabouts import Whereabouts

PIECE_BYTES = 1024 * 1024


def copy_dirty(
    trees: Sequence[Tree],
    dirty: DirtyMap,
    log: Log,
    nodes: Nodes,
    files: Files,
    stopped: Callable[[], bool] = lambda: False,
) -> int:
    """Record what was left out (queue.py); call before MIRROR_END. Bytes recorded.

    Raises OSError, Stopped."""
    done = 0
    where = Whereabouts(trees)
    for fid in dirty.files():
        with log.names:
            node, descriptor, where = _find(trees, where, nodes, fid)
        if node is None:
            continue  # removed meanwhile, which is in the journal
        try:
            for offset, length in dirty.ranges(fid):
                for at in range(offset, offset + length, PIECE_BYTES):
                    if stopped():
                        raise Stopped
                    done += files.copy(descriptor, node, at, min(PIECE_BYTES, offset + length - at))
        finally:
            os.close(descriptor)
            nodes.drop(node)
    return done


def _find(
    trees: Sequence[Tree], where: Whereabouts, nodes: Nodes, fid: int
) -> tuple[Node | None, int, Whereabouts]:
    """The file of an identity, opened; names don't change meanwhile. A stale index is read again once."""
    for index in (where, None):
        current = index or Whereabouts(trees)
        found = current.where(fid)
        if found is None:
            continue
        tree, name = trees[found[0]], found[1]
        try:
            if tree.fid(name) == fid:
                descriptor = os.open(tree.path(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
                return nodes.take(tree, name, identify=True), descriptor, current
        except FileNotFoundError:
            continue
    return None, -1, current
