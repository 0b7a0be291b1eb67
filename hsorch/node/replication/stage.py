"""A resync that is held back in the spool until its end is there, so that the files stay usable meanwhile.

Reads ahead and says where everything that was begun is closed; what to do then is the spool's business.
"""

from __future__ import annotations

from pathlib import Path

from hsorch.node.replication.journal import Journal
from hsorch.node.replication.record import Kind, Record
from hsorch.node.replication.space import Limits, free_bytes

EVERYTHING, LEFT_OUT, VERIFY = 0, 1, 2
"""What a MIRROR_BEGIN begins (its a)."""

Marks = tuple[int, int]


def marked(marks: Marks, record: Record) -> Marks:
    """The marks after this record: what was begun and is not closed."""
    if record.a > LEFT_OUT or record.kind not in (Kind.MIRROR_BEGIN, Kind.MIRROR_END):
        return marks
    changed = list(marks)
    if record.kind is Kind.MIRROR_BEGIN:
        changed[record.a] = record.lsn
    elif marks[record.a] <= record.b:
        changed[record.a] = 0
    return changed[0], changed[1]


class Stage:
    """From a MIRROR_BEGIN in the spool on."""

    def __init__(self, journal: Journal, at: int, room: int) -> None:
        """room: bytes that may be held back."""
        self._journal = journal
        self._marks: Marks = (0, 0)
        self.at = at
        self.read_to = at
        self._room = room
        self.closed_at = 0
        """The end of the record that closes it; 0: it is not there yet."""

    def look(self) -> int:
        """Read on. closed_at. Raises as journal.read does."""
        if not self.closed_at:
            for record in self._journal.records(self.read_to):
                self._marks = marked(self._marks, record)
                self.read_to = record.end
                if self._marks == (0, 0):
                    self.closed_at = record.end
                    break
        return self.closed_at

    @property
    def overflows(self) -> bool:
        return self._journal.end - self.at > self._room


def room_for(folder: Path, cap: int, limits: Limits | None = None) -> int:
    """Bytes that a stage in this folder may take: up to the cap, and the volume stays above its warning."""
    return min(cap, max(0, free_bytes(folder) - (limits or Limits()).warn))
