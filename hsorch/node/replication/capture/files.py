"""Content: open, read, write, flush, cut, allocate. Per file: record, then deed, then the next one.

Two handles of one file share one lock, so the journal has their writes in the order in which the disk got
them. A deed that fails after its record is made good by COMPENSATE: what really stands there.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass

from hsorch.node.replication.capture.log import Log, MadeGood
from hsorch.node.replication.capture.nodes import Node, Nodes
from hsorch.node.replication.gate import Gate
from hsorch.node.replication.record import Kind
from hsorch.node.replication.tree import (
    Attributes,
    Tree,
    allocate,
    encode_attributes,
    is_identified,
    write_all,
)

_STRIPPED = os.O_APPEND | os.O_DIRECT | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_TRUNC
"""The kernel above us has done these (offsets of O_APPEND, too), or they would hinder our own calls."""


_KEEP_SIZE = 1
"""The mode of fallocate(2) that, alone, changes no content."""
PIECE_BYTES = 1024 * 1024


@dataclass
class Handle:
    descriptor: int
    node: Node | None
    """None: only read."""
    every_write: bool = False
    """O_SYNC or O_DSYNC: each write is a flush."""
    append: bool = False
    """Writes go to the end, wherever the kernel above believes it to be (a file may have two names)."""


class Files:
    """Handles and content of all trees of a group. Methods raise OSError for the application."""

    def __init__(self, log: Log, nodes: Nodes, gate: Gate) -> None:
        self._log = log
        self._nodes = nodes
        self._gate = gate
        self._handles: dict[int, Handle] = {}
        self._lock = threading.Lock()
        self._next = 1

    # ---------------------------------------------------------------- handles

    def open(self, tree: Tree, relative: str, flags: int) -> int:
        writes = flags & os.O_ACCMODE != os.O_RDONLY
        mode = os.O_RDWR if writes else os.O_RDONLY
        descriptor = os.open(tree.path(relative), flags & ~_STRIPPED & ~os.O_ACCMODE | mode | os.O_CLOEXEC)
        try:
            node = self._nodes.take(tree, relative, identify=True) if writes else None
            number = self._add(_handle(descriptor, node, flags))
        except BaseException:
            os.close(descriptor)
            raise
        if flags & os.O_TRUNC and writes:
            self.truncate(number, 0)
        return number

    def created(self, descriptor: int, node: Node, flags: int) -> int:
        """A handle for a file that names.py has just made."""
        return self._add(_handle(descriptor, node, flags))

    def descriptor(self, number: int) -> int:
        return self._handles[number].descriptor

    def close(self, number: int) -> None:
        """The last close of a written file records its time of change."""
        with self._lock:
            handle = self._handles.pop(number)
        try:
            if handle.node is not None:
                if handle.node.written:
                    self._record_times(handle)
                self._nodes.drop(handle.node)
        finally:
            os.close(handle.descriptor)

    # ---------------------------------------------------------------- content

    def read(self, number: int, size: int, offset: int) -> bytes:
        return os.pread(self._handles[number].descriptor, size, offset)

    def write(self, number: int, data: bytes, offset: int) -> int:
        handle, node = self._writing(number)
        with node.lock:
            if handle.append:
                offset = os.fstat(handle.descriptor).st_size
            if node.fid == 0:
                write_all(handle.descriptor, data, offset)
                return len(data)
            node.written = True
            whole = self._log.content(Kind.WRITE, node.fid, offset, len(data))
            with self._log.entry(
                Kind.WRITE, fid=node.fid, a=offset, b=len(data), data=data if whole else b""
            ) as record:
                try:
                    write_all(handle.descriptor, data, offset)
                except OSError as error:
                    raise self._made_good(error, handle.descriptor, node, offset, len(data)) from error
        if handle.every_write:
            self._gate.wait(record.end)
        return len(data)

    def truncate(self, number: int, size: int) -> None:
        handle, node = self._writing(number)
        descriptor = handle.descriptor
        with node.lock:
            if node.fid == 0:
                os.ftruncate(descriptor, size)
                return
            node.written = True
            self._log.content(Kind.TRUNCATE, node.fid, size, 0)
            before = os.fstat(descriptor).st_size
            with self._log.entry(Kind.TRUNCATE, fid=node.fid, a=size, b=before):
                try:
                    os.ftruncate(descriptor, size)
                except OSError as error:
                    raise self._made_good(error, descriptor, node, size, max(0, before - size)) from error

    def allocate(self, number: int, mode: int, offset: int, length: int) -> None:
        handle, node = self._writing(number)
        with node.lock:
            if node.fid == 0:
                allocate(handle.descriptor, mode, offset, length)
                return
            node.written = True
            self._log.content(Kind.ALLOCATE, node.fid, offset, length)
            with self._log.entry(Kind.ALLOCATE, fid=node.fid, a=offset, b=length, aux=mode):
                try:
                    allocate(handle.descriptor, mode, offset, length)
                except OSError as error:
                    touched = length if mode & ~_KEEP_SIZE else 0
                    raise self._made_good(error, handle.descriptor, node, offset, touched) from error

    def flush(self, number: int, *, data_only: bool) -> None:
        """Local disk and the standby work at the same time; the answer waits for both. A program may flush
        what it wrote through a handle that only reads."""
        handle = self._handles[number]
        lsn = self._log.journal.end
        (os.fdatasync if data_only else os.fsync)(handle.descriptor)
        if (handle.node is not None and handle.node.fid) or is_identified(handle.descriptor):
            self._gate.wait(lsn)

    def flush_folder(self, descriptor: int) -> None:
        """fsync of a folder: the names in it are on both sides."""
        lsn = self._log.journal.end
        os.fsync(descriptor)
        self._gate.wait(lsn)

    def copy(self, descriptor: int, node: Node, offset: int, length: int) -> int:
        """Record what stands at offset now (mirror, resync). Bytes recorded; 0 at or beyond the end."""
        with node.lock:
            data = os.pread(descriptor, length, offset)
            size = os.fstat(descriptor).st_size
            with self._log.entry(Kind.COPY, fid=node.fid, a=offset, b=size, data=data):
                pass
        return len(data)

    def close_all(self) -> None:
        """After the mount is gone."""
        for number in list(self._handles):
            self.close(number)

    # ------------------------------------------------------------------ inside

    def _writing(self, number: int) -> tuple[Handle, Node]:
        """A file without an identity has its lock, too: it may get one while it is open (names.py)."""
        handle = self._handles[number]
        assert handle.node is not None, "the kernel lets nobody write through a handle that only reads"
        return handle, handle.node

    def _add(self, handle: Handle) -> int:
        with self._lock:
            number, self._next = self._next, self._next + 1
            self._handles[number] = handle
        return number

    def _made_good(self, error: OSError, descriptor: int, node: Node, offset: int, length: int) -> OSError:
        """What the application gets once the standby is told what really stands where the deed would have
        changed it. The caller holds the node's lock."""
        readable = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            end = offset + length
            while True:
                data = os.pread(readable, min(PIECE_BYTES, end - offset), offset)
                size = os.fstat(readable).st_size
                with self._log.entry(Kind.COMPENSATE, fid=node.fid, a=offset, b=size, data=data):
                    offset += len(data)
                if not data or offset >= end:
                    return MadeGood(error.errno, error.strerror)
        finally:
            os.close(readable)

    def _record_times(self, handle: Handle) -> None:
        node = handle.node
        assert node is not None
        with node.lock:
            node.written = False
            now = os.fstat(handle.descriptor)
            data = encode_attributes(Attributes(mtime=now.st_mtime_ns, mode=now.st_mode & 0o7777))
            with self._log.entry(Kind.ATTRIBUTES, fid=node.fid, data=data):
                pass


def _handle(descriptor: int, node: Node | None, flags: int) -> Handle:
    return Handle(descriptor, node, bool(flags & os.O_DSYNC), bool(flags & os.O_APPEND))
