"""The source's side of a resync: begun at a meeting, told what the standby holds, run beside the application.

One at a time. Whether a resync is needed is the shipper's verdict (ship.py); how the standby is made equal is
capture/compare.py's business.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from hsorch.node.replication.base_copy import BaseCopy
from hsorch.node.replication.capture.compare import COMPARED, Comparison
from hsorch.node.replication.capture.group import Capture
from hsorch.node.replication.capture.outlining import Outlining, Stopped
from hsorch.node.replication.dirty import DirtyMap
from hsorch.node.replication.doubt import Doubt, Extents
from hsorch.node.replication.gate import Gate
from hsorch.node.replication.generations import Verdict
from hsorch.node.replication.hot import Spans
from hsorch.node.replication.image import Image
from hsorch.node.replication.messages import Ack, Message, Pictured
from hsorch.node.replication.meta import Place
from hsorch.node.replication.pace import paced
from hsorch.node.replication.progress import Figures
from hsorch.node.replication.queue import Queue
from hsorch.node.replication.record import OVERHEAD, Damaged, Kind, Record
from hsorch.node.replication.stage import EVERYTHING, VERIFY
from hsorch.node.replication.tree import Tree
from hsorch.node.replication.vanished import Vanished, weigh
from hsorch.node.replication.wire import Broken, Channel

Say = Callable[[Message], None]
"""To the standby, over one connection. Raises Broken."""
JOIN_S = 30.0
"""A comparison that was given up ends at its next block; one that a dead disk holds is left behind."""


@dataclass
class Round:
    """One comparison. told: the standby has said everything."""

    begin: Record
    outlining: Outlining
    comparison: Comparison
    whole_from: int
    """All contents are read as they are from here on, and compared or brought; -1: only a part is."""
    compared: bool
    """All of them are compared."""
    told: bool = False
    given_up: bool = False
    end: int = 0
    """Where it is closed in the journal; 0: not yet."""
    held: dict[str, int] = field(default_factory=dict)
    """By bound path: files that it would have deleted at the standby, and was given up for."""

    @property
    def checked(self) -> int:
        return self.outlining.checked + self.comparison.checked


class Levelling:
    """Implements ship.Resyncs."""

    def __init__(
        self,
        trees: list[Tree],
        capture: Capture,
        queue: Queue,
        gate: Gate,
        unsure: Callable[[], Spans],
        *,
        on_begin: Callable[[], None],
        on_end: Callable[[bool, int], None],
        on_fault: Callable[[str], None],
        on_held: Callable[[], None],
    ) -> None:
        """unsure(): where the source is unsure of its own contents.

        on_begin: the standby has durably forgotten that it was complete. on_end(compared, whole_from): all
        that makes the standby equal is recorded (both as in Round). on_fault(why): it must begin again.
        on_held: it was given up before anything was recorded, and confirm() is waited for (`held`)."""
        self._trees = trees
        self._capture = capture
        self._journal = capture.log.journal
        self._queue = queue
        self._gate = gate
        self._unsure = unsure
        self._on_begin = on_begin
        self._on_end = on_end
        self._on_fault = on_fault
        self._on_held = on_held
        self._round: Round | None = None
        self._base: BaseCopy | None = None
        """On its way, or broken off."""
        self.bringing = False
        """A standby takes in a base copy; its stream has not begun."""
        self._thread: threading.Thread | None = None
        self._say: Say | None = None
        self._meeting = threading.Lock()
        """Held while a verify begins, and while it changes whom this side speaks to."""
        self._unguards = False
        self._wanted = False
        """A verify was asked for and has not begun where a standby could hear it."""
        self._anew = False
        """The stream is to begin anew, with a comparison of everything."""
        self._copied = 0
        self._confirmed: set[str] = set()
        """Folders whose deletions are meant, until a comparison is at its end."""

    # ----------------------------------------------------------------- looked at

    @property
    def running(self) -> bool:
        """The standby is not equal yet, and cannot be told to be complete."""
        now = self._round
        return self.bringing or (now is not None and now.begin.a == EVERYTHING and not now.end)

    @property
    def unfinished(self) -> bool:
        return self.running or self._anew

    @property
    def verifying(self) -> bool:
        now = self._round
        open_ = now is not None and now.begin.a == VERIFY and not (now.end or now.held or now.given_up)
        return self._wanted or open_

    @property
    def ends_at(self) -> int:
        """The lsn from which on the standby is equal, once it applied so far."""
        now = self._round
        return 0 if now is None or now.begin.a != EVERYTHING else now.end

    @property
    def copied(self) -> int:
        """Bytes of content that were sent because they differed, in this process's life."""
        now = self._round
        base = sum(one.bytes_sent for one in self._base_figures())
        return self._copied + base + (0 if now is None else now.comparison.copied)

    @property
    def checked(self) -> int:
        """Bytes that the base copy or the comparison of now, or the last one, has read."""
        if self.bringing:
            return sum(one.bytes_done for one in self._base_figures())
        now = self._round
        return 0 if now is None else now.checked

    @property
    def left(self) -> int:
        """Bytes that the base copy or the comparison of now has still to read, of what it has listed, by the
        sizes then."""
        if self.bringing:
            return sum(one.left_bytes for one in self._base_figures())
        now = self._round
        return 0 if now is None or now.end else max(0, now.outlining.total - now.checked)

    @property
    def differing(self) -> int:
        now = self._round
        return 0 if now is None else now.comparison.copied

    @property
    def repaired(self) -> int:
        """Names that the comparison of now, or the last one, had to put right."""
        now = self._round
        return 0 if now is None else now.comparison.repaired

    @property
    def held(self) -> dict[str, int]:
        """By bound path: files that are gone here, and that the standby keeps until confirm()."""
        now = self._round
        return {} if now is None else now.held

    @property
    def parts(self) -> bool:
        """What is held back keeps the standby from being made equal: nothing may be sent until then."""
        return self.running and bool(self.held)

    def _base_figures(self) -> list[Figures]:
        base = self._base
        return [] if base is None or not self.bringing else base.figures()

    # -------------------------------------------------------------------- driven

    def verify(self) -> None:
        """Compare everything, at the next chance; the standby stays what it is meanwhile."""
        self._wanted = True

    def begin_anew(self) -> None:
        """With the next connection, whatever the standby has: in the place of the verify asked for."""
        self._anew = True

    def turn(self) -> None:
        """Now and then while a standby is connected and level. Raises OSError."""
        with self._meeting:
            if self._wanted and not self.running and self._say is not None:
                self._wanted = False
                begin = self._mark(VERIFY)
                self._start(self._open(begin, None, begin.lsn), self._say)

    def confirm(self, path: str) -> None:
        """An operator says that deletions which are held back are meant; path empty: everywhere."""
        now = self._round
        if now is None or not now.held:
            return
        self._confirmed |= {folder for folder in now.held if path in ("", folder)}
        now.held = {folder: files for folder, files in now.held.items() if folder not in self._confirmed}
        if not now.held and now.begin.a == VERIFY:
            self._wanted = True

    def stop(self) -> None:
        """What is compared now is given up; close() also waits until it has ended."""
        if self._round is not None:
            self._round.given_up = True

    def close(self) -> None:
        """Once nobody is listened to any more."""
        self.stop()
        if self._thread is not None:
            self._thread.join(JOIN_S)

    # ---------------------------------------------------- as the shipper asks for

    def bring(self, channel: Channel) -> int:
        self.stop()  # what a round before this recorded was for other files
        copy = self._base = self._base or BaseCopy(self._trees, self._capture.log, self._capture.nodes)
        self.bringing = True
        try:
            since = copy.run(channel, self._on_begin)
        finally:
            self.bringing = False
            self._copied += sum(one.bytes_sent for one in copy.figures())
        self._base = None
        return since

    def begin(self, verdict: Verdict, *, decided: bool, brought: bool) -> tuple[Place, Extents | None]:
        left_out = self._queue.level()
        record = self._mark(EVERYTHING)
        unsure: Spans = frozenset() if brought else self._unsure()
        extents = self._differing(verdict.since, left_out, unsure, record.lsn)
        whole_from = record.lsn if extents is None else -1
        if brought and verdict.since is not None:
            whole_from = max(whole_from, verdict.since)
        self._anew, self._wanted = False, self.verifying and extents is not None
        own = verdict.rolled_back // OVERHEAD
        self._open(record, extents, whole_from, decided=decided, own=own)
        self._unguards = True
        return Place(generation=record.generation, lsn=record.lsn, crc=record.previous), extents

    def _mark(self, what: int) -> Record:
        """The names that change while the standby tells what it holds are looked up again in the journal."""
        self._journal.keep(COMPARED, None)
        self._journal.keep(COMPARED, self._journal.end)
        return self._journal.append(Kind.MIRROR_BEGIN, a=what)

    def _differing(self, since: int | None, left_out: DirtyMap, unsure: Spans, until: int) -> Extents | None:
        """Where contents can differ, as far as this side knows; None: anywhere. Raises OSError."""
        if since is None or since < self._journal.first:
            return None
        doubt = Doubt()
        doubt.add_spans(unsure)
        for fid in left_out.files():
            for offset, length in left_out.ranges(fid):
                doubt.add(fid, offset, length)
        try:
            doubt.add_records(self._journal.records(since, until))
        except (KeyError, Damaged):
            return None
        return doubt.extents()

    def resumes(self, theirs: Place) -> bool:
        if self._anew:
            return False
        now = self._round
        if now is None or now.begin.a != EVERYTHING or not now.told or now.given_up:
            return False
        if not max(now.begin.lsn + 1, self._journal.first) <= theirs.lsn <= self._journal.end:
            return False
        try:
            return self._journal.crc_before(theirs.lsn) == theirs.crc
        except Damaged:
            return False

    def connected(self, say: Say, *, fresh: bool) -> None:
        """A verify that had not heard all of its standby over the connection before is asked for again."""
        with self._meeting:
            self._say = say
            now = self._round
            if now is None:
                return
            if fresh:
                self._start(now, say)
            elif now.begin.a == VERIFY and not (now.told or now.given_up):
                now.given_up, self._wanted = True, True

    def disconnected(self) -> None:
        with self._meeting:
            self._say = None

    def told(self, message: Pictured) -> None:
        self._has_begun()
        now = self._round
        if now is not None and message.lsn == now.begin.lsn:
            now.outlining.hear(message)

    def acknowledged(self, ack: Ack) -> None:
        if not ack.guarded:
            self._has_begun()

    def _has_begun(self) -> None:
        if self._unguards:
            self._unguards = False
            self._on_begin()

    def _open(
        self,
        begin: Record,
        extents: Extents | None,
        whole_from: int,
        *,
        decided: bool = False,
        own: int = 0,
    ) -> Round:
        """decided: the standby's files count for nothing. own: as many it may have made by itself."""
        before = self._round
        if before is not None:
            before.given_up = True
            self._copied += before.comparison.copied
        opened: Round

        def given_up() -> bool:
            return opened.given_up

        def weighed(image: Image) -> None:
            if decided:
                return
            gone = weigh(self._trees, image, self._capture.log.names, own)
            gone = {path: files for path, files in gone.items() if path not in self._confirmed}
            if gone:
                raise Vanished(gone)

        capture = self._capture
        outlining = Outlining(self._trees, capture.log, extents=extents, ended=given_up)
        comparison = Comparison(
            self._trees, capture.log, capture.nodes, capture.files, outlining.heard, extents=extents,
            before=weighed, stopped=paced(self._journal, self._gate, given_up),
        )  # fmt: skip
        opened = self._round = Round(
            begin, outlining, comparison, whole_from=whole_from, compared=extents is None
        )  # fmt: skip
        return opened

    def _start(self, now: Round, say: Say) -> None:
        work = threading.Thread(target=self._run, args=(now, say), name="compare", daemon=True)
        self._thread = work
        work.start()

    def _run(self, now: Round, say: Say) -> None:
        try:
            now.outlining.run(now.begin.lsn, say)
            now.told = True
            now.end = now.comparison.run(now.begin).end
            if now.begin.a == EVERYTHING:
                self._queue.closed()
        except (Stopped, Broken):
            return
        except Vanished as gone:
            now.given_up, now.held = True, gone.files
            self._on_held()
            return
        except Exception as error:  # told, and begun again: the standby is not equal
            now.given_up = True
            why = error if isinstance(error, OSError) else repr(error)
            self._on_fault(f"the comparison with the standby stopped: {why}")
            return
        self._confirmed.clear()
        self._on_end(now.compared, now.whole_from)
