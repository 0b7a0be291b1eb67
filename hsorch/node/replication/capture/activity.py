"""The activity log of a source: a place is durably called hot before it is first written, and cold later.

After a power cut the files may lack any write since they were last synced, and the journal the records of it.
So what may differ from the standby is what is hot here, and what the journal still says. Only the first write
into a cold extent waits for the disk. Every PERIOD_S, journal and files are synced; what was not touched
since the period before goes cold then, unless this source is unsure itself since an earlier power cut.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Sequence

from hsorch.node.replication.hot import SLOTS, HotFile, Span, Spans, span_of
from hsorch.node.replication.journal import Journal
from hsorch.node.replication.tree import Tree, sync_filesystem

Oldest = Callable[[Collection[int]], int | None]
"""The lowest lsn that a deed under way can have, but for those of some threads; None: none is (log.py)."""

PERIOD_S = 30.0
ROOMY = SLOTS * 3 // 4
"""With more hot extents than that after a period, everything is called hot: naming them would cost a flush
each, again and again."""


class Activity:
    """start() runs a thread. Asked by capture.log, which knows what is under way."""

    def __init__(
        self,
        hot: HotFile,
        journal: Journal,
        trees: Sequence[Tree],
        *,
        unsure: bool,
        on_refusal: Callable[[], None],
    ) -> None:
        """Journal and files are on stable storage. unsure: since a power cut; what was hot then stays so.
        on_refusal(): the disk refused files, and nobody else will hear of it; may raise OSError.

        Raises OSError."""
        self._hot = hot
        self._journal = journal
        self._trees = trees
        self._lock = threading.Lock()
        self._on_refusal = on_refusal
        self._kept: Spans = hot.spans if unsure else frozenset()
        """Since a power cut: hot until the standby is equal."""
        self._refused: frozenset[Span] = frozenset()
        """By the disk: hot until a source that begins with them is equal to its standby."""
        self._young: set[Span] = set()
        """Touched in this period. Always complete, also while everything is called hot."""
        self._old: set[Span] = set()
        """Touched in the period before, and hot on disk."""
        self._waiting: set[int] = set()
        """Threads whose place is not hot yet: their deeds have not begun."""
        self._turned_at = journal.end
        self._everywhere = False
        self._oldest: Oldest = lambda _: None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="activity", daemon=True)
        self._write(set(), journal.end)

    @property
    def unsure(self) -> Spans:
        """Where this source is unsure of itself."""
        return None if self._kept is None else self._kept | self._refused

    def start(self, oldest: Oldest) -> None:
        self._oldest = oldest
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join()

    def touch(self, fid: int, offset: int, length: int) -> None:
        """Before the record of a deed exists, by a thread whose deed is under way. Raises OSError."""
        span = span_of(fid, offset, max(1, length))
        if span not in self._young:
            self._heat(span)

    def forget(self) -> None:
        """The standby is equal: of what a power cut took nothing is in doubt any more. Raises OSError."""
        with self._lock:
            self._kept = frozenset()
            self._write(self._young | self._old, self._hot.settled)

    def turn(self) -> None:
        """A period is over, unless a deed that began before it is still under way. Raises OSError."""
        if not self._young and not self._old:
            return
        oldest = self._oldest(self._waiting)
        if oldest is not None and oldest <= self._turned_at:
            return
        try:
            settled = self._journal.sync()
            for tree in self._trees:
                sync_filesystem(tree.descriptor)
        except OSError:
            self._stay_hot()
            raise
        with self._lock:
            self._write(self._young, settled)
            self._old, self._young = self._young, set()
            self._turned_at = self._journal.end

    def _stay_hot(self) -> None:
        """What the disk refused it has forgotten, and the next sync says nothing of it."""
        with self._lock:
            self._refused = self._refused | self._young | self._old
        self._on_refusal()

    def _run(self) -> None:
        while not self._stopped.wait(PERIOD_S):
            with contextlib.suppress(OSError):  # nothing goes cold; the application is told by its own flush
                self.turn()

    def _write(self, touched: set[Span], settled: int) -> None:
        unsure = self.unsure
        hot = None if unsure is None else unsure | touched
        if hot is not None and len(hot) > ROOMY:
            hot = None
        self._hot.replace(hot, settled)
        self._everywhere = hot is None

    def _heat(self, span: Span) -> None:
        thread = threading.get_ident()
        self._waiting.add(thread)
        with self._lock:
            self._waiting.discard(thread)
            if span in self._young:
                return
            known = self._everywhere or span in self._old
            if not known and not self._hot.add(span):
                self._hot.replace(None, self._hot.settled)
                self._everywhere = True
            self._young.add(span)
