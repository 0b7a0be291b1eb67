"""The source's side of the stream: connect, agree on a place, send records from there, take acknowledgements.

Sends what the journal holds, in its order, as fast as the standby takes it; the connection itself is the flow
control. A broken connection is made again; the standby says where it ends and the stream goes on there, if
both ends have the same record before that place. What to do otherwise is the meeting's verdict, not ours.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from hsorch.node.replication.gate import Gate
from hsorch.node.replication.generations import Meeting, meet
from hsorch.node.replication.journal import Journal
from hsorch.node.replication.messages import Ack, Begin, Data, Hello, Refused
from hsorch.node.replication.meta import Place
from hsorch.node.replication.record import Damaged
from hsorch.node.replication.wire import Broken, Channel

RETRY_S = 0.5
ANSWER_S = 10.0
BATCH_BYTES = 1024 * 1024


_WHOLE = frozenset({Meeting.FIRST, Meeting.SEND_ALL})
_SENDING = frozenset({Meeting.SEND_DIRTY, Meeting.SEND_VERIFY, Meeting.SEND_HOT})


@dataclass(frozen=True)
class Agreed:
    """Where the stream goes on; fresh: the standby begins anew there, and a mirror must follow."""

    at: Place
    fresh: bool = False


class Shipper:
    """One thread that connects and sends, one more per connection that listens. start(), stop()."""

    def __init__(
        self,
        journal: Journal,
        gate: Gate,
        dial: Callable[[], Channel],
        hello: Callable[[], Hello],
        mirror: Callable[[], None],
        *,
        linger_s: float = 0.0,
    ) -> None:
        """linger_s: when nobody waits for an acknowledgement, gather records so long, to send fewer frames.

        dial raises Broken. mirror(): begins to copy everything into the journal, and returns at once."""
        self._journal = journal
        self._gate = gate
        self._dial = dial
        self._hello = hello
        self._mirror = mirror
        self._linger_s = linger_s
        self._stopped = threading.Event()
        self._channel: Channel | None = None
        self._mirrored_from: int | None = None
        """Where the mirror of this process's life began in the journal: from there on it can be resumed."""
        self.state = "stopped"
        self.may_mirror = False
        """An operator allows a new mirror where a stream is not enough; the standby's files are set aside."""
        self.meeting: Meeting | None = None
        """The last verdict; anything but STREAM, and SEND_ALL or FIRST, needs more than a stream."""
        self._thread = threading.Thread(target=self._run, name="shipper", daemon=True)

    @property
    def connected(self) -> bool:
        return self._channel is not None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        channel = self._channel
        if channel is not None:
            channel.close()
        self._thread.join(30)

    def reconnect(self) -> None:
        """What both sides know of themselves has changed: meet again."""
        channel = self._channel
        if channel is not None:
            channel.close()

    def _run(self) -> None:
        while not self._stopped.is_set():
            channel = None
            try:
                channel = self._dial()
                self._converse(channel)
            except (Broken, Damaged) as end:
                self.state = str(end)
            except KeyError as gone:
                self.state = f"the standby asks for lsn {gone}, which the journal no longer holds"
            finally:
                self._channel = None
                if channel is not None:
                    channel.close()
            self._stopped.wait(RETRY_S)
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
        agreed = self._agree(mine, frame.message)
        channel.send(Begin(at=agreed.at, fresh=agreed.fresh))
        self._gate.restart(agreed.at.lsn)
        self._channel = channel
        self.state = "streaming"
        listener = threading.Thread(target=self._listen, args=(channel,), name="acks", daemon=True)
        listener.start()
        try:
            if agreed.fresh:
                self._mirror()
            self._stream(channel, agreed.at.lsn)
        finally:
            channel.close()
            listener.join(ANSWER_S)

    def _agree(self, mine: Hello, theirs: Hello) -> Agreed:
        """Raises Broken: a stream can't bring these two together; KeyError, Damaged: as journal.read."""
        verdict = meet(mine.lineage, theirs.lineage)
        self.meeting = verdict.meeting
        if self._resumes(theirs):
            return Agreed(theirs.end)
        if verdict.meeting in _WHOLE or (self.may_mirror and verdict.meeting in _SENDING):
            self._mirrored_from = self._journal.end
            here = Place(generation=self._journal.generation, lsn=self._journal.end, crc=self._journal.crc)
            return Agreed(here, fresh=True)
        follows = verdict.meeting is Meeting.SEND_DIRTY and theirs.end.lsn <= verdict.fork
        if verdict.meeting is not Meeting.STREAM and not follows:
            raise Broken(f"no stream to this standby ({verdict.meeting.value}): {verdict.reason}")
        if theirs.end.lsn > self._journal.end:
            raise Broken("the standby holds records that this journal lost: hot extents must be compared")
        if self._journal.crc_before(theirs.end.lsn) != theirs.end.crc:
            raise Broken("the standby's records are not ours: a full comparison is needed")
        return Agreed(theirs.end)

    def _resumes(self, theirs: Hello) -> bool:
        """The standby broke off inside a mirror whose records are all still here."""
        start = self._mirrored_from
        return (
            theirs.lineage.receiving == self._journal.generation
            and start is not None
            and start <= theirs.end.lsn <= self._journal.end
            and self._journal.crc_before(theirs.end.lsn) == theirs.end.crc
        )

    def _stream(self, channel: Channel, lsn: int) -> None:
        freed_at = lsn
        while not self._stopped.is_set() and not channel.closed:
            if not self._journal.wait_beyond(lsn, RETRY_S):
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

    def _listen(self, channel: Channel) -> None:
        try:
            while True:
                frame = channel.receive()
                if frame is not None and isinstance(frame.message, Ack):
                    ack = frame.message
                    self._gate.acknowledge(ack.received, ack.durable, ack.applied)
                elif frame is not None and isinstance(frame.message, Refused):
                    self.state = frame.message.why
                    return
        except Broken:
            return
        finally:
            channel.close()
