"""The source's side of the stream: connect, agree on a place, send records from there, take acknowledgements.

Sends what the journal holds, in its order, as fast as the standby takes it; the connection itself is the flow
control. A broken connection is made again; the standby says where it ends and the stream goes on there, if
both ends have the same record before that place. What to do otherwise is the meeting's verdict, not ours.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from hsorch.errors import RefusedError
from hsorch.node.replication.doubt import Extents
from hsorch.node.replication.gate import Gate
from hsorch.node.replication.generations import Meeting, Verdict, meet, newer, refusal
from hsorch.node.replication.journal import Journal
from hsorch.node.replication.messages import Ack, Begin, Data, Hello, Message, Pictured, Refused, foreign
from hsorch.node.replication.meta import Place
from hsorch.node.replication.mirror import MirrorError
from hsorch.node.replication.record import Damaged
from hsorch.node.replication.segments import READ_BYTES
from hsorch.node.replication.wire import Broken, Channel

RETRY_S = 0.5
PATIENT_S = 3.0
"""A standby that says twice what is in its way is not asked again at once: that takes a while to go."""
ANSWER_S = 10.0
"""Also to a stream that begins anew: the standby carries out all that it has before it says a word."""
SILENT_S = 2.0
"""A standby says something twice a second: one that is silent for so long is gone, whatever TCP believes."""
BATCH_BYTES = READ_BYTES


_SENDING = frozenset(
    {Meeting.FIRST, Meeting.SEND_ALL, Meeting.SEND_DIRTY, Meeting.SEND_VERIFY, Meeting.SEND_HOT}
)


@dataclass(frozen=True)
class Agreed:
    """Where the stream goes on. fresh: the standby's spool begins anew there, with a resync."""

    at: Place
    fresh: bool = False


class Resyncs(Protocol):
    """Who makes the standby equal where a stream is not enough. Methods return at once."""

    def bring(self, channel: Channel) -> int:
        """A base copy, to its end: what the standby has counts for nothing. The lsn from which on records may
        touch it. The only method that takes long. Raises MirrorError, Broken, OSError."""
        ...

    def begin(self, verdict: Verdict, *, decided: bool, brought: bool) -> tuple[Place, Extents | None]:
        """A MIRROR_BEGIN is in the journal: its place, and where contents can differ.

        decided: whatever the standby has beyond the source may go: it is new to these data, an operator chose
        them, or it has begun to take them in. brought: just now, in a base copy."""
        ...

    @property
    def unfinished(self) -> bool:
        """The standby is to be made equal, and not all of that is in the journal: no stream alone does it."""
        ...

    def resumes(self, theirs: Place) -> bool:
        """Whether a spool that ends there is inside the resync that was begun."""
        ...

    def connected(self, say: Callable[[Message], None], *, fresh: bool) -> None:
        """The stream begins with what begin() put into the journal (fresh), or goes on. say: over this
        connection; raises Broken."""
        ...

    def disconnected(self) -> None:
        """Nothing begins from here on before connected() is called again: the Begin says so."""
        ...

    def told(self, message: Pictured) -> None: ...

    def acknowledged(self, ack: Ack) -> None: ...


class Shipper:
    """One thread that connects and sends, one more per connection that listens. start(), stop()."""

    def __init__(
        self,
        journal: Journal,
        gate: Gate,
        dial: Callable[[], Channel],
        hello: Callable[[], Hello],
        resyncs: Resyncs,
        *,
        on_damage: Callable[[str], None] = lambda why: None,
        linger_s: float = 0.0,
    ) -> None:
        """dial raises Broken. on_damage(why): records that the standby lacks cannot be read any more.

        linger_s: when nobody waits for an acknowledgement, gather records so long, to send fewer frames."""
        self._journal = journal
        self._gate = gate
        self._dial = dial
        self._hello = hello
        self._resyncs = resyncs
        self._on_damage = on_damage
        self._in_doubt = False
        """The standby could not use what was sent: the records are read to their end before they are sent."""
        self._linger_s = linger_s
        self._stopped = threading.Event()
        self._open: Channel | None = None
        """To a standby, from when it was dialled."""
        self._channel: Channel | None = None
        """The same, while it streams."""
        self.epoch = (0, 0)
        """In whose name the connection of now, or the last one, was opened."""
        self.connections = 0
        """How many there were, the one of now included."""
        self.peer_guarded = False
        """The standby says, over the connection of now, that it counts as complete."""
        self.peer_astray = False
        """By its last word over the connection of now, others changed the files that the stream goes into."""
        self.answered = 0
        """Number of the last Guarded that it answered over the connection of now."""
        self.state = "stopped"
        self.held = ""
        """Why nothing is sent for now; empty: it is."""
        self.refused = ""
        """The code of why nothing is sent until an operator decides."""
        self._farewell = ""
        """Why the standby ended the last connection, in its own words."""
        self._turned_away = False
        """The standby ended the last connection, and has said nothing over the one of now."""
        self.peer = Hello(job=b"", node="", purpose="stream")
        """What the standby said of itself last."""
        self._thread = threading.Thread(target=self._run, name="shipper", daemon=True)

    @property
    def streaming(self) -> bool:
        return self._channel is not None

    @property
    def connected(self) -> bool:
        """A standby that ended the last stream may end this one, too: it counts from its first word."""
        return self.streaming and not self._turned_away

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._journal.wake()
        self.reconnect()
        self._thread.join(30)

    def reconnect(self) -> None:
        """What both sides know of themselves has changed: meet again."""
        channel = self._open
        if channel is not None:
            channel.close()

    def hold(self, why: str) -> None:
        """Nothing is sent until `why` is empty."""
        self.held = why
        if why:
            self.reconnect()

    def say(self, message: Message) -> None:
        """Raises Broken."""
        channel = self._channel
        if channel is None:
            raise Broken("no standby is connected")
        channel.send(message)

    def _run(self) -> None:
        while not self._stopped.is_set():
            channel, before, self._farewell = None, self._farewell, ""
            try:
                if self.held:
                    raise Broken(self.held)
                channel = self._open = self._dial()
                if self._stopped.is_set():
                    break
                self._converse(channel)
            except Broken as end:
                self.state = self._farewell or str(end)
            except Damaged as damage:
                self._in_doubt, self.state = True, str(damage)
            except KeyError as gone:
                self.state = f"lsn {gone} is no longer in the journal"
            except MirrorError as error:
                self.state = self._farewell = error.message
            except OSError as error:
                self.state = f"the journal cannot be read or written: {error}"
            except Exception as error:  # told, and tried again: the standby waits for us
                self.state = f"nothing can be sent: {error!r}"
            finally:
                self._open = self._channel = None
                if channel is not None:
                    channel.close()
            stuck = self._farewell and self._farewell == before
            self._stopped.wait(PATIENT_S if stuck else RETRY_S)
        self.state = "stopped"

    def _converse(self, channel: Channel) -> None:
        mine = self._hello()
        channel.send(mine)
        frame = channel.receive(ANSWER_S)
        if frame is None:
            raise Broken("the standby gave no answer")
        if isinstance(frame.message, Refused):
            raise Broken(f"the standby refuses: {frame.message.why}")
        if not isinstance(frame.message, Hello):
            raise Broken("the standby does not speak as one")
        if strange := foreign(frame.message, mine.folders):
            channel.send(Refused(why=strange))
            raise Broken(strange)
        self.peer = frame.message
        agreed, extents = self._agree(channel, mine, frame.message)
        counted = self._gate.acked if self._gate.guards else 0
        asked_from = agreed.at.lsn if agreed.fresh else self._journal.end
        channel.send(
            Begin(
                at=agreed.at, asked_from=asked_from, counted=counted, fresh=agreed.fresh, extents=extents
            )
        )  # fmt: skip
        self._gate.restart(agreed.at.lsn, fresh=agreed.fresh)
        self.peer_guarded, self.peer_astray, self.answered = False, False, 0
        self.connections += 1
        self.epoch = mine.epoch
        self._channel = channel
        if self.held:  # since it was dialled
            raise Broken(self.held)
        self.refused = ""
        if not self._turned_away:
            self.state = "streaming"
        listener = threading.Thread(
            target=self._listen, args=(channel,), kwargs={"fresh": agreed.fresh}, name="acks", daemon=True
        )
        listener.start()
        try:
            self._resyncs.connected(channel.send, fresh=agreed.fresh)
            self._stream(channel, agreed.at.lsn)
        finally:
            channel.close()
            self._resyncs.disconnected()
            listener.join(ANSWER_S)

    def _agree(self, channel: Channel, mine: Hello, theirs: Hello) -> tuple[Agreed, Extents | None]:
        """Raises Broken: nothing is sent to this standby; OSError, KeyError: the journal; MirrorError."""
        if theirs.epoch > mine.epoch:
            raise Broken(f"epoch {mine.epoch} is over, the standby is at {theirs.epoch}")
        if self._resyncs.resumes(theirs.end):
            return Agreed(theirs.end), None
        verdict = meet(mine.lineage, theirs.lineage)
        if refused := refusal(verdict):
            raise self._refuse(refused)
        # Files of a source that lost power may lack what its journal has, whoever is the newer one by now.
        sure = not (mine.lineage.tail_unsure or theirs.lineage.tail_unsure)
        follows = verdict.meeting is Meeting.SEND_DIRTY and sure and theirs.end.lsn <= verdict.fork
        if verdict.meeting is Meeting.STREAM or follows:
            holds, midway = self._holds(theirs.end), theirs.midway or self._resyncs.unfinished
            if holds and not midway:
                return Agreed(theirs.end), None
            # Without holds one of the two is not what it says; midway, the standby knows what can differ.
            verdict = replace(verdict, since=theirs.end.lsn if holds else None)
        if verdict.meeting is not Meeting.STREAM and verdict.meeting not in _SENDING:
            raise self._refuse(newer(verdict))
        new = verdict.meeting in (Meeting.FIRST, Meeting.SEND_ALL)
        begun = mine.lineage.goes_on_from(theirs.lineage.receiving)
        if begun:  # before its end, the standby knows what can differ
            known = verdict.since is not None and self._holds(theirs.end)
            verdict = replace(verdict, since=theirs.end.lsn if known else None)
        if theirs.doubts or mine.doubts:  # everything is compared, which goes quicker when both know
            verdict = replace(verdict, since=None)
        counts = theirs.lineage.current and theirs.lineage.consistent
        brought = (new or begun) and verdict.since is None and not counts
        if brought:
            self.state = "a base copy is under way"
            verdict = replace(verdict, since=self._resyncs.bring(channel))
        at, extents = self._resyncs.begin(verdict, decided=new or begun, brought=brought)
        return Agreed(at, fresh=True), extents

    def _refuse(self, why: RefusedError) -> Broken:
        self.refused = why.code
        return Broken(f"{why.message} ({why.hint})")

    def _holds(self, place: Place) -> bool:
        """Whether the standby's records up to there are ours, and what follows is still here."""
        if not self._journal.first <= place.lsn <= self._journal.end:
            return False
        try:
            if self._in_doubt:
                for _ in self._journal.records(place.lsn):
                    pass
                self._in_doubt = False
            return self._journal.crc_before(place.lsn) == place.crc
        except Damaged as damage:
            self._on_damage(f"the journal is damaged: {damage}")
            self._in_doubt = False
            return False

    def _stream(self, channel: Channel, lsn: int) -> None:
        freed_at = lsn
        while not self._stopped.is_set() and not channel.closed:
            if not self._journal.wait_beyond(lsn, RETRY_S, self._stopped.is_set):
                continue
            if self._linger_s and self._journal.end - lsn < BATCH_BYTES:
                self._stopped.wait(self._linger_s)
            data = self._journal.read(lsn, BATCH_BYTES)
            channel.send(Data(lsn=lsn), data)
            lsn += len(data)
            if self._gate.durable - freed_at > BATCH_BYTES:
                freed_at = self._gate.durable
                self._journal.delete_below(freed_at)
        if channel.closed and not self._stopped.is_set():
            raise Broken("the connection to the standby broke")

    def _listen(self, channel: Channel, *, fresh: bool) -> None:
        silent_s = ANSWER_S if fresh else SILENT_S
        try:
            while True:
                frame = channel.receive(silent_s)
                if frame is None:
                    return
                silent_s = SILENT_S
                if isinstance(frame.message, Refused):
                    self._in_doubt, self._turned_away = True, True
                    self._farewell = f"the standby stopped: {frame.message.why}"
                    return
                if self._turned_away:
                    self._turned_away, self.state = False, "streaming"
                if isinstance(frame.message, Ack):
                    ack = frame.message
                    self._gate.acknowledge(ack.received, ack.durable, ack.applied)
                    self.peer_guarded, self.answered = ack.guarded, ack.answers
                    self.peer_astray = ack.astray
                    self._resyncs.acknowledged(ack)
                elif isinstance(frame.message, Pictured):
                    self._resyncs.told(frame.message)
        except Broken:
            return
        finally:
            channel.close()
