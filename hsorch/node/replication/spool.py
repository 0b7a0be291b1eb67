"""The standby's side of the stream: records into the spool, acknowledged, then into the bound folders.

Three ends that follow each other: received (in the spool), durable (on stable storage), applied (in the
files). The spool outlives this process; what it holds is applied from the checkpoint on when it starts again.
A mirror in the stream is applied as it comes, and `consistent` is false from its begin to its end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from hsorch.node.replication.apply import Applier
from hsorch.node.replication.generations import Lineage, adopted, reached, resync_began
from hsorch.node.replication.journal import Journal, Start
from hsorch.node.replication.messages import Ack, Begin, Data, Hello, Refused
from hsorch.node.replication.meta import MetaFile, Place
from hsorch.node.replication.record import Damaged, Kind, Record
from hsorch.node.replication.wire import Broken, Channel

CHECKPOINT_BYTES = 64 * 1024 * 1024
CHECKPOINT_S = 2.0
HELLO_S = 10.0
IDLE_S = 0.5


class Spool:
    """start() runs two threads: one that makes durable, one that applies. serve() belongs to the caller's."""

    def __init__(
        self,
        journal: Journal,
        applier: Applier,
        meta: MetaFile,
        hello: Callable[[], Hello],
        empty: Callable[[], None],
        *,
        sync_every_s: float = 0.0,
    ) -> None:
        """sync_every_s: pause between two syncs of the spool, where no flush waits for them.

        empty(): sets aside what is in the bound folders, before a first mirror fills them."""
        self._journal = journal
        self._applier = applier
        self._meta = meta
        self._hello = hello
        self._empty = empty
        self._sync_every_s = sync_every_s
        self._stopped = threading.Event()
        self._channel: Channel | None = None
        self._source: Lineage | None = None
        self._busy = threading.Lock()
        """Held while records are applied or the stream begins anew."""
        self.durable = journal.sync()
        self.applied = meta.value.checkpoint.lsn or journal.first
        self.fault = ""
        """Why nothing is applied any more; cleared by a restart."""
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
        if self._channel is not None:
            self._channel.close()
        for thread in self._threads:
            thread.join(60)

    def hang_up(self) -> None:
        """What this node knows of itself has changed: the source must meet it again."""
        channel = self._channel
        if channel is not None:
            channel.close()

    def finish(self) -> Place:
        """For a takeover: no more stream, everything spooled is applied and on stable storage.

        Raises Damaged or OSError: the image ends before the spool does.
        """
        self.stop()
        if self.fault:
            raise OSError(self.fault)
        for record in self._journal.records(self.applied):
            self._apply_one(record)
        self._save_checkpoint()
        return self._meta.value.checkpoint

    # ----------------------------------------------------------------- receive

    def serve(self, channel: Channel, hello: Hello) -> None:
        """One connection, until it breaks. The caller has read the source's Hello. Raises Broken."""
        mine = self._hello()
        if hello.job != mine.job:
            channel.send(Refused(why="this node belongs to another group"))
            raise Broken("a source of another group")
        if hello.epoch < mine.epoch:
            channel.send(Refused(why=f"epoch {hello.epoch} is over, this node is at {mine.epoch}"))
            raise Broken("a source of an epoch that is over")
        channel.send(mine)
        frame = channel.receive(HELLO_S)
        if frame is None or not isinstance(frame.message, Begin):
            raise Broken("the source begins no stream")
        self._source = hello.lineage
        self._begin(frame.message, hello)
        self._channel = channel
        try:
            while not self._stopped.is_set():
                self._take(channel)
        except Damaged as damage:
            channel.send(Refused(why=f"damaged on the way: {damage}"))
            raise Broken(str(damage)) from damage
        finally:
            self._channel = None
            channel.close()

    def _begin(self, begin: Begin, hello: Hello) -> None:
        here = Place(generation=self._journal.generation, lsn=self._journal.end, crc=self._journal.crc)
        if not begin.fresh:
            if (begin.at.lsn, begin.at.crc) != (here.lsn, here.crc):
                raise Broken(f"the source would go on at {begin.at.lsn}, the spool ends at {here.lsn}")
            return
        with self._busy:
            lineage = resync_began(self._meta.value.generations, hello.lineage)
            self._meta.change(consistent=False, generations=lineage)
            self._empty()
            at = begin.at
            self._journal.restart(Start(self._journal.job, at.generation, at.lsn, at.crc))
            self._applier.restart(at.lsn)
            self.durable = self.applied = self._saved = at.lsn
            self._meta.change(checkpoint=at)

    def _take(self, channel: Channel) -> None:
        frame = channel.receive(IDLE_S)
        if frame is None:
            self._acknowledge()
            return
        if not isinstance(frame.message, Data):
            raise Broken("the source sent something else than records")
        self._journal.append_raw(frame.message.lsn, frame.body)
        self._acknowledge()

    def _acknowledge(self) -> None:
        channel = self._channel
        if channel is not None and not channel.closed:
            channel.send(Ack(received=self._journal.end, durable=self.durable, applied=self.applied))

    def _make_durable(self) -> None:
        while not self._stopped.is_set():
            if not self._journal.wait_beyond(self.durable, IDLE_S):
                continue
            try:
                self.durable = self._journal.sync()
                self._acknowledge()
                self._stopped.wait(self._sync_every_s)
            except Broken:
                continue
            except OSError as error:
                self.fault = f"the spool cannot be written: {error}"
                return

    # ------------------------------------------------------------------- apply

    def _apply(self) -> None:
        try:
            while not self._stopped.is_set():
                if self._journal.wait_beyond(self.applied, IDLE_S):
                    with self._busy:
                        self._apply_some()
                self._checkpoint_when_due()
        except (OSError, Damaged) as error:
            self.fault = f"record at {self.applied} cannot be applied: {error}"

    def _apply_some(self) -> None:
        for record in self._journal.records(self.applied):
            self._apply_one(record)
            if self._stopped.is_set() or self.applied - self._saved >= CHECKPOINT_BYTES:
                return

    def _apply_one(self, record: Record) -> None:
        if record.kind is Kind.MIRROR_BEGIN:
            self._meta.change(consistent=False)
        self._applier.apply(record)
        self.applied = record.end
        if record.kind is Kind.GENERATION:
            self._meta.change(generations=self._whole(record.end))
        if record.kind is Kind.MIRROR_END:
            self._save_checkpoint()
            self._meta.change(consistent=True, generations=self._whole(record.end))

    def _whole(self, lsn: int) -> Lineage:
        """The lineage of this node once a mirror is complete: the source's own."""
        mine = self._meta.value.generations
        return adopted(self._source or Lineage(current=mine.receiving or mine.current), lsn)

    def _checkpoint_when_due(self) -> None:
        waited = time.monotonic() - self._saved_at
        moved = self.applied - self._saved
        if moved >= CHECKPOINT_BYTES or (moved and waited >= CHECKPOINT_S):
            with self._busy:
                self._save_checkpoint()

    def _save_checkpoint(self) -> None:
        lsn = self.applied
        self._applier.checkpoint()
        place = Place(generation=self._journal.generation, lsn=lsn, crc=self._journal.crc_before(lsn))
        lineage = reached(self._meta.value.generations, lsn)
        self._meta.change(checkpoint=place, generations=lineage)
        self._journal.delete_below(lsn)
        self._saved, self._saved_at = lsn, time.monotonic()
