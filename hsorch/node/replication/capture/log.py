"""The write side of the journal: a record first, then the deed; and a mark of how far the deeds got.

The mark lives in a shared page of memory, so it outlives a killed process, but no reboot: every record below
it was carried out here. After such an end the records from the mark on are done again (group.py). Several
deeds may be under way at once; the mark never passes the oldest one.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from hsorch.node.replication.capture.activity import Activity
from hsorch.node.replication.doubt import touched
from hsorch.node.replication.journal import Journal
from hsorch.node.replication.record import NAME_KINDS, Buffer, Kind, Record

_FULL = (errno.ENOSPC, errno.EDQUOT)
_CHANGING = frozenset({Kind.WRITE, Kind.TRUNCATE, Kind.ALLOCATE})
_MARK = struct.Struct("<Q")


class Watcher(Protocol):
    """Told of every change of content before its record is written (queue.py)."""

    def before(self, fid: int, offset: int, length: int) -> bool:
        """False: only the place is noted, the record leaves its data out. Raises OSError."""
        ...

    def full(self, fid: int, offset: int, length: int) -> bool:
        """The journal's disk has no room for a record. True: the same may be tried again; False: without its
        data. Raises OSError: nothing helps."""
        ...


class Mark:
    """A number in a page that survives the process, not the machine; 0: nobody has set it since."""

    def __init__(self, path: Path) -> None:
        """path: in /run, as a disk may fail at any access to the page. Raises OSError."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, mmap.PAGESIZE)  # found later, no room ends the process
            self._page = mmap.mmap(descriptor, mmap.PAGESIZE)
        finally:
            os.close(descriptor)

    def get(self) -> int:
        return int(_MARK.unpack_from(self._page, 0)[0])

    def set(self, lsn: int) -> None:
        _MARK.pack_into(self._page, 0, lsn)

    def close(self) -> None:
        self._page.close()


class MadeGood(OSError):
    """The deed failed, and records after its own say what stands there now."""


class Log:
    """names: the one lock under which names change (and the only one held together with a file's)."""

    def __init__(
        self,
        journal: Journal,
        mark: Mark,
        watcher: Watcher | None = None,
        activity: Activity | None = None,
        *,
        on_fault: Callable[[str], None],
    ) -> None:
        """on_fault(why): a record stands there and its deed failed: only verify can tell what is equal."""
        self.journal = journal
        self._on_fault = on_fault
        self.names = threading.RLock()
        self.watcher = watcher
        self.observer: Callable[[Record], None] | None = None
        """Told of each record that changes names, under their lock (compare.py)."""
        self._mark = mark
        self._activity = activity
        self._under_way: dict[int, int] = {}
        mark.set(journal.end)

    @contextmanager
    def entry(
        self,
        kind: Kind,
        *,
        fid: int | None = 0,
        a: int = 0,
        b: int = 0,
        aux: int = 0,
        path: bytes = b"",
        data: Buffer = b"",
    ) -> Iterator[Record]:
        """Append a record; the body of the `with` carries it out. Raises OSError.

        A body that fails raises MadeGood if it has told so, any other OSError is a fault."""
        token = threading.get_ident()
        outer = self._under_way.get(token)
        # Registered with a bound that is not above the record's own lsn, before the record exists.
        self._under_way.setdefault(token, self.journal.end)
        try:
            if self._activity is not None and kind in _CHANGING:
                # A standby may carry out the record, and the kernel the deed, before either is durable here.
                self._activity.touch(fid or 0, *touched(kind, a, b))
            record = self._append(kind, fid=fid, a=a, b=b, aux=aux, path=path, data=data)
            if self.observer is not None and kind in NAME_KINDS:
                self.observer(record)
            try:
                yield record
            except MadeGood:
                raise
            except OSError as error:
                what = os.fsdecode(path) or f"file {record.fid:x}"
                self._on_fault(f"{kind.name} of {what} failed: {error.strerror}")
                raise
        finally:
            if outer is None:
                end = self.journal.end
                del self._under_way[token]
                self._mark.set(min(list(self._under_way.values()), default=end))

    def oldest(self, but: Collection[int]) -> int | None:
        """The lowest lsn that a deed under way can have; None: none is. but: threads that don't count."""
        return min((lsn for thread, lsn in list(self._under_way.items()) if thread not in but), default=None)

    def settled(self) -> int:
        """Every record before it was carried out here."""
        end = self.journal.end  # first: who registers after this gets a higher lsn
        return min(end, self.oldest(()) or end)

    def brought_in(self, fid: int, size: int) -> None:
        """A file that nobody recorded until now has an identity: its content may not be on the disk yet."""
        if self._activity is not None:
            self._activity.touch(fid, 0, size)

    def _append(
        self, kind: Kind, *, fid: int | None, a: int, b: int, aux: int, path: bytes, data: Buffer
    ) -> Record:
        """The application has nothing to do with our disk: it does not see that it is full."""
        while True:
            try:
                return self.journal.append(kind, fid=fid, a=a, b=b, aux=aux, path=path, data=data)
            except OSError as error:
                if error.errno not in _FULL or self.watcher is None:
                    raise
            length = len(data) if kind is Kind.WRITE else 0
            if not self.watcher.full(fid or 0, a, length) and length:
                data = b""

    def content(self, kind: Kind, fid: int, offset: int, length: int) -> bool:
        """Ask the watcher, if any, before a change of content is recorded. Raises OSError."""
        return self.watcher is None or self.watcher.before(fid, offset, length)
