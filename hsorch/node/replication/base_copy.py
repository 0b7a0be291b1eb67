"""The base copy: ordered folders brought to a standby whose own files count for nothing, before its stream
begins, in the way of watched folders and at their speed.

No picture of one moment, as the application goes on meanwhile: a resync follows it, from where the journal
stood when it began. Names are compared there in any case, contents where a record since then touches them,
or where this copy did not bring or find them: what no record touched was read as it has been all the while.
PostgreSQL's base backup and its log work alike. Source and target are both here.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable, Container, Sequence

import msgspec

from hsorch.node.replication.ahead import Ahead
from hsorch.node.replication.capture.log import Log
from hsorch.node.replication.capture.nodes import Nodes
from hsorch.node.replication.doubt import Brought
from hsorch.node.replication.flushing import Refusals
from hsorch.node.replication.landing import Landing
from hsorch.node.replication.massguard import MassGuard
from hsorch.node.replication.messages import Bare, Begin, Bring, Message, Refused, Task
from hsorch.node.replication.mirror import Mirror, refused
from hsorch.node.replication.placing import Keep, Stood
from hsorch.node.replication.progress import Figures, Progress
from hsorch.node.replication.tree import Tree
from hsorch.node.replication.wire import Broken, Channel, Frame

ANSWER_S = 30.0
"""A standby may have to finish what it was about first."""


class BaseCopy:
    """At the source. run() until it comes to its end; figures may be read meanwhile."""

    def __init__(self, trees: Sequence[Tree], log: Log, nodes: Nodes) -> None:
        self._trees = trees
        self._log = log
        self._nodes = nodes
        self._number = secrets.randbits(63)
        self._since: int | None = None
        self._progress: list[Progress] = []

    def run(self, channel: Channel, on_begin: Callable[[], None]) -> int:
        """The lsn from which on records may touch what was copied, also in a run that broke off before.
        on_begin(): nobody counts on the standby. Raises MirrorError, Broken, OSError."""
        bare = self._open(channel)
        on_begin()
        self._progress = []
        since = self._since = self._log.settled() if self._since is None else self._since
        for tree in self._trees:
            self._progress.append(Progress())
            Mirror(
                channel,
                tree.path(""),
                Task(
                    binding=tree.binding,
                    mode="quick" if tree.number in bare else "content",
                    confirmed=True,
                    tree=tree.number,
                ),
                progress=self._progress[-1],
                fid=self._nodes.mark,
            ).run()
        return since

    def _open(self, channel: Channel) -> list[int]:
        """Folders without a file."""
        channel.send(Bring(number=self._number))
        frame = channel.receive(ANSWER_S)
        if frame is not None and isinstance(frame.message, Refused):
            raise refused("a base copy", frame.message.why)
        if frame is None or not isinstance(frame.message, Bare):
            raise Broken("the standby takes no base copy")
        return frame.message.trees

    def figures(self) -> list[Figures]:
        """Of each folder that was begun."""
        return [progress.figures() for progress in list(self._progress)]


class Taking:
    """At the standby: from the first Task to the Begin of the stream."""

    def __init__(
        self, trees: Sequence[Tree], ahead: Ahead, reply: Callable[[Message], None], refusals: Refusals
    ) -> None:
        self._trees = {tree.number: tree for tree in trees}
        self._ahead = ahead
        self._reply = reply
        self._refusals = refusals
        self._equal: set[int] = set()
        self.next: Frame | None = None
        """The first frame that did not belong to the base copy, once take() has returned."""

    def bare(self) -> Bare:
        """Raises OSError."""
        return Bare(trees=[number for number, tree in self._trees.items() if tree.is_bare()])

    def take(self, keep: Keep | None, brought: Brought, came: Brought) -> bool:
        """Whether everything was brought. keep: where that goes which would be lost; None: nothing would.
        brought: by runs of this copy that broke off; came: by any copy, so that they are nobody's only ones.
        Both are added to. Raises Broken, OSError, NodeError."""
        self.next = self._ahead.next()
        while self.next is None or isinstance(self.next.message, Task):
            if self.next is not None and isinstance(self.next.message, Task):
                self.next = self._land(self.next.message, keep, brought, came)
            else:
                self.next = self._ahead.next()
        return self._equal == self._trees.keys()

    def _land(self, task: Task, keep: Keep | None, brought: Brought, came: Brought) -> Frame:
        """One folder. The frame that follows it."""
        tree = self._tree(task)
        here, ever = brought.setdefault(tree.number, set()), came.setdefault(tree.number, set())
        if not _has_own(tree, ever):
            keep = None

        def keep_own(root: str, relative: str) -> None:
            inode = os.lstat(f"{root}/{relative}").st_ino
            if keep and inode not in here and inode not in ever:
                keep(root, relative)

        landing = Landing(
            str(tree.folder), msgspec.structs.replace(task, binding=tree.binding), self._reply,
            guard=MassGuard(), stood=Stood(keep and keep_own), refusals=self._refusals, brought=here,
        )  # fmt: skip
        try:
            while (frame := self._ahead.next()) is None or not isinstance(frame.message, Begin | Task):
                if frame is not None:
                    landing.take(frame.message, frame.body)
        finally:
            landing.close()
            ever |= here
        if landing.equal:
            # What had a name that the source gave up or took up meanwhile: the resync would overwrite it.
            for name, what in tree.walk() if keep else ():
                if stat.S_ISREG(what.st_mode) and tree.covers(name):
                    keep_own(str(tree.folder), name)
            self._equal.add(tree.number)
        return frame

    def _tree(self, task: Task) -> Tree:
        tree = None if task.tree is None else self._trees.get(task.tree)
        if tree is None or task.survey:
            raise Broken("the source speaks of a folder that is not bound here")
        return tree


def _has_own(tree: Tree, came: Container[int]) -> bool:
    """Whether anything lies there that no copy brought."""
    return any(
        not stat.S_ISDIR(what.st_mode) and tree.covers(name) and what.st_ino not in came
        for name, what in tree.walk()
    )
