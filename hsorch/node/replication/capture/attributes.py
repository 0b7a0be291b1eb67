"""Owner, mode, times and extended attributes: of a file by its identity, of a folder or link by its name."""

from __future__ import annotations

import errno
import os
import stat

from hsorch.node.replication.capture.log import Log
from hsorch.node.replication.capture.names import special
from hsorch.node.replication.capture.nodes import Node, Nodes
from hsorch.node.replication.record import Kind
from hsorch.node.replication.tree import Attributes, Tree, encode_attributes, encode_xattr


class AttributeChanges:
    """Of all trees of a group. Methods raise OSError for the application."""

    def __init__(self, log: Log, nodes: Nodes) -> None:
        self._log = log
        self._nodes = nodes

    def change(self, tree: Tree, relative: str, value: Attributes) -> None:
        """Of a file by its identity, of a folder or link by its name."""
        what = os.lstat(tree.path(relative))
        if stat.S_ISREG(what.st_mode):
            with self._nodes.using(tree, relative) as node:
                if node.fid:
                    self._of_file(node, tree, relative, value)
                else:
                    tree.set_attributes(relative, value)
            return
        with self._log.names:
            if self._passes(tree, relative, what):
                tree.set_attributes(relative, value)
                return
            with self._log.entry(
                Kind.ATTRIBUTES, aux=tree.number, path=os.fsencode(relative), data=encode_attributes(value)
            ):
                tree.set_attributes(relative, value)

    def change_xattr(self, tree: Tree, relative: str, name: str, value: bytes | None, flags: int) -> None:
        """value None: remove it."""
        what = os.lstat(tree.path(relative))

        def carry_out() -> None:
            if value is None:
                os.removexattr(tree.path(relative), name, follow_symlinks=False)
            else:
                os.setxattr(tree.path(relative), name, value, flags, follow_symlinks=False)

        _must_fit(tree, relative, name, value, flags)
        data = encode_xattr((os.fsencode(name), value))
        if stat.S_ISREG(what.st_mode):
            with self._nodes.using(tree, relative) as node, node.lock:
                if node.fid == 0:
                    carry_out()
                    return
                with self._log.entry(Kind.XATTR, fid=node.fid, data=data):
                    carry_out()
            return
        with self._log.names:
            if self._passes(tree, relative, what):
                carry_out()
                return
            with self._log.entry(Kind.XATTR, aux=tree.number, path=os.fsencode(relative), data=data):
                carry_out()

    def _of_file(self, node: Node, tree: Tree, relative: str, value: Attributes) -> None:
        with node.lock:
            with self._log.entry(Kind.ATTRIBUTES, fid=node.fid, data=encode_attributes(value)):
                tree.set_attributes(relative, value)
            if value.mtime is not None:
                node.written = False

    def _passes(self, tree: Tree, relative: str, what: os.stat_result) -> bool:
        if stat.S_ISDIR(what.st_mode):
            return not tree.covers_folder(relative)
        return special(what) or not tree.covers(relative)


def _must_fit(tree: Tree, relative: str, name: str, value: bytes | None, flags: int) -> None:
    """The refusals of setxattr(2) and removexattr(2) that can be known before."""
    present = name in os.listxattr(tree.path(relative), follow_symlinks=False)
    if value is not None and present and flags & os.XATTR_CREATE:
        raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
    if not present and (value is None or flags & os.XATTR_REPLACE):
        raise OSError(errno.ENODATA, os.strerror(errno.ENODATA))
