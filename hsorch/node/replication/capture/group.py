"""All ordered folders of a group under one journal: recover, mount, unmount."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from hsorch.node.replication.apply import Applier
from hsorch.node.replication.apply_names import SetAside
from hsorch.node.replication.capture.activity import Activity
from hsorch.node.replication.capture.attributes import AttributeChanges
from hsorch.node.replication.capture.files import Files
from hsorch.node.replication.capture.log import Log, Mark, Watcher
from hsorch.node.replication.capture.mount import Mount, is_mounted, unmount
from hsorch.node.replication.capture.names import Names
from hsorch.node.replication.capture.nodes import Nodes
from hsorch.node.replication.gate import Gate
from hsorch.node.replication.journal import Journal
from hsorch.node.replication.tree import Tree

_LEFTOVER = ".fuse_hidden"
"""The library's name for a file that was removed while open; without its process it is garbage."""


class Capture:
    """trees must have been opened before a mount lay over them. Not mounted until mount()."""

    def __init__(
        self,
        trees: Sequence[Tree],
        journal: Journal,
        mark: Path,
        gate: Gate,
        *,
        on_fault: Callable[[str], None],
        watcher: Watcher | None = None,
        activity: Activity | None = None,
    ) -> None:
        """on_fault(why): only a verify can tell whether both sides still agree."""
        self._trees = trees
        self._mark = Mark(mark)
        self.redone_from = self._mark.get()
        """Records from here on may not have been carried out by the process before this one."""
        self.log = Log(journal, self._mark, watcher, activity, on_fault=on_fault)
        self.nodes = Nodes(self.log)
        self.files = Files(self.log, self.nodes, gate)
        self.names = Names(self.log, self.nodes, self.files)
        self._attributes = AttributeChanges(self.log, self.nodes)
        self._mounts: list[Mount] = []

    def mount(self) -> None:
        """Raises NodeError HS683; what was mounted by then is unmounted again."""
        try:
            for tree in self._trees:
                self._drop_leftovers(tree)
                self._mounts.append(Mount(tree, self.files, self.names, self._attributes))
        except BaseException:
            self.unmount(force=True)
            raise

    def unmount(self, *, force: bool = False) -> None:
        """Raises NodeError HS684: somebody still has files open; nothing was unmounted from there on."""
        while self._mounts:
            self._mounts[-1].unmount(force=force)
            self._mounts.pop()
        self.files.close_all()

    @property
    def mounted(self) -> bool:
        """False as well when one of the mounts ended by itself."""
        return len(self._mounts) == len(self._trees) and all(
            mount.alive and is_mounted(tree.folder)
            for mount, tree in zip(self._mounts, self._trees, strict=True)
        )

    def _drop_leftovers(self, tree: Tree) -> None:
        for name in list(tree.named(_LEFTOVER)):
            self.names.unlink(tree, name)


def clear_mounts(folders: Sequence[Path]) -> None:
    """Take away the dead mounts of a process that was killed. Call before the trees are opened."""
    for folder in folders:
        while is_mounted(folder):
            unmount(folder, force=True)


def recover(trees: Sequence[Tree], journal: Journal, mark: int, set_aside: SetAside) -> int:
    """Carry out what the journal holds from `mark` on, after this process's predecessor was killed.

    Only the last record that changes names can be in doubt: they are done one at a time. Records redone.
    """
    start = max(mark, journal.first)
    if start >= journal.end:
        return 0
    tail = list(journal.records(start))
    noted = {tree.number: journal.end for tree in trees}
    noted.update({record.aux: record.lsn for record in tail if record.changes_names})
    applier = Applier(trees, set_aside, noted)
    try:
        for record in tail:
            applier.apply(record)
        applier.checkpoint()
    finally:
        applier.close()
    return len(tail)
