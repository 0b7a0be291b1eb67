"""Sends contents of files to a target: small ones packed together, large ones in blocks that differ.

Which files, is mirror.py's and live.py's business. A file that vanishes meanwhile is left out; one that is
written meanwhile carries the time from before it was read, so that the next look finds it changed. Where the
clock that files have their times from stood still meanwhile, it carries a time that the file never had.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from hsorch.node.replication.entries import Entry, Fid, entry_of_open
from hsorch.node.replication.extents import data_extents
from hsorch.node.replication.messages import Close, Hashes, Hole, Need, Open, Pack, Piece
from hsorch.node.replication.progress import Progress
from hsorch.node.replication.tick import TICK_NS, could_change_unseen
from hsorch.node.replication.verify import BLOCK, SEGMENT, SMALL, Hasher, aligned
from hsorch.node.replication.way import Naming, Way
from hsorch.node.replication.wire import Channel

PACK_BYTES = 1 << 20
PACK_FILES = 64
CHUNK = 1 << 20
WAITS_S = TICK_NS / 1e9
"""So long files are waited for in all between two calls of flush()."""
LOOK_S = 0.001
"""From one look at the clock to the next: nobody tells when it goes on."""
AHEAD = 8
"""Segments of one file that are hashed without an answer."""


@dataclass
class _Large:
    fd: int
    entry: Entry
    answers: int = 0
    """Hashes that the target has not answered yet."""
    at: int = 0
    """Where hashing goes on."""


class Sender:
    """Not for several threads at once. Methods raise Broken and OSError (reading failed)."""

    def __init__(self, channel: Channel, root: str, progress: Progress, fid: Fid | None = None) -> None:
        self._fid = fid
        self._channel = channel
        self._root = root
        self._way = Way(root)
        self._progress = progress
        self._hasher = Hasher()
        self._buffer = memoryview(bytearray(CHUNK))
        self._pack: list[Entry] = []
        self._contents = memoryview(bytearray(PACK_BYTES + SMALL + 1))
        self._packed = 0
        self._large: dict[int, _Large] = {}
        self._waiting: list[str] = []
        self._number = 0
        self._restless: set[str] = set()
        self._waits_s = WAITS_S

    @property
    def idle(self) -> bool:
        return not (self._pack or self._large or self._waiting)

    def restless(self) -> set[str]:
        """Files that were written just as they were read: to be sent again. Told once."""
        told, self._restless = self._restless, set()
        return told

    def small(self, name: str, xattrs: dict[str, bytes] | None = None) -> None:
        """Packed with others until flush(). xattrs: those of its listing, a moment ago."""
        opened = self._open(name)
        if opened is None:
            return
        fd, found = opened
        try:
            entry = self._entry(fd, name, found, xattrs)
            size = os.readv(fd, [self._contents[self._packed : self._packed + SMALL + 1]])
        finally:
            os.close(fd)
        if size > SMALL:
            self.large(name, compare=False)
            return
        self._pack.append(entry if entry.size == size else msgspec.structs.replace(entry, size=size))
        self._packed += size
        if self._packed >= PACK_BYTES or len(self._pack) >= PACK_FILES:
            self.flush()

    def flush(self) -> None:
        self._waits_s = WAITS_S
        self._way.forget()  # another folder may have its name by now, and an unmount must not meet it open
        if self._pack:
            self._channel.send(Pack(entries=self._pack), self._contents[: self._packed])
            for entry in self._pack:
                self._progress.advanced(entry.size, sent=entry.size)
                self._progress.closed_file()
            self._pack, self._packed = [], 0

    def large(self, name: str, *, compare: bool) -> None:
        """compare: the target has something like it; one such file is under way at a time."""
        if compare and self._large:
            self._waiting.append(name)
            return
        opened = self._open(name)
        self._way.forget()
        if opened is None:
            return
        fd, found = opened
        self._number += 1
        number = self._number
        try:
            entry = self._entry(fd, name, found)
            self._channel.send(Open(file=number, entry=entry, fresh=not compare))
            if compare:
                self._large[number] = _Large(fd, entry)
                self._hash_on(number)
                return
            self._send_all(number, fd, entry.size)
        except BaseException:
            if number not in self._large:
                os.close(fd)
            raise
        os.close(fd)
        self._channel.send(Close(file=number, entry=entry))
        self._progress.closed_file()

    def needed(self, need: Need) -> None:
        """The target's answer to one segment's hashes."""
        large = self._large[need.file]
        for begin, end in _runs(need.offset, need.blocks, large.entry.size):
            for got in self._send_range(need.file, large.fd, begin, end):
                self._progress.advanced(0, sent=got)
        large.answers -= 1
        self._hash_on(need.file)

    def forget(self) -> None:
        """Close what is open."""
        for large in self._large.values():
            os.close(large.fd)
        self._large.clear()
        self._waiting.clear()
        self._way.forget()

    def _hash_on(self, number: int) -> None:
        large = self._large[number]
        size = large.entry.size
        while large.at < size and large.answers < AHEAD:
            self._hash_segment(number, large, min(size, large.at + SEGMENT))
        if large.at >= size and large.answers == 0:
            del self._large[number]
            os.close(large.fd)
            self._channel.send(Close(file=number, entry=large.entry))
            self._progress.closed_file()
            while self._waiting and not self._large:  # one that vanished leaves the place to the next
                self.large(self._waiting.pop(0), compare=True)

    def _hash_segment(self, number: int, large: _Large, stop: int) -> None:
        """Hashes of the data, and the holes between, up to stop."""
        at = large.at
        size = large.entry.size
        for extent in data_extents(large.fd, at, stop):
            begin, end = aligned(extent, size)
            begin, end = max(at, begin), min(stop, end)
            if begin >= end:
                continue
            if begin > at:
                self._channel.send(Hole(file=number, offset=at, end=begin))
            digests = self._hasher.blocks(large.fd, begin, end)
            self._channel.send(Hashes(file=number, offset=begin, end=end), digests)
            large.answers += 1
            at = end
        if at < stop:
            self._channel.send(Hole(file=number, offset=at, end=stop))
        self._progress.advanced(stop - large.at)
        large.at = stop

    def _send_all(self, number: int, fd: int, size: int) -> None:
        at = 0
        for begin, end in data_extents(fd, 0, size):
            self._progress.advanced(begin - at)
            for got in self._send_range(number, fd, begin, end):
                self._progress.advanced(got, sent=got)
            at = end
        self._progress.advanced(max(0, size - at))

    def _send_range(self, number: int, fd: int, begin: int, end: int) -> Iterator[int]:
        """Bytes, piece by piece, once they are sent."""
        while begin < end:
            got = os.preadv(fd, [self._buffer[: min(CHUNK, end - begin)]], begin)
            if got == 0:
                return
            self._channel.send(Piece(file=number, offset=begin), self._buffer[:got])
            yield got
            begin += got

    def _entry(
        self, fd: int, name: str, found: os.stat_result, xattrs: dict[str, bytes] | None = None
    ) -> Entry:
        while self._fid is None and could_change_unseen(found):
            if self._waits_s <= 0:
                self._restless.add(name)
                entry = entry_of_open(fd, name, found, xattrs)
                return msgspec.structs.replace(entry, mtime_ns=entry.mtime_ns - 1)
            time.sleep(LOOK_S)
            self._waits_s -= LOOK_S
            found = os.fstat(fd)
        return entry_of_open(fd, name, found, xattrs, fid=self._fid)

    def _open(self, name: str) -> tuple[int, os.stat_result] | None:
        """None: the file is gone, or something else has its name; a later change tells of that."""
        with Naming(f"{self._root}/{name}"):
            at = self._way.to(name)
            if at is None:
                return None
            try:
                fd = os.open(at[1], os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=at[0])
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO):
                    return None
                raise
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            os.close(fd)
            return None
        return fd, found


def _runs(offset: int, blocks: list[int], size: int) -> list[tuple[int, int]]:
    """Neighbouring blocks as ranges."""
    runs: list[tuple[int, int]] = []
    for block in blocks:
        begin = offset + block * BLOCK
        end = min(size, begin + BLOCK)
        if runs and runs[-1][1] == begin:
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((begin, end))
    return runs
