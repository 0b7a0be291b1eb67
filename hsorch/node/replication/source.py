"""The source: its folders are mounted, what is done there is recorded, and a standby that connects follows.

Made by the replicator process and belonging to it; it never decides which part to play.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import msgspec

from hsorch.errors import RefusedError
from hsorch.node.replication.capture.copyin import copy_dirty, copy_in
from hsorch.node.replication.capture.group import Capture, recover
from hsorch.node.replication.gate import Gate
from hsorch.node.replication.generations import Lineage, begin, go_on_alone, reached, resynced
from hsorch.node.replication.ground import Ground, new_generation
from hsorch.node.replication.messages import Hello
from hsorch.node.replication.queue import Queue
from hsorch.node.replication.record import Kind
from hsorch.node.replication.ship import Shipper
from hsorch.node.replication.wire import Channel

POLL_S = 0.02
LINGER_S = 0.003
NEAR_BYTES = 8 * 1024 * 1024
"""A standby that lacks less than this is level enough to wait for."""


class Source:
    """Mounted and streaming when made."""

    def __init__(self, ground: Ground, dial: Callable[[], Channel], *, alone: bool) -> None:
        """dial() reaches the standby, or raises Broken.

        alone: the peer does not know of it (takeover); the data become a generation of their own.

        Raises NodeError HS683 and what the ground raises.
        """
        self._ground = ground
        self._stopped = threading.Event()
        self.gate = Gate(ground.setup.level)
        self.gate.open()  # until the standby holds a whole image (_guard)
        unclean = ground.meta.value.role == "source" and not ground.meta.value.clean
        self._name_generation(alone=alone, unsure=unclean and ground.rebooted)
        self.queue = Queue(ground.journal, lambda: self.gate.durable, ground.setup.queue_bytes)
        self.capture = Capture(
            ground.trees,
            ground.journal,
            ground.places.mark,
            self.gate,
            on_fault=self._fault,
            watcher=self.queue,
        )
        self.redone = 0
        if unclean and not ground.rebooted:
            self.redone = recover(ground.trees, ground.journal, self.capture.redone_from, ground.set_aside)
        ground.meta.change(role="source", clean=False, consistent=True, boot=ground.boot)
        self.shipper = Shipper(
            ground.journal,
            self.gate,
            dial,
            self._hello,
            lambda: threading.Thread(target=self._mirror, name="mirror", daemon=True).start(),
            linger_s=LINGER_S if ground.setup.level == "none" else 0.0,
        )
        self.mirrored_to = 0
        self.mirroring = False
        self.copied = 0
        self.capture.mount()
        self.shipper.start()
        threading.Thread(target=self._guard, name="guard", daemon=True).start()

    def thaw(self) -> None:
        """The standby was declared outdated where it can be seen (witness, operator): go on without it.

        Durably a generation of its own before the first flush answers. Raises RefusedError HS688, OSError.
        """
        if self.shipper.connected:
            raise RefusedError(
                "the standby is connected: flushes are acknowledged by it",
                hint="nothing is frozen; look at `hsorch status`",
                code="HS688",
            )
        self._name_generation(alone=True, unsure=False)
        self.gate.open()

    def choose(self) -> Lineage:
        """An operator chose this side, knowing what the other one loses; the standby is compared anew.

        Durable when it returns: the lineage that the other side's choose() needs. Raises OSError.
        """
        lineage = self._ground.choose()
        self.shipper.reconnect()
        return lineage

    def drain(self, limit_s: float) -> bool:
        """Wait until the standby applied everything. False: not in time."""
        until = time.monotonic() + limit_s
        while self.gate.applied < self._ground.journal.end or self.mirroring:
            if time.monotonic() > until:
                return False
            time.sleep(POLL_S)
        return True

    def stop(self, *, force: bool = False) -> None:
        """Raises NodeError HS684: the application still has files open; then it goes on."""
        self.capture.unmount(force=force)
        self._stopped.set()
        self.shipper.stop()
        end = self._ground.journal.sync()
        lineage = reached(self._ground.meta.value.generations, end)
        self._ground.meta.change(clean=True, generations=lineage, protected_until=self.gate.applied)

    def _name_generation(self, *, alone: bool, unsure: bool) -> None:
        ground, lineage = self._ground, self._ground.meta.value.generations
        if not lineage.current:
            lineage = begin(new_generation())
        elif alone:
            lineage = go_on_alone(lineage, new_generation(), ground.journal.end)
        lineage = msgspec.structs.replace(lineage, tail_unsure=lineage.tail_unsure or unsure)
        ground.meta.change(generations=lineage)
        if ground.journal.generation != lineage.current:
            ground.journal.begin_generation(lineage.current)

    def _hello(self) -> Hello:
        hello = self._ground.hello()
        return msgspec.structs.replace(hello, lineage=reached(hello.lineage, hello.end.lsn))

    def _mirror(self) -> None:
        log = self.capture.log
        self.mirroring = True
        try:
            log.journal.append(Kind.MIRROR_BEGIN)
            for tree in self._ground.trees:
                self.copied += copy_in(
                    tree, log, self.capture.nodes, self.capture.files, stopped=self._stopped.is_set
                )
            if not self._stopped.is_set():
                self.mirrored_to = log.journal.append(Kind.MIRROR_END).end
        except OSError as error:
            self._fault(f"the mirror stopped: {error}")
        finally:
            self.mirroring = False

    def _guard(self) -> None:
        """Once the standby applied a whole image, flushes wait for it (as far as the policy says)."""
        while not self._stopped.wait(POLL_S):
            near = self._ground.journal.end - self.gate.applied < NEAR_BYTES
            if not self.shipper.connected or self.mirroring or not near:
                continue
            if self.queue.behind:
                self._catch_up()
            elif self.gate.applied >= self.mirrored_to:
                self.gate.shut()
                lineage = self._ground.meta.value.generations
                if lineage.base is not None or lineage.tail_unsure:
                    self._ground.meta.change(generations=resynced(lineage))

    def _catch_up(self) -> None:
        capture = self.capture
        try:
            self.copied += copy_dirty(
                self._ground.trees, self.queue.level(), capture.log, capture.nodes, capture.files
            )
        except OSError as error:
            self._fault(f"the resync stopped: {error}")
            return
        self.mirrored_to = capture.log.journal.append(Kind.MIRROR_END).end
        self.queue.closed()

    def _fault(self, why: str) -> None:
        self._ground.meta.change(verify_needed=why)
