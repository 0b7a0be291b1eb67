"""The target: takes the stream of the source into its spool and its bound folders.

Made by the replicator process and belonging to it; it never decides which part to play.
"""

from __future__ import annotations

import threading

from hsorch.node.replication.generations import Lineage, rejected
from hsorch.node.replication.ground import Ground
from hsorch.node.replication.messages import Hello
from hsorch.node.replication.meta import Place
from hsorch.node.replication.spool import Spool, incomplete
from hsorch.node.replication.wire import Channel


class Target:
    """Applying when made; whoever listens gives connections to serve()."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        ground.settle()
        meta = ground.meta.value
        was_source = meta.role == "source"
        if was_source and meta.generations.current and ground.folders.lacks(ground.setup.ordered):
            ground.meta.change(torn=True)  # whole, but no place in it is one that the other node knows
        ground.meta.change(
            role="target", clean=False, boot=ground.boot,
            guarded=meta.guarded and not was_source,
            promised=meta.promised or (meta.guarded and was_source),
        )  # fmt: skip
        self.spool = Spool(ground, awaited=ground.setup.level != "none")
        self._channel: Channel | None = None
        self._turn = threading.Lock()
        self._served = False
        self.spool.start()

    @property
    def connected(self) -> bool:
        """A source that was refused counts once more when something comes of it."""
        return self._served and self.spool.refusal is None

    def finish(self) -> Place:
        """For a takeover or an orderly stop: everything received is in the files. Raises OSError, Damaged."""
        place = self.spool.finish()
        self._ground.meta.change(clean=True)
        return place

    def choose(self, winner: Lineage) -> None:
        """An operator chose the other side (its choose() gave `winner`): what only this side has goes into
        the quarantine when the resync that follows would overwrite it. Durable when it returns."""
        lineage = rejected(self._ground.lineage(), winner)
        self._ground.meta.change(
            generations=lineage, consistent=False, guarded=False, keep=f"given-up-{lineage.receiving:016x}"
        )
        self.spool.hang_up()

    def must_be_whole(self) -> None:
        """Raises RefusedError HS686: the files are no picture of one moment."""
        if not self.spool.carrying.whole:
            raise incomplete()

    def serve(self, channel: Channel, hello: Hello) -> None:
        """The stream, until it ends. The source knows best which connection is its last: that one counts,
        also while this side believes in an older one. Raises Broken."""
        older, self._channel = self._channel, channel
        if older is not None:
            older.close()
        with self._turn:
            self._served = True
            try:
                self.spool.serve(channel, hello)
            finally:
                self._served = False
