"""The source: its folders are mounted, what is done there is recorded, and a standby that connects follows.

Made by the replicator process and belonging to it; it never decides which part to play.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

from hsorch.errors import NodeError, RefusedError
from hsorch.node.replication.capture.activity import Activity
from hsorch.node.replication.capture.callers import was_killed
from hsorch.node.replication.capture.copyin import copy_dirty
from hsorch.node.replication.capture.group import Capture
from hsorch.node.replication.capture.outlining import Stopped
from hsorch.node.replication.gate import Gate
from hsorch.node.replication.generations import Lineage, begin, go_on_alone, resynced
from hsorch.node.replication.ground import Ground, new_generation
from hsorch.node.replication.levelling import JOIN_S, Levelling
from hsorch.node.replication.messages import Guarded
from hsorch.node.replication.orders import HEARD_WITHIN_S
from hsorch.node.replication.pace import paced
from hsorch.node.replication.queue import Queue
from hsorch.node.replication.record import Damaged, Kind
from hsorch.node.replication.reserve import Reserve
from hsorch.node.replication.ship import ANSWER_S, Shipper
from hsorch.node.replication.spool import Spool, incomplete
from hsorch.node.replication.stage import LEFT_OUT
from hsorch.node.replication.wire import Broken, Channel

POLL_S = 0.02
LINGER_S = 0.003
AGAIN_S = 2.0
PAUSES_S = (0.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 120.0)
"""After each comparison that failed, one after the other: a bad sector may be in its way each time."""
NOBODY_S = 5.0
"""A standby that is not connected for so long is not waited for: who stops the group wants it stopped."""
NEAR_BYTES = 8 * 1024 * 1024
"""A standby that lacks less than this is level enough to wait for."""


class Source:
    """Mounted and streaming when made."""

    def __init__(self, ground: Ground, dial: Callable[[], Channel], *, alone: bool) -> None:
        """dial() reaches the standby, or raises Broken.

        alone: the peer does not know of it (takeover); the data become a generation of their own.

        Raises NodeError HS683, RefusedError HS686 and what the ground raises.
        """
        self._ground = ground
        self._stopped = threading.Event()
        self.redone = made_whole(ground)
        before, level = ground.meta.value, ground.setup.level
        self.gate = Gate(level, was_killed)
        # A source that was guarded is so again at once: its standby counts as complete all the while.
        told = before.promised or (before.guarded and before.role == "source")
        guarded = told and not alone and level != "none"
        if not guarded:
            self.gate.open()
        # What a target may lack of the source before it is told apart by a generation of its own; where it
        # lacks nothing the other side simply follows (ship.py).
        self._name_generation(alone=alone or before.role == "target")
        ground.folders.share(ground.setup.ordered)
        self.queue = _queue(ground, self.gate)
        self._activity = Activity(
            ground.hot, ground.journal, ground.trees,
            unsure=ground.lineage().tail_unsure, on_refusal=ground.files_refused,
        )  # fmt: skip
        self.capture = Capture(
            ground.trees, ground.journal, ground.places.mark, self.gate,
            on_fault=self._fault, watcher=self.queue, activity=self._activity,
        )  # fmt: skip
        ground.meta.change(
            role="source", clean=False, consistent=True, guarded=guarded, promised=False, torn=False,
            boot=ground.boot,
        )  # fmt: skip
        self.levelling = Levelling(
            ground.trees, self.capture, self.queue, self.gate, lambda: self._activity.unsure,
            on_begin=self._unguarded, on_end=self._equal, on_fault=self._begin_again,
            on_held=self._hold_stream,
        )  # fmt: skip
        self.shipper = Shipper(
            ground.journal, self.gate, dial, ground.hello, self.levelling, on_damage=self._fault,
            linger_s=LINGER_S if level == "none" else 0.0,
        )  # fmt: skip
        self._may_guard = True
        self._no_room = ""
        self._naming = threading.Lock()
        """Held while this side's generation changes by whether the standby is there."""
        self._promising = threading.Lock()
        """Held while the standby is told what it counts as."""
        self._said = 0
        self._said_on = 0
        """The connection over which the standby was told last that it is complete."""
        self._dirty_copied = 0
        self._caught_up_at = 0
        self._unsure_at = 0
        """Where the journal ended when a fault was noted last: a comparison that began later heals it."""
        self._failures = 0
        """Comparisons that failed one after the other."""
        self.trouble = ""
        """Why the last comparison, or what else makes the standby level, did not come to its end."""
        self.capture.mount()
        self._activity.start(self.capture.log.oldest)
        self.shipper.start()
        self._guarding = threading.Thread(target=self._guard, name="guard", daemon=True)
        self._guarding.start()

    @property
    def mirroring(self) -> bool:
        """The standby is being made equal, and is not yet."""
        return self.levelling.running or self.gate.applied < self.levelling.ends_at

    @property
    def copied(self) -> int:
        """Bytes of content that were sent because they differed."""
        return self._dirty_copied + self.levelling.copied

    def thaw(self) -> None:
        """The standby was declared outdated where it can be seen (witness, operator): go on without it.

        Durably a generation of its own before the first flush answers. Raises RefusedError HS688, OSError.
        """
        with self._naming:
            if self.shipper.streaming:
                raise RefusedError(
                    "the standby is connected: flushes are acknowledged by it",
                    hint="nothing is frozen; look at `hsorch status`",
                    code="HS688",
                )
            try:
                self._name_generation(alone=True)
            except OSError:  # the disk may be full, and who flushes waits for this
                self.queue.cram()
                self._name_generation(alone=True)
        self.shipper.reconnect()  # a standby that takes in a base copy was told of the generation before
        self._let_flush()

    def unguard(self, limit_s: float = ANSWER_S) -> bool:
        """Go on without promising that the standby is complete, once it knows. False: it did not answer."""
        until = time.monotonic() + limit_s
        with contextlib.suppress(Broken), self._promising:
            self._may_guard = False
            number = self._say(on=False)
            self._said_on = 0
            while self.shipper.answered < number and self.shipper.streaming and time.monotonic() < until:
                time.sleep(POLL_S)
            if self.shipper.answered >= number:
                self._unguarded()
        return not self.gate.guards

    def guard(self) -> None:
        """After unguard(): promise it again as soon as that is true."""
        self._may_guard = True

    def hold(self, why: str) -> None:
        """Replication stops and takes no more of the disk: nothing is sent, only places of changes are noted.

        Where flushes are guarded that is only so once the standby knows; one that does not answer has to be
        declared outdated first (thaw)."""
        self.queue.held = True
        self.unguard()
        self._no_room = why
        self._hold_stream()

    def release(self) -> None:
        """After hold(): go on."""
        self.queue.held = False
        self.guard()
        self._no_room = ""
        self._hold_stream()

    def abort(self) -> None:
        """Flushes that wait for the standby fail with EIO, so that a service that must stop can."""
        self.gate.abort()

    def verify(self) -> None:
        """Compare all data with the standby, and repair what differs."""
        self.levelling.verify()

    def confirm(self, path: str) -> None:
        """Deletions that are held back from the standby are meant; path empty: in every folder."""
        self.levelling.confirm(path)
        self._hold_stream()

    def choose(self) -> Lineage:
        """An operator chose this side, knowing what the other one loses; the standby is compared anew.

        Durable when it returns: the lineage that the other side's choose() needs. Raises OSError.
        """
        with self._naming:
            lineage = self._ground.choose()
        self.levelling.stop()  # what a resync before this brought is no place to go on from
        self.shipper.reconnect()
        return lineage

    def drain(self, limit_s: float) -> bool:
        """Wait until the standby applied everything. False: not in time, or nobody is there to wait for."""
        until = time.monotonic() + limit_s
        alone_until = time.monotonic() + NOBODY_S
        while self.gate.applied < self._ground.journal.end or self.mirroring or self.queue.behind:
            now = time.monotonic()
            there = self.shipper.connected or self.levelling.bringing
            alone_until = now + NOBODY_S if there else alone_until
            if now > min(until, alone_until):
                return False
            time.sleep(POLL_S)
        return True

    def stop(self, *, force: bool = False) -> None:
        """force: what still waits for the standby fails, and the folders are taken away from who uses them.

        Raises NodeError HS684: the application still has files open; then it goes on.
        """
        if force:
            self.gate.abort()
        try:
            self.capture.unmount(force=force)
        except NodeError:
            self.gate.resume()
            raise
        self._stopped.set()
        self.levelling.stop()  # at once: the shipper's listener waits for nothing then
        self.shipper.stop()
        self.levelling.close()
        self._guarding.join(JOIN_S)
        self._activity.stop()
        self._ground.rest(self._ground.meta.value.generations)
        self._ground.meta.change(protected_until=self.gate.applied)

    def _hold_stream(self) -> None:
        """Or let it go on, when nothing is in its way any more."""
        gone = "files are gone here that the standby has" if self.levelling.parts else ""
        self.shipper.hold(self._no_room or gone)

    def _name_generation(self, *, alone: bool) -> None:
        ground, lineage = self._ground, self._ground.lineage()
        if not lineage.current:
            lineage = begin(new_generation())
        elif alone:
            lineage = go_on_alone(lineage, new_generation(), ground.journal.end)
        ground.meta.change(generations=lineage)
        if ground.journal.generation != lineage.current:
            ground.journal.begin_generation(lineage.current)

    # ------------------------------------------------------------------- guarding

    def _guard(self) -> None:
        """Once the standby applied a whole image, flushes wait for it (as far as the policy says)."""
        failed = ""
        while not self._stopped.wait(POLL_S):
            try:
                self._take_the_streams_place()
                near = self._ground.journal.end - self.gate.applied < NEAR_BYTES
                if not self.shipper.connected or self.mirroring or not near:
                    continue
                if self.queue.behind and not self.levelling.running:
                    self._catch_up()
                elif self.gate.applied >= self._caught_up_at:
                    self._level()
                    self.levelling.turn()
                if self.trouble == failed:
                    self.trouble = ""
            except Broken:
                continue
            except Stopped:
                return
            except Exception as error:  # told, and tried again: nobody else makes the standby level
                self.trouble = failed = f"the resync stopped: {error!r}"
                self._stopped.wait(AGAIN_S)

    def _level(self) -> None:
        """The standby is equal but for what is on its way."""
        meta, shipper = self._ground.meta, self.shipper
        with self._naming:
            if not shipper.connected:
                return  # since it was looked at: what it was level with may have been gone on from alone
            lineage = meta.value.generations
            if lineage.base is not None or lineage.tail_unsure:
                meta.change(generations=resynced(lineage))
                self._activity.forget()
        if self._ground.setup.level == "none":
            return
        if shipper.peer_guarded and self.gate.guards:
            return
        with self._promising:
            if not self._may_guard:
                return
            # First this side's promise, which outlives it; then flushes wait; then the standby counts on it.
            meta.change(guarded=True)
            self.gate.shut()
            if self._said_on != shipper.connections:
                self._said_on = shipper.connections
                self._say(on=True)

    def _take_the_streams_place(self) -> None:
        """A verify would wait for ever for a standby that cannot carry out what it has, as others changed its
        files: the stream begins anew, and everything is compared in its place."""
        if self.shipper.connected and self.shipper.peer_astray and self.levelling.verifying:
            self.levelling.begin_anew()
            self.shipper.reconnect()

    def _say(self, *, on: bool) -> int:
        """The number that the standby answers with. Raises Broken."""
        self._said += 1
        self.shipper.say(Guarded(on=on, number=self._said, lsn=self._ground.journal.end if on else 0))
        return self._said

    def _unguarded(self) -> None:
        """The standby does not count as complete any more, and has said so."""
        # Its agent asks now and then: until it knows, it might take over as if nothing were missing.
        # Where this part ends meanwhile, the promise outlives it.
        if not self.gate.guards or not self._stopped.wait(HEARD_WITHIN_S):
            self._let_flush()

    def _let_flush(self) -> None:
        self.gate.open()
        self._ground.meta.change(guarded=False)

    def _equal(self, compared: bool, whole_from: int) -> None:
        """A comparison came to its end."""
        self._failures, self.trouble = 0, ""
        if whole_from >= self._unsure_at:
            self._ground.meta.change(verify_needed="")
        if compared:
            self._ground.meta.change(verified_ns=time.time_ns())

    def _begin_again(self, why: str) -> None:
        self.trouble = why
        met = self.shipper.connections
        pause_s = PAUSES_S[min(self._failures, len(PAUSES_S) - 1)]
        self._failures += 1
        stopped = self._stopped.wait(pause_s)
        if not (stopped or self.levelling.bringing) and self.shipper.connections == met:
            self.shipper.reconnect()

    def _catch_up(self) -> None:
        capture, queue = self.capture, self.queue
        dirty, begun_at = queue.level(), queue.owed_at
        self._dirty_copied += copy_dirty(
            self._ground.trees, dirty, capture.log, capture.nodes, capture.files,
            paced(self._ground.journal, self.gate, self._stopped.is_set),
        )  # fmt: skip
        self._caught_up_at = capture.log.journal.append(Kind.MIRROR_END, a=LEFT_OUT, b=begun_at).end
        queue.closed()

    def _fault(self, why: str) -> None:
        self._unsure_at = self._ground.journal.end
        self._ground.meta.change(verify_needed=why)


def _queue(ground: Ground, gate: Gate) -> Queue:
    """Raises OSError."""
    reserve = Reserve(ground.places.reserve)
    try:
        return Queue(ground.journal, gate, reserve, ground.owed, ground.setup.queue_bytes)
    except Damaged:  # what was left out, too, can only be found by a comparison
        ground.forget_records()
        return Queue(ground.journal, gate, reserve, ground.owed, ground.setup.queue_bytes)


def made_whole(ground: Ground) -> int:
    """Whatever part was played here before, and however it ended, the files are whole from now on, and the
    journal ends where they do. Records done again. Raises RefusedError HS686, OSError, Damaged; that also
    once when what had counted as complete turns out not to be: who asked must know before asking again."""
    redone = ground.settle()
    meta = ground.meta.value
    if meta.role == "none":
        ground.rest(meta.generations)  # whoever wrote what lies here may not have waited for the disk
    if meta.role == "target":
        if ground.lost_promised:
            raise Damaged(ground.journal.end, ground.lost_promised)
        ground.drop_stage()
        if not meta.clean:
            Spool(ground).finish()
        ground.drop_held()
        if not ground.meta.value.consistent:
            raise incomplete()
    return redone
