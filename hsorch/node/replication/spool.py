"""The standby's side of the stream: records into the spool, acknowledged, then into the bound folders.

Three ends, none of which is ever before the one that follows: received (in the spool), durable (on stable
storage), applied (in the files). So files that a power cut meets are never ahead of what the spool still has:
they are made whole from it, up to one moment. Only what can't be whole yet goes past it (bypass.py). The
spool outlives this process; what it holds is applied from the checkpoint on when it starts again. What a
resync means for the files is resync.py's business.
"""

from __future__ import annotations

import contextlib
import threading
import time

from hsorch.errors import HsorchError, RefusedError
from hsorch.node.replication.ahead import Ahead
from hsorch.node.replication.bypass import Bypass
from hsorch.node.replication.generations import reached
from hsorch.node.replication.ground import Ground
from hsorch.node.replication.messages import Ack, Begin, Data, Guarded, Hello, Refused
from hsorch.node.replication.meta import Place
from hsorch.node.replication.record import Damaged, Record
from hsorch.node.replication.resync import Receiving
from hsorch.node.replication.wire import Broken, Channel

CHECKPOINT_BYTES = 64 * 1024 * 1024
CHECKPOINT_S = 2.0
PAST_BYTES = 32 * 1024 * 1024
"""A checkpoint so often where records go past the spool; the source is held back (pace.py) at twice that."""
HELLO_S = 10.0
IDLE_S = 0.5
HELD_S = 0.05
AGAIN_S = 2.0
REST = 4
"""Where no flush waits for it, the spool is synced so that the disk has a rest of so many times as long..."""
LONGEST_REST_S = 0.2
"""...but not longer than that."""
FAULT = "HS618"
"""What could not be applied is tried again: there may be room by then."""


def incomplete() -> RefusedError:
    return RefusedError(
        "the data on this node are incomplete: a mirror or resync was under way",
        hint="bring the other node back and let it finish; `hsorch status` shows how much is left",
        code="HS686",
    )


class Spool:
    """start() runs two threads: one that makes durable, one that applies. serve() belongs to the caller's."""

    def __init__(self, ground: Ground, *, awaited: bool = True) -> None:
        """awaited: a flush of the application may wait for what is durable here.

        The ground is settled (Ground.settle). Raises OSError, Damaged."""
        self._ground = ground
        self._journal = ground.journal
        self._meta = ground.meta
        self._awaited = awaited
        self._stopped = threading.Event()
        self._channel: Channel | None = None
        self._busy = threading.Lock()
        """Held while records are applied or the stream begins anew."""
        self._receiving = Receiving(ground, self._tell)
        self._bypass = Bypass(ground.meta, ground.journal)
        self.applier = self._receiving.applier
        self.durable = self._journal.sync()
        self._refused = False
        """The disk refused to sync the spool, and that is not noted yet."""
        self._more_durable = threading.Event()
        self.applied = self._meta.value.checkpoint.lsn
        self.fault = ""
        """Why nothing is applied, as long as that is so."""
        self.fault_code = FAULT
        self._guard_owed: Guarded | None = None
        self._answers = 0
        self._saved = self.applied
        self._saved_at = time.monotonic()
        self._threads = [
            threading.Thread(target=self._make_durable, name="spool-sync", daemon=True),
            threading.Thread(target=self._apply, name="spool-apply", daemon=True),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """The stream ends; what is spooled stays for the next start."""
        self._stopped.set()
        self.hang_up()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(60)

    def hang_up(self) -> None:
        """What this node knows of itself has changed: the source must meet it again."""
        channel = self._channel
        if channel is not None:
            channel.close()

    def finish(self) -> Place:
        """For a takeover or an orderly stop: what is spooled is applied and on stable storage. What is held
        back for a resync that did not come to its end is not: the files are still those before it.

        Raises Damaged, OSError or NodeError: the image ends before the spool does.
        """
        self.stop()
        if self.fault:
            raise OSError(self.fault)
        with self._busy:
            self.durable = self._sync()
            while self._apply_whole():
                pass
            self._save_checkpoint(self.applied)
            self.applier.close()
        return self._meta.value.checkpoint

    @property
    def whole(self) -> bool:
        """The files are, or will be after finish(), a picture of one moment."""
        return self._meta.value.consistent or self._receiving.closed

    @property
    def held_back(self) -> bool:
        return self._meta.value.staged_over is not None

    # ----------------------------------------------------------------- receive

    def serve(self, channel: Channel, hello: Hello) -> None:
        """One connection, until it breaks. The caller has read the source's Hello. Raises Broken."""
        meta = self._meta.value
        if hello.job != meta.job:
            channel.send(Refused(why="this node belongs to another group"))
            raise Broken("a source of another group")
        if hello.epoch < meta.epoch:
            channel.send(Refused(why=f"epoch {hello.epoch} is over, this node is at {meta.epoch}"))
            raise Broken("a source of an epoch that is over")
        self._ground.raise_epoch(hello.epoch)
        self.hang_up()
        self._settle_bypass()
        channel.send(self._ground.hello())
        frame = channel.receive(HELLO_S)
        if frame is None or not isinstance(frame.message, Begin):
            raise Broken("the source begins no stream")
        ahead = Ahead(channel)
        try:
            self._guard_owed, self._answers = None, 0
            self._begin(frame.message, hello)
            self._channel = channel
            while not self._stopped.is_set():
                self._take(ahead)
        except Damaged as damage:
            channel.send(Refused(why=f"damaged on the way: {damage}"))
            raise Broken(str(damage)) from damage
        except HsorchError as refusal:
            channel.send(Refused(why=f"{refusal.code}: {refusal.message}"))
            raise
        except Broken:
            raise
        except OSError as error:
            channel.send(Refused(why=f"the spool cannot be written: {error.strerror or error}"))
            raise
        finally:
            if self._channel is channel:
                self._channel = None
            ahead.end()

    def _begin(self, begin: Begin, hello: Hello) -> None:
        with self._busy:
            if not begin.fresh:
                here = self._ground.here()
                if (begin.at.lsn, begin.at.crc) != (here.lsn, here.crc):
                    raise Broken(f"the source would go on at {begin.at.lsn}, the spool ends at {here.lsn}")
                self._receiving.goes_on(hello.lineage, begin.counted)
                return
            self._receiving.begin(begin, hello.lineage, usable=self._is_usable(), applied=self.applied)
            self._bypass.drop()
            at = begin.at.lsn
            self.durable = self.applied = self._saved = at
            self.fault = ""

    def _is_usable(self) -> bool:
        """Whether the files are, to the end of the spool, a picture to fall back on."""
        try:
            self.durable = self._sync()
            with contextlib.suppress(Damaged):
                while self._meta.value.consistent and not self.held_back and self._apply_whole():
                    pass
            if self._meta.value.consistent and not self.held_back:
                self._save_checkpoint(self.applied)  # what is fallen back on survives a power cut
        except (OSError, Damaged, HsorchError) as error:
            self.fault = f"record at {self.applied} cannot be applied: {error}"
        return self._meta.value.consistent and (self.held_back or self.applied == self._journal.end)

    def _take(self, ahead: Ahead) -> None:
        frame = ahead.next(IDLE_S)
        if frame is None:
            self._acknowledge()
        elif isinstance(frame.message, Data):
            self._arrive(frame.message.lsn, frame.body)
            self._acknowledge()
        elif isinstance(frame.message, Guarded):
            self._guard_owed = frame.message
        else:
            raise Broken("the source sent something else than records")
        if self._guard_owed is not None and self._journal.end >= self._guard_owed.lsn:
            self._guard(self._guard_owed)

    def _arrive(self, lsn: int, data: memoryview) -> None:
        """Raises Damaged, OSError; Broken: what failed comes again, and is tried from the spool."""
        if self._bypass.is_open(lsn, self.applied) and not self.fault:
            with self._busy:
                try:
                    past = self._bypass.take(lsn, data, self._apply_one)
                    due = past < len(data) or self.applied - self._saved >= PAST_BYTES
                    if due and self._bypass.at is not None:
                        self._save_checkpoint(self.applied)
                except Damaged:
                    raise
                except Exception as error:  # also what no peer of ours sends
                    self._note(error)
                    self.applied = self._bypass.drop()
                    raise Broken(self.fault) from error
            lsn, data = lsn + past, data[past:]
        if data:
            self._journal.append_raw(lsn, data)

    def _settle_bypass(self) -> None:
        """The spool ends where the files are, so that the stream goes on there; else that is sent again."""
        with self._busy:
            if self._bypass.at is not None:
                try:
                    self._save_checkpoint(self.applied)
                except OSError as error:
                    self._note(error)
                    self.applied = self._bypass.drop()

    def _guard(self, said: Guarded) -> None:
        """Complete only when everything that was answered before is here, and an image to apply it to."""
        self._guard_owed = None
        self._sync()
        if said.on and (not self._meta.value.consistent or self.held_back or self._meta.value.torn):
            raise Broken("the source counts on more than is here")
        self._meta.change(guarded=said.on)
        self._answers = said.number
        self._acknowledge()

    def _acknowledge(self) -> None:
        channel = self._channel
        if channel is not None and not channel.closed:
            ack = Ack(
                received=max(self._journal.end, self.applied),
                durable=self.durable,
                applied=self.applied,
                guarded=self._meta.value.guarded,
                answers=self._answers,
            )
            channel.send(ack)

    def _make_durable(self) -> None:
        while not self._stopped.is_set():
            try:
                if not self._journal.wait_beyond(self.durable, IDLE_S):
                    self._acknowledge()  # whatever else takes long: this side is there
                    continue
                began = time.monotonic()
                with self._receiving.lock:
                    self.durable = self._sync()
                self._more_durable.set()
                rest = 0.0 if self._awaited else min(LONGEST_REST_S, REST * (time.monotonic() - began))
                self._acknowledge()
                self._stopped.wait(rest)
            except Broken:
                continue
            except OSError as error:
                self.fault, self.fault_code = f"the spool cannot be written: {error}", FAULT
                self._stopped.wait(AGAIN_S)

    def _sync(self) -> int:
        """As Journal.sync(). What the disk refused it has forgotten, and says so only once: from there on
        nobody counts on the spool until a resync began it anew. Raises OSError."""
        if self._refused:
            self._ground.note_loss(self.durable)
            self._refused = False
            self.hang_up()
        try:
            return self._journal.sync()
        except OSError:
            self._refused = True
            raise

    def _tell(self, message: object) -> None:
        """Raises Broken."""
        channel = self._channel
        if channel is None:
            raise Broken("nobody to tell")
        channel.send(message)  # type: ignore[arg-type]

    # ------------------------------------------------------------------- apply

    def _apply(self) -> None:
        while not self._stopped.is_set():
            try:
                if self.applied < self.durable:
                    with self._busy:
                        moved = self._apply_some()
                    if moved:
                        self.fault = ""
                    else:
                        self._stopped.wait(HELD_S)
                elif self._more_durable.wait(IDLE_S):
                    self._more_durable.clear()
                self._checkpoint_when_due()
            except Damaged as damage:
                self._ground.let_go()
                self._lose(damage)
            except Exception as error:  # told, and tried again: who takes over must know of it
                self._note(error)
                self._stopped.wait(AGAIN_S)

    def _note(self, error: Exception) -> None:
        self._ground.let_go()
        self.fault_code = error.code if isinstance(error, HsorchError) else FAULT
        why = error if isinstance(error, OSError | HsorchError) else repr(error)
        self.fault = f"record at {self.applied} cannot be applied: {why}"

    def _lose(self, damage: Damaged) -> None:
        """The spool ends before what cannot be read, and the source has to begin a resync."""
        try:
            with self._busy:
                self._cut(damage)
        except (OSError, Damaged) as error:
            self.fault, self.fault_code = f"the spool is damaged and cannot be cut: {error}", FAULT
            self._stopped.wait(AGAIN_S)
        self.hang_up()

    def _cut(self, damage: Damaged) -> None:
        """Raises OSError, Damaged."""
        with self._receiving.lock:
            self._ground.records_lost(damage.lsn)
            self.durable = min(self.durable, self._journal.end)

    def _apply_some(self, *, whole: bool = False) -> bool:
        """False: nothing is there, or what is there is held back. whole: not only until we are to stop."""
        before = self.applied
        for record in self._journal.records(self.applied, self.durable):
            if not self._receiving.lets_in(record, self.durable):
                break
            self._apply_one(record)
            if (self._stopped.is_set() and not whole) or self.applied - self._saved >= CHECKPOINT_BYTES:
                break
        return self.applied > before

    def _apply_whole(self) -> bool:
        """As _apply_some(). Raises Damaged: the spool was cut there, and ends with the files."""
        try:
            return self._apply_some(whole=True)
        except Damaged as damage:
            self._cut(damage)
            raise

    def _apply_one(self, record: Record) -> None:
        self._receiving.apply(record)
        if self._receiving.closes(record):
            self._save_checkpoint(record.end, **self._receiving.closing(record))
        self.applied = record.end

    def _checkpoint_when_due(self) -> None:
        waited = time.monotonic() - self._saved_at
        moved = self.applied - self._saved
        if moved >= CHECKPOINT_BYTES or (moved and waited >= CHECKPOINT_S):
            with self._busy:
                self._save_checkpoint(self.applied)

    def _save_checkpoint(self, lsn: int, **fields: object) -> None:
        """fields: what else is true from there on, at once with it."""
        if lsn == self._saved:
            return
        self._sync()
        try:
            self.applier.checkpoint()
        except OSError:  # the system forgets what it could not write: it is written again
            self.applied = self._saved if self._bypass.at is None else self._bypass.drop()
            raise
        place = self._bypass.at or Place(
            generation=self._journal.generation, lsn=lsn, crc=self._journal.crc_before(lsn)
        )
        generations = reached(self._meta.value.generations, lsn)
        self._meta.change(**{"checkpoint": place, "generations": generations, **fields})
        if self._bypass.at is not None:
            with self._receiving.lock:
                self._bypass.settle()
                self.durable = lsn
        self._journal.delete_below(lsn)
        self._ground.let_go()
        self._saved, self._saved_at = lsn, time.monotonic()
