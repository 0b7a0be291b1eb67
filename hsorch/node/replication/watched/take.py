"""The target of all watched bindings: takes in what the source's followers send, each on its own channel.

Who is connected is the peer (wire.py); here it is seen to that it may write: of this pair, in office, and not
behind this node's own data.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.flushing import Refusals
from hsorch.node.replication.generations import MIRRORED, meet, refusal
from hsorch.node.replication.massguard import MassGuard
from hsorch.node.replication.messages import Hello, Refused, Task
from hsorch.node.replication.receiving import Ended, Stands, serve
from hsorch.node.replication.surplus import LandingError
from hsorch.node.replication.wire import Broken, Channel


class Taker:
    """serve() each channel whose Hello names the purpose `watched`."""

    def __init__(
        self,
        bindings: Sequence[Binding],
        hello: Callable[[], Hello],
        stands: Stands,
        *,
        is_there: Callable[[Binding], None] = lambda binding: None,
        ended: Ended | None = None,
        refusals: Refusals | None = None,
    ) -> None:
        """is_there(binding) raises NodeError while the bound folder is not the one it was."""
        self._bindings = {binding.path: binding for binding in bindings}
        self._guards = {binding.path: MassGuard() for binding in bindings}
        self._hello = hello
        self._stands = stands
        self._is_there = is_there
        self._ended = ended
        self._refusals = refusals
        self._changed = threading.Condition()
        self._serving: dict[str, Channel] = {}
        """Each writes into its folder until it is taken out here, closed or not."""
        self._speaks_for: dict[Channel, tuple[int, int]] = {}
        """The epoch in whose name each connection was opened."""
        self._stopped = False

    @property
    def connected(self) -> frozenset[str]:
        """Bound paths that are being followed by the source now."""
        with self._changed:
            return frozenset(path for path, channel in self._serving.items() if not channel.closed)

    def send_away(self, epoch: tuple[int, int]) -> None:
        """Who was let in for a lower epoch than this one begins nothing more."""
        with self._changed:
            for channel, theirs in self._speaks_for.items():
                if theirs < epoch:
                    channel.close()

    def stop(self, limit_s: float) -> list[str]:
        """Nothing is written into the folders any more, but those that are returned: their disks still hold
        what was under way."""
        with self._changed:
            self._stopped = True
            for channel in {*self._serving.values(), *self._speaks_for}:
                channel.close()
            self._changed.wait_for(lambda: not self._serving, limit_s)
            return sorted(self._serving)

    def go_on(self) -> None:
        """After a stop: whoever comes again is served."""
        with self._changed:
            self._stopped = False

    def serve(self, channel: Channel, theirs: Hello) -> None:
        """Returns when the channel ends. Raises OSError, NodeError after telling the source why."""
        with self._changed:
            self._speaks_for[channel] = theirs.epoch  # before this node's epoch is looked at
        try:
            self._serve(channel, theirs)
        finally:
            self._over(channel)

    def _serve(self, channel: Channel, theirs: Hello) -> None:
        mine = self._hello()
        verdict = meet(mine.lineage, theirs.lineage)
        if theirs.job != mine.job:
            channel.send(Refused(why="this node belongs to another group"))
        elif theirs.epoch < mine.epoch:
            channel.send(Refused(why=f"epoch {theirs.epoch} is over, this node is at {mine.epoch}"))
        elif verdict.meeting in MIRRORED:
            channel.send(Refused(why=f"this node holds newer data: {verdict.reason}"))
        else:
            channel.send(mine)
            if refusal(verdict) is None:
                serve(
                    channel,
                    lambda task: self._begin(task, channel),
                    guard=self._guards,
                    stands=self._stands,
                    ended=self._ended,
                    refusals=self._refusals,
                    written=lambda: self._over(channel),
                )

    def _begin(self, task: Task, channel: Channel) -> str:
        path = task.binding.path
        if self._bindings.get(path) != task.binding:
            raise LandingError(
                f"{path} is not bound alike on both nodes",
                hint="Run hsorch apply, so that both hold the same spec.",
            )
        with self._changed:
            # The source knows best which connection is its last; what an older one brought comes first.
            while (older := self._serving.get(path, channel)) is not channel:
                older.close()
                self._changed.wait()
            if self._stopped or channel.closed:
                raise Broken("a newer connection took the place of this one, or the part is over")
            self._serving[path] = channel
        self._is_there(task.binding)
        return path

    def _over(self, channel: Channel) -> None:
        with self._changed:
            self._speaks_for.pop(channel, None)
            self._serving = {path: other for path, other in self._serving.items() if other is not channel}
            self._changed.notify_all()
