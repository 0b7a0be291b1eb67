"""The target: listens, takes the stream of the source into its spool and its bound folders.

Made by the replicator process and belonging to it; it never decides which part to play.
"""

from __future__ import annotations

import contextlib
import threading

from hsorch.errors import RefusedError
from hsorch.node.replication.apply import Applier
from hsorch.node.replication.generations import Lineage, rejected
from hsorch.node.replication.ground import Ground
from hsorch.node.replication.messages import Hello
from hsorch.node.replication.meta import Place
from hsorch.node.replication.spool import Spool
from hsorch.node.replication.wire import Broken, Listener

SYNC_EVERY_S = 0.2


class Target:
    """Listening and applying when made."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self.applier = Applier(ground.trees, ground.set_aside)
        ground.meta.change(role="target", clean=False, boot=ground.boot)
        pause = SYNC_EVERY_S if ground.setup.level == "none" else 0.0
        self.spool = Spool(
            ground.journal, self.applier, ground.meta, ground.hello, ground.empty, sync_every_s=pause
        )
        self._listener = Listener(ground.setup.address, ground.setup.port, ground.places.keys)
        self.connected = False
        self.spool.start()
        self._thread = threading.Thread(target=self._serve, name="listener", daemon=True)
        self._thread.start()

    def finish(self) -> Place:
        """For a takeover or an orderly stop: everything received is in the files. Raises OSError, Damaged."""
        self._listener.close()
        place = self.spool.finish()
        self.applier.close()
        self._ground.meta.change(clean=True)
        return place

    def choose(self, winner: Lineage) -> None:
        """An operator chose the other side (its choose() gave `winner`): what only this side has goes into
        the quarantine when the resync that follows would overwrite it. Durable when it returns."""
        meta = self._ground.meta
        meta.change(generations=rejected(self._ground.lineage(), winner))
        self.spool.hang_up()

    def must_be_whole(self) -> None:
        """Raises RefusedError HS686: the files are no picture of one moment."""
        if not self._ground.meta.value.consistent:
            raise RefusedError(
                "the data on this node are incomplete: a mirror or resync was under way",
                hint="bring the other node back and let it finish; `hsorch status` shows how much is left",
                code="HS686",
            )

    def _serve(self) -> None:
        while not self._listener.closed:
            with contextlib.suppress(Broken):
                channel = self._listener.accept(1.0)
                if channel is None:
                    continue
                frame = channel.receive(10)
                if frame is None or not isinstance(frame.message, Hello):
                    channel.close()
                    continue
                self.connected = True
                try:
                    self.spool.serve(channel, frame.message)
                finally:
                    self.connected = False
