"""The first mirror of ordered folders: everything that is there goes into the same journal, as COPY records.

The application goes on writing meanwhile; since copies and writes of a file share its lock and the journal
has their order, the standby equals the active at MIRROR_END. No second mechanism, no pause.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence

from hsorch.node.replication.capture.files import Files
from hsorch.node.replication.capture.log import Log
from hsorch.node.replication.capture.nodes import Node, Nodes
from hsorch.node.replication.queue import DirtyMap
from hsorch.node.replication.record import Kind, pack_owner
from hsorch.node.replication.tree import Attributes, Tree, encode_attributes
from hsorch.node.replication.whereabouts import Whereabouts

PIECE_BYTES = 1024 * 1024


def copy_in(
    tree: Tree, log: Log, nodes: Nodes, files: Files, *, stopped: Callable[[], bool] = lambda: False
) -> int:
    """Record all of a tree; call between MIRROR_BEGIN and MIRROR_END. Bytes of content recorded.

    Raises OSError. stopped(): give up between two pieces; without MIRROR_END the standby stays inconsistent.
    """
    done = 0
    seen: set[int] = set()
    _root(tree, log)
    for name, what in tree.walk():
        if stopped():
            break
        try:
            if stat.S_ISDIR(what.st_mode):
                _folder(tree, log, name)
            elif stat.S_ISLNK(what.st_mode):
                _link(tree, log, name)
            elif stat.S_ISREG(what.st_mode) and tree.covers(name):
                done += _file(tree, log, nodes, files, name, seen)
        except FileNotFoundError:
            continue  # removed meanwhile; if the standby had it, the removal is in the journal
    return done


def copy_dirty(trees: Sequence[Tree], dirty: DirtyMap, log: Log, nodes: Nodes, files: Files) -> int:
    """Record what was left out (queue.py); call before MIRROR_END. Bytes recorded. Raises OSError."""
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


def _root(tree: Tree, log: Log) -> None:
    """The bound folder itself: its owner must be able to make files in it on the standby, too."""
    with log.names:
        what = os.lstat(tree.path(""))
        value = Attributes(mode=stat.S_IMODE(what.st_mode), uid=what.st_uid, gid=what.st_gid)
        with log.entry(Kind.ATTRIBUTES, aux=tree.number, data=encode_attributes(value)):
            pass


def _folder(tree: Tree, log: Log, name: str) -> None:
    if not tree.covers_folder(name):
        return
    with log.names:
        what = os.lstat(tree.path(name))
        owner = pack_owner(what.st_uid, what.st_gid)
        mode = stat.S_IMODE(what.st_mode)
        with log.entry(Kind.MAKE_DIRECTORY, aux=tree.number, path=os.fsencode(name), a=mode, b=owner):
            pass


def _link(tree: Tree, log: Log, name: str) -> None:
    if not tree.covers(name):
        return
    with log.names:
        what = os.lstat(tree.path(name))
        target, owner = os.fsencode(os.readlink(tree.path(name))), pack_owner(what.st_uid, what.st_gid)
        with log.entry(Kind.SYMLINK, aux=tree.number, path=os.fsencode(name), data=target, b=owner):
            pass


def _file(tree: Tree, log: Log, nodes: Nodes, files: Files, name: str, seen: set[int]) -> int:
    """A file seen before under another name is a further link to it."""
    node = nodes.take(tree, name, identify=True)
    try:
        return _copy(tree, log, files, name, node, seen)
    finally:
        nodes.drop(node)


def _copy(tree: Tree, log: Log, files: Files, name: str, node: Node, seen: set[int]) -> int:
    with log.names:
        if tree.fid(name) != node.fid:
            return 0  # renamed over meanwhile, which is in the journal
        kind = Kind.LINK if node.fid in seen else Kind.IDENT
        with log.entry(kind, fid=node.fid, aux=tree.number, path=os.fsencode(name)):
            pass
        if kind is Kind.LINK:
            return 0
        seen.add(node.fid)
        descriptor = os.open(tree.path(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        offset = 0
        while count := files.copy(descriptor, node, offset, PIECE_BYTES):
            offset += count
        with node.lock:
            now = os.fstat(descriptor)
            value = Attributes(
                mode=stat.S_IMODE(now.st_mode), uid=now.st_uid, gid=now.st_gid, mtime=now.st_mtime_ns
            )
            with log.entry(Kind.ATTRIBUTES, fid=node.fid, data=encode_attributes(value)):
                pass
        return offset
    finally:
        os.close(descriptor)
