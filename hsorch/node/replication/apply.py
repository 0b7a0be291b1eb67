"""Records into files: what the standby does with its spool, and the active with its own tail after a crash.

Content is written by identity and may be written again (the last writer of a byte is the same each time).
Names are changed exactly once: before each change its lsn is noted on the bound folder itself, in the same
file system and so in the same order, and only the one record noted last can be in doubt. The caller begins
at the last checkpoint; what was done since is recognised by that note. Threads: one.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence

from hsorch.node.replication.apply_names import NameApplier, SetAside, set_xattr
from hsorch.node.replication.entries import fid_of
from hsorch.node.replication.extents import start_writing
from hsorch.node.replication.record import Kind, Record
from hsorch.node.replication.tree import (
    Tree,
    allocate,
    decode_attributes,
    sync_filesystem,
    write_all,
)
from hsorch.node.replication.whereabouts import Whereabouts

_OTHERS_HAND = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EEXIST, errno.ENOTEMPTY)
"""What a record finds where somebody else removed or replaced a file or folder."""
OPEN_FILES = 512
SYNC_EACH = 64
"""Up to so many files are synced one by one at a checkpoint; more of them at once, by file system."""


class Astray(OSError):
    """What a record counts on is not there, or something else is: others changed it. filename: its path."""


class Applier:
    """Of one group. Raises OSError when the disk refuses, Astray; the record is applied again then."""

    def __init__(
        self, trees: Sequence[Tree], set_aside: SetAside, noted: dict[int, int] | None = None
    ) -> None:
        """noted: per tree, instead of the note on the folder, the last record that may have changed names."""
        self._trees = {tree.number: tree for tree in trees}
        self._noted = noted or {tree.number: tree.applied() for tree in trees}
        self._index = Whereabouts(trees)
        self._names = NameApplier(self._trees, self._index, set_aside, self._forget)
        self._open: OrderedDict[int, int] = OrderedDict()
        self._written: set[int] = set()
        self._changed = False
        self._skipped = 0

    def restart(self, lsn: int, index: Whereabouts | None = None) -> None:
        """Another stream begins at lsn; that is on stable storage when this returns. index: as look_again().
        Raises OSError."""
        self.look_again(index)
        for number, tree in self._trees.items():
            tree.set_applied(lsn)
            self._noted[number] = lsn
        self._changed = True
        self.checkpoint()

    def look_again(self, index: Whereabouts | None = None) -> None:
        """What was known of the files may be void. index: where they are; None: to be read.

        Raises OSError."""
        self.close()
        self._index.replace(Whereabouts(list(self._trees.values())) if index is None else index)

    @property
    def skipped(self) -> int:
        """Records whose file is gone meanwhile: it was removed later on."""
        return self._skipped + self._names.skipped

    def apply(self, record: Record) -> None:
        with _told_apart():
            try:
                self._apply(record)
            except FileNotFoundError:
                index = Whereabouts(list(self._trees.values()))
                if index.where(record.fid) is None:
                    raise  # each time, as the source counts on it
                self.look_again(index)
                self._apply(record)  # somebody else had moved it

    def _apply(self, record: Record) -> None:
        if record.changes_names:
            self._apply_name(record)
        elif record.fid:
            self._apply_content(record)

    def checkpoint(self) -> None:
        """What was applied is on stable storage. Raises OSError, Astray."""
        with _told_apart():
            self._checkpoint()

    def _checkpoint(self) -> None:
        if len(self._written) > SYNC_EACH or self._changed:
            for tree in self._trees.values():
                sync_filesystem(tree.descriptor)
        else:
            for fid in self._written:
                descriptor = self._descriptor(fid)
                if descriptor is not None:
                    os.fsync(descriptor)
        lost = [fid for fid in self._written if fid in self._open and not os.fstat(self._open[fid]).st_nlink]
        self._written.clear()
        self._changed = False
        if lost:
            name = self._index.where(lost[0])
            self.close()  # by its name it is not found any more
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name and name[1])

    def close(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1])

    # ---------------------------------------------------------------- content

    def _apply_content(self, record: Record) -> None:
        if record.kind is Kind.ATTRIBUTES:
            self._by_name(
                record.fid, lambda tree, name: tree.set_attributes(name, decode_attributes(record.data))
            )
            return
        if record.kind is Kind.XATTR:
            self._by_name(record.fid, lambda tree, name: set_xattr(tree, name, record))
            return
        descriptor = self._descriptor(record.fid)
        if descriptor is None:
            self._skipped += 1
            return
        self._written.add(record.fid)
        if record.kind is Kind.WRITE:
            if len(record.data) == record.b:
                write_all(descriptor, memoryview(record.data), record.a)
            elif os.fstat(descriptor).st_size < record.a + record.b:
                os.ftruncate(descriptor, record.a + record.b)
        elif record.kind is Kind.TRUNCATE:
            os.ftruncate(descriptor, record.a)
        elif record.kind is Kind.ALLOCATE:
            allocate(descriptor, record.aux, record.a, record.b)
        else:  # COPY, COMPENSATE: content and size as they were at this place
            if record.data:
                _write_over(descriptor, record)
                start_writing(descriptor, record.a, len(record.data))
            if os.fstat(descriptor).st_size != record.b:
                os.ftruncate(descriptor, record.b)

    def _by_name(self, fid: int, change: Callable[[Tree, str], None]) -> None:
        found = self._index.where(fid)
        if found is None:
            self._skipped += 1
            return
        tree, name = self._trees[found[0]], found[1]
        tree.must_be(name, fid)
        change(tree, name)
        self._written.add(fid)

    def _descriptor(self, fid: int) -> int | None:
        descriptor = self._open.get(fid)
        if descriptor is not None:
            self._open.move_to_end(fid)
            return descriptor
        found = self._index.where(fid)
        if found is None:
            return None
        descriptor = self._trees[found[0]].open(found[1], os.O_RDWR)
        if fid_of(descriptor) != fid:
            os.close(descriptor)
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), found[1])
        self._open[fid] = descriptor
        if len(self._open) > OPEN_FILES:
            os.close(self._open.popitem(last=False)[1])
        return descriptor

    def _forget(self, fid: int) -> None:
        if fid and self._index.where(fid) is None:
            self._written.discard(fid)
            descriptor = self._open.pop(fid, None)
            if descriptor is not None:
                os.close(descriptor)

    # ------------------------------------------------------------------ names

    def _apply_name(self, record: Record) -> None:
        tree = self._trees[record.aux]
        noted = self._noted[tree.number]
        if record.lsn < noted:
            return
        if record.lsn != noted:
            tree.set_applied(record.lsn)
            self._noted[tree.number] = record.lsn
        self._changed = True
        self._names.apply(tree, record, in_doubt=record.lsn == noted)


@contextlib.contextmanager
def _told_apart() -> Iterator[None]:
    """What others did is Astray; what the disk refuses stays what it is."""
    try:
        yield
    except OSError as error:
        if error.errno in _OTHERS_HAND:
            raise Astray(error.errno, error.strerror, error.filename) from error
        raise


def _write_over(descriptor: int, record: Record) -> None:
    try:
        write_all(descriptor, memoryview(record.data), record.a)
    except OSError as error:
        if error.errno != errno.EIO or record.a + len(record.data) < record.b:
            raise
        # At the end of a file the system reads what it writes a part of, also where a bad sector is.
        os.ftruncate(descriptor, record.a)
        write_all(descriptor, memoryview(record.data), record.a)
