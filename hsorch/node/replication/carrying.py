"""From the standby's spool into the bound folders: in order, no further than what is on stable storage.

So files that a power cut meets are never ahead of what the spool still has: they are made whole from it, up
to one moment. A checkpoint says how far the files are, on stable storage; what the spool holds from there on
is carried out again when this process starts again. How records get into the spool is spool.py's business,
what a resync means for the files is resync.py's.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

from hsorch.errors import HsorchError
from hsorch.node.replication.answer import Questions
from hsorch.node.replication.apply import Astray
from hsorch.node.replication.doubt import Brought
from hsorch.node.replication.generations import Lineage, reached
from hsorch.node.replication.ground import Ground
from hsorch.node.replication.messages import Begin
from hsorch.node.replication.meta import Place
from hsorch.node.replication.placing import Keep
from hsorch.node.replication.record import Damaged, Record
from hsorch.node.replication.resync import HangUp, Receiving, Tell
from hsorch.node.replication.wire import Broken

CHECKPOINT_BYTES = 64 * 1024 * 1024
CHECKPOINT_S = 2.0
IDLE_S = 0.5
HELD_S = 0.05
AGAIN_S = 2.0
FAULT = "HS618"
"""What could not be applied is tried again: there may be room by then."""
Take = Callable[[Keep | None, Brought, Brought], bool]
"""As base_copy.Taking.take()."""


class Carrying:
    """run() belongs to a thread of its own; what else is called while it runs takes `busy` itself."""

    def __init__(self, ground: Ground, tell: Tell, hang_up: HangUp, stopped: threading.Event) -> None:
        """tell: to the source. Raises OSError, Damaged."""
        self._ground = ground
        self._journal = ground.journal
        self._meta = ground.meta
        self._hang_up = hang_up
        self._stopped = stopped
        self._busy = threading.Lock()
        """Held while records are applied or the stream begins anew."""
        self._receiving = Receiving(ground, tell, hang_up)
        self.applier = self._receiving.applier
        self.durable = self._journal.sync()
        self._more_durable = threading.Event()
        self.applied = self._meta.value.checkpoint.lsn
        self.fault = ""
        """Why nothing is applied, as long as that is so."""
        self.fault_code = FAULT
        self._astray_at = -1
        """Where a record counts on what others changed."""
        self._saved = self.applied
        self._saved_at = time.monotonic()

    @property
    def whole(self) -> bool:
        """The files are, or will be after finish(), a picture of one moment."""
        return self._meta.value.consistent or self._receiving.closed

    @property
    def astray(self) -> bool:
        """The next record counts on what others changed."""
        return self._astray_at == self.applied

    @property
    def midway(self) -> bool:
        return self._receiving.midway

    @property
    def held_back(self) -> bool:
        return self._meta.value.staged_over is not None

    # -------------------------------------------------------------- the stream

    def goes_on(self, begin: Begin, source: Lineage, questions: Questions) -> None:
        """The stream goes on where the spool ends. Raises Broken: the source takes another place for that."""
        with self._busy:
            if self._meta.value.torn:  # since it was said where the spool ends
                raise Broken("the spool is not what it was")
            here = self._ground.here()
            if (begin.at.lsn, begin.at.crc) != (here.lsn, here.crc):
                raise Broken(f"the source would go on at {begin.at.lsn}, the spool ends at {here.lsn}")
            self._receiving.goes_on(begin, source, questions)

    def take_base_copy(self, number: int, source: Lineage, take: Take) -> Brought | None:
        """What lies here counts for nothing: take() replaces it, and nothing else changes it meanwhile. None:
        not everything was brought. Raises Broken: it counts; and what take() raises."""
        with self._busy:
            keep, brought = self._receiving.open_base_copy(number, source)
            self.durable = self.applied = self._saved = self._meta.value.checkpoint.lsn
            self.fault = ""
            try:
                whole = take(keep, brought, self._receiving.came)
            except Broken:
                raise
            except (OSError, HsorchError) as error:
                self._note(error, "the base copy cannot be taken")
                raise
            if whole:
                self._receiving.close_base_copy()
            self._ground.let_go()
        return brought if whole else None

    def begins(self, begin: Begin, source: Lineage, questions: Questions, brought: Brought | None) -> None:
        """The stream begins anew, at a MIRROR_BEGIN. brought: by a base copy just now, if there was one.

        Raises QuarantineFull, OSError."""
        with self._busy:
            usable = self._is_usable()
            self._receiving.begin(
                begin, source, questions, usable=usable, applied=self.applied, brought=brought
            )
            self.durable = self.applied = self._saved = begin.at.lsn
            self.fault, self._astray_at = "", -1

    def make_durable(self) -> None:
        """All that is in the spool. Raises OSError."""
        try:
            with self._receiving.lock:
                self.durable = self.sync()
        except OSError as error:
            self.fault, self.fault_code = f"the spool cannot be written: {error}", FAULT
            raise
        self._more_durable.set()

    def sync(self) -> int:
        """As Journal.sync(); after a refusal nobody counts on the spool until a resync began it anew.

        Raises OSError."""
        if self._ground.refused(self.durable):
            self._hang_up()
        return self._journal.sync()

    def wake(self) -> None:
        """run() is to end, once the event that it was given says so."""
        self._more_durable.set()

    def finish(self) -> Place:
        """All that is in the spool is in the files, and on stable storage. Raises as Spool.finish() does."""
        if self.fault:
            raise OSError(self.fault)
        with self._busy:
            self.durable = self.sync()
            try:
                while self._apply_whole():
                    pass
                self._checkpoint(self.applied)
            except Astray as found:
                self._remember(found)
                raise
            self.applier.close()
        return self._meta.value.checkpoint

    # ------------------------------------------------------------------- apply

    def run(self) -> None:
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
                if isinstance(error, Astray):
                    self._remember(error)
                self._stopped.wait(AGAIN_S)

    def _remember(self, found: Astray) -> None:
        """Another process of ours may pass over it, as a file that has no name is no more. It is for an
        operator to say that all is compared: that overwrites whatever else somebody wrote here."""
        self._astray_at = self.applied
        if not self._meta.value.verify_needed:
            with contextlib.suppress(OSError):  # again, when that is applied again
                self._meta.change(verify_needed=f"somebody else changed what is to be written: {found}")

    def _note(self, error: Exception, what: str = "") -> None:
        self._ground.let_go()
        self.fault_code = error.code if isinstance(error, HsorchError) else FAULT
        why = error if isinstance(error, OSError | HsorchError) else repr(error)
        self.fault = f"{what or f'record at {self.applied} cannot be applied'}: {why}"

    def _lose(self, damage: Damaged) -> None:
        """The spool ends before what cannot be read, and the source has to begin a resync."""
        try:
            with self._busy:
                self._cut(damage)
        except OSError as error:
            self.fault, self.fault_code = f"the spool is damaged and cannot be cut: {error}", FAULT
            self._stopped.wait(AGAIN_S)
        self._hang_up()

    def _cut(self, damage: Damaged) -> None:
        """Raises OSError."""
        with self._receiving.lock:
            self._ground.records_lost(damage.lsn)
            self.durable = min(self.durable, self._journal.end)

    def _is_usable(self) -> bool:
        """Whether the files are, to the end of the spool, a picture to fall back on."""
        if self.astray:
            return False
        try:
            self.durable = self.sync()
            with contextlib.suppress(Damaged):
                while self._meta.value.consistent and not self.held_back and self._apply_whole():
                    pass
            if self._meta.value.consistent and not self.held_back:
                self._checkpoint(self.applied)  # what is fallen back on survives a power cut
        except (OSError, Damaged, HsorchError) as error:
            self.fault = f"record at {self.applied} cannot be applied: {error}"
            if isinstance(error, Astray):
                self._remember(error)
                return False
        return self._meta.value.consistent and (self.held_back or self.applied == self._journal.end)

    def _apply_some(self, *, whole: bool = False) -> bool:
        """False: nothing is there, or what is there is held back. whole: not only until we are to stop."""
        before = self.applied
        for record in self._journal.records(self.applied, self.durable):
            if not self._receiving.lets_in(record, self.durable):
                break
            self._apply_one(record)
            if self.applied - self._saved >= CHECKPOINT_BYTES:
                self._checkpoint(self.applied)
                break
            if self._stopped.is_set() and not whole:
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
            self._checkpoint(record.end, **self._receiving.closing(record))
            self._receiving.closed_for_good()
        self.applied = record.end

    # -------------------------------------------------------------- checkpoint

    def _checkpoint_when_due(self) -> None:
        if self.applied > self._saved and time.monotonic() - self._saved_at >= CHECKPOINT_S:
            with self._busy:
                self._checkpoint(self.applied)

    def _checkpoint(self, lsn: int, **fields: object) -> None:
        """fields: what else is true from there on, at once with it."""
        if lsn == self._saved:
            return
        self.sync()
        try:
            self.applier.checkpoint()
        except OSError:  # the system forgets what it could not write: it is written again
            self.applied = self._saved
            raise
        place = Place(generation=self._journal.generation, lsn=lsn, crc=self._journal.crc_before(lsn))
        self._receiving.remember()
        generations = reached(self._meta.value.generations, lsn)
        self._meta.change(**{"checkpoint": place, "generations": generations, **fields})
        self._journal.delete_below(lsn)
        self._ground.let_go()
        self._saved, self._saved_at = lsn, time.monotonic()
