"""Records into the files as they come, past the spool, while the files are no picture of one moment anyway.

In a first mirror, or a resync that could not be held back, the standby can't take over before the end and
promises nothing: to write everything twice would gain nothing. At a checkpoint the files are on stable
storage and the spool begins anew behind them; what went past since then the source still has.
"""

from __future__ import annotations

from collections.abc import Callable

from hsorch.node.replication.journal import Journal
from hsorch.node.replication.meta import MetaFile, Place
from hsorch.node.replication.record import Buffer, Damaged, Kind, Record, parse_all
from hsorch.node.replication.segments import Start
from hsorch.node.replication.stage import EVERYTHING


class Bypass:
    """Used by the spool, under the lock under which records are applied."""

    def __init__(self, meta: MetaFile, journal: Journal) -> None:
        self._meta = meta
        self._journal = journal
        self.at: Place | None = None
        """Where the files are, beyond the end of the spool; None: not beyond it."""

    @property
    def is_wanted(self) -> bool:
        """Nothing that comes now is promised to anybody."""
        meta = self._meta.value
        return not meta.consistent and meta.staged_over is None and bool(meta.marks[EVERYTHING])

    def is_open(self, lsn: int, applied: int) -> bool:
        """Whether records from lsn on may go past the spool: nothing waits in it, either."""
        return self.is_wanted and lsn == applied >= self._journal.end

    def take(self, lsn: int, data: Buffer, apply: Callable[[Record], None]) -> int:
        """Apply records; how many bytes of them went past, the rest belongs into the spool.

        Raises Damaged (all before was applied), and what apply raises: then drop() what went past."""
        end = lsn
        previous = self._journal.crc if self.at is None else self.at.crc
        for record in parse_all(data, lsn, previous):
            if record.kind is Kind.MIRROR_BEGIN or self._meta.value.consistent:
                return end - lsn
            self.at = Place(generation=record.generation, lsn=record.end, crc=record.crc)
            apply(record)
            end = record.end
        if end != lsn + len(data):
            raise Damaged(end, "it is cut short")
        return len(data)

    def drop(self) -> int:
        """What went past since the checkpoint does not count, and is sent again: the end of the spool."""
        self.at = None
        return self._journal.end

    def settle(self) -> None:
        """The files are on stable storage, and a checkpoint says so: the spool begins anew there."""
        at, self.at = self.at, None
        if at is not None:
            self._journal.restart(Start(self._journal.job, at.generation, at.lsn, at.crc))
