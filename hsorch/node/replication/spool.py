"""The standby's side of the stream: records into the spool, and what is there is acknowledged.

Three ends, none of which is ever before the one that follows: received (in the spool), durable (on stable
storage), applied (in the files). The spool outlives this process. How what it holds gets into the files is
carrying.py's business.
"""

from __future__ import annotations

import threading
import time

from hsorch.errors import HsorchError, NodeError, RefusedError
from hsorch.node.replication.ahead import Ahead
from hsorch.node.replication.answer import Questions
from hsorch.node.replication.base_copy import Taking
from hsorch.node.replication.carrying import AGAIN_S, FAULT, IDLE_S, Carrying
from hsorch.node.replication.doubt import Brought
from hsorch.node.replication.generations import Lineage
from hsorch.node.replication.ground import Ground
from hsorch.node.replication.messages import Ack, Begin, Bring, Data, Guarded, Hello, Outline, Refused
from hsorch.node.replication.meta import Place
from hsorch.node.replication.placing import Keep
from hsorch.node.replication.receiving import refuse
from hsorch.node.replication.record import Damaged
from hsorch.node.replication.wire import Broken, Channel, Frame
from hsorch.verbs import LimitReport

HELLO_S = 10.0
SOON_S = 0.02
"""So soon the source hears that everything is in the files: it may wait for that."""
REST = 4
"""Where no flush waits for it, the spool is synced so that the disk has a rest of so many times as long..."""
LONGEST_REST_S = 0.2
"""...but not longer than that."""


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
        self._open: Channel | None = None
        """Over which a source speaks now."""
        self._channel: Channel | None = None
        """The same, once its stream has begun: then it is told."""
        self.refusal: LimitReport | None = None
        """Why this side took nothing of the last stream; None: it does, or none has come."""
        self.carrying = Carrying(ground, self._tell, self.hang_up, self._stopped)
        self._guard_owed: Guarded | None = None
        self._answers = 0
        self._told = 0
        """How far the files are, as the source heard last."""
        self._ack_due = 0.0
        self._threads = [
            threading.Thread(target=self._make_durable, name="spool-sync", daemon=True),
            threading.Thread(target=self.carrying.run, name="spool-apply", daemon=True),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """The stream ends; what is spooled stays for the next start."""
        self._stopped.set()
        self._journal.wake()
        self.carrying.wake()
        self.hang_up()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(60)

    def hang_up(self) -> None:
        """What this node knows of itself has changed: the source must meet it again."""
        channel = self._open
        if channel is not None:
            channel.close()

    def finish(self) -> Place:
        """For a takeover or an orderly stop: what is spooled is applied and on stable storage. What is held
        back for a resync that did not come to its end is not: the files are still those before it.

        Raises Damaged, OSError or NodeError: the image ends before the spool does.
        """
        self.stop()
        return self.carrying.finish()

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
        channel.send(self._ground.hello(midway=self.carrying.midway))
        ahead, questions = Ahead(channel), Questions(len(self._ground.trees))
        try:
            self._open = channel
            if self._stopped.is_set():
                raise Broken("this part is over")
            self._guard_owed, self._answers, self._told = None, 0, 0
            self._begin(channel, ahead, questions, hello.lineage)
            self._channel = channel
            while not self._stopped.is_set():
                self._take(ahead, questions)
        except Damaged as damage:
            channel.send(Refused(why=f"damaged on the way: {damage}"))
            raise Broken(str(damage)) from damage
        except Broken:
            raise
        except HsorchError as refusal:
            self._takes_nothing(refusal)
            channel.send(Refused(why=f"{refusal.code}: {refusal.message}"))
            raise
        except OSError as error:
            why = f"the stream cannot be taken: {error.strerror or error} ({error.filename or 'its spool'})"
            self._takes_nothing(NodeError(why, hint="See to the disk of this node.", code=FAULT))
            channel.send(Refused(why=why))
            raise
        finally:
            if self._open is channel:
                self._open = self._channel = None
            questions.close()
            ahead.end()

    def _takes_nothing(self, why: HsorchError) -> None:
        self.refusal = LimitReport(code=why.code, message=why.message, hint=why.hint)
        self._ground.let_go()

    def _begin(self, channel: Channel, ahead: Ahead, questions: Questions, source: Lineage) -> None:
        frame, brought = ahead.next(HELLO_S), None
        if frame is not None and isinstance(frame.message, Bring):
            frame, brought = self._take_base_copy(frame.message.number, channel, ahead, source)
        if frame is None or not isinstance(frame.message, Begin):
            raise Broken("the source begins no stream")
        if frame.message.fresh:
            self.carrying.begins(frame.message, source, questions, brought)
        else:
            self.carrying.goes_on(frame.message, source, questions)

    def _take_base_copy(
        self, number: int, channel: Channel, ahead: Ahead, source: Lineage
    ) -> tuple[Frame | None, Brought | None]:
        """The frame that follows, and what was brought; None: not all. Raises Broken."""
        taking = Taking(self._ground.trees, ahead, channel.send, self._ground.bound)

        def take(keep: Keep | None, brought: Brought, came: Brought) -> bool:
            channel.send(taking.bare())
            return taking.take(keep, brought, came)

        try:
            brought = self.carrying.take_base_copy(number, source, take)
            return taking.next, brought
        except Broken:
            raise
        except (OSError, HsorchError) as error:
            refuse(channel, ahead, error)
            raise Broken(f"the base copy cannot be taken: {error}") from error

    def _take(self, ahead: Ahead, questions: Questions) -> None:
        soon = self._told < self._journal.end and self.refusal is None
        frame = ahead.next(SOON_S if soon else IDLE_S)
        if frame is None:
            self.refusal = None
            if self._told < self.carrying.applied or time.monotonic() >= self._ack_due:
                self._acknowledge()
        elif isinstance(frame.message, Data):
            self._journal.append_raw(frame.message.lsn, frame.body)
            self.refusal = None
            self._acknowledge()
        elif isinstance(frame.message, Outline):
            questions.put(frame.message)
        elif isinstance(frame.message, Guarded):
            self._guard_owed = frame.message
        else:
            raise Broken("the source sent something else than records")
        if self._guard_owed is not None and self._journal.end >= self._guard_owed.lsn:
            self._guard(self._guard_owed)

    def _guard(self, said: Guarded) -> None:
        """Complete only when everything that was answered before is here, and an image to apply it to."""
        self._guard_owed = None
        self.carrying.sync()
        meta = self._meta.value
        if said.on and (not meta.consistent or self.carrying.held_back or meta.torn):
            raise Broken("the source counts on more than is here")
        self._meta.change(guarded=said.on)
        self._answers = said.number
        self._acknowledge()

    def _acknowledge(self) -> None:
        channel = self._channel
        if channel is not None and not channel.closed and self.refusal is None:
            ack = self._ack()
            channel.send(ack)
            self._told, self._ack_due = ack.applied, time.monotonic() + IDLE_S

    def _ack(self) -> Ack:
        return Ack(
            received=self._journal.end,
            durable=self.carrying.durable,
            applied=self.carrying.applied,
            guarded=self._meta.value.guarded,
            answers=self._answers,
            astray=self.carrying.astray,
        )

    def _make_durable(self) -> None:
        while not self._stopped.is_set():
            try:
                if not self._journal.wait_beyond(self.carrying.durable, IDLE_S, self._stopped.is_set):
                    self._acknowledge()  # whatever else takes long: this side is there
                    continue
                began = time.monotonic()
                self.carrying.make_durable()
                rest = 0.0 if self._awaited else min(LONGEST_REST_S, REST * (time.monotonic() - began))
                self._acknowledge()
                self._stopped.wait(rest)
            except Broken:
                continue
            except OSError:
                self._stopped.wait(AGAIN_S)

    def _tell(self, message: object) -> None:
        """Raises Broken."""
        channel = self._channel
        if channel is None:
            raise Broken("nobody to tell")
        channel.send(message)  # type: ignore[arg-type]
