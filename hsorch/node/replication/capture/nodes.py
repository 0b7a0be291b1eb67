"""Files that are open or being changed: one lock and one identity each, however many handles and names.

A file gets its identity with the first change that is recorded: a record IDENT, then the attribute on the
file. What is not covered by the binding has none, and what is done to it is passed through.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from hsorch.node.replication.capture.log import Log
from hsorch.node.replication.entries import fid_of, set_fid
from hsorch.node.replication.record import Kind, new_fid
from hsorch.node.replication.tree import Tree


@dataclass
class Node:
    """fid 0: not replicated."""

    fid: int
    key: tuple[int, int]
    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0
    written: bool = False
    """Written through a handle since its times were last recorded."""


class Nodes:
    """The table of one group."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._table: dict[tuple[int, int], Node] = {}

    def take(self, tree: Tree, relative: str, *, identify: bool) -> Node:
        """The node of an existing file; give it back with drop(). Raises OSError.

        identify: it is about to change, so it must have an identity where it is covered.
        """
        what = os.lstat(tree.path(relative))
        node = self._enter((what.st_dev, what.st_ino))
        try:
            if node.fid == 0:
                node.fid = tree.fid(relative)  # also by a name that is not covered: it may have one that is
                if node.fid == 0 and identify and tree.covers(relative):
                    node.fid = self._identify(tree, relative)
        except BaseException:
            self.drop(node)
            raise
        return node

    @contextmanager
    def using(self, tree: Tree, relative: str) -> Iterator[Node]:
        """A node for one change by name."""
        node = self.take(tree, relative, identify=True)
        try:
            yield node
        finally:
            self.drop(node)

    def mark(self, descriptor: int) -> int:
        """The identity of an open file, made where it has none, without a record: for a standby that is told
        of it by its name. Raises OSError."""
        if fid := fid_of(descriptor):
            return fid
        with self._log.names:
            try:
                set_fid(descriptor, fid := new_fid(), os.XATTR_CREATE)
            except FileExistsError:
                return fid_of(descriptor)
            return fid

    def renew(self, node: Node, tree: Tree, relative: str) -> None:
        """The file has another identity from now on; the caller holds its lock and tells. Raises OSError."""
        fid = new_fid()
        tree.set_fid(relative, fid)
        node.fid = fid

    def born(self, descriptor: int, fid: int) -> Node:
        """The node of a file that was just made."""
        what = os.fstat(descriptor)
        node = self._enter((what.st_dev, what.st_ino))
        node.fid = fid
        return node

    def drop(self, node: Node) -> None:
        with self._lock:
            node.users -= 1
            if node.users == 0:
                del self._table[node.key]

    def _enter(self, key: tuple[int, int]) -> Node:
        with self._lock:
            node = self._table.get(key)
            if node is None:
                node = self._table[key] = Node(0, key)
            node.users += 1
            return node

    def _identify(self, tree: Tree, relative: str) -> int:
        with self._log.names:
            known = tree.fid(relative)
            if known:
                return known
            with self._log.entry(Kind.IDENT, fid=None, aux=tree.number, path=os.fsencode(relative)) as record:
                tree.set_fid(relative, record.fid)
            return record.fid
