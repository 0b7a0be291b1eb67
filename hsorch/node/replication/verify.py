"""Comparing contents by hashes: blocks of large files, whole small files. What to do about a difference is
not decided here.

xxh3 with 128 bits: strong against accidents, not against an attacker, who is kept out by the channel.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

BLOCK = 128 << 10
SEGMENT = 16 << 20
"""Compared at a time; a multiple of BLOCK."""
SMALL = 256 << 10
"""Up to this size a file is compared and sent whole."""
DIGEST = 16


def digest(data: bytes | bytearray | memoryview) -> bytes:
    from xxhash import xxh3_128_digest

    return xxh3_128_digest(data)


class Hasher:
    """Hashes ranges of files with one buffer of its own; not for several threads at once."""

    def __init__(self) -> None:
        self._buffer = bytearray(1 << 20)

    def small(self, fd: int, size: int) -> bytes:
        """Of the whole content of an open file; b"": it is no small one (any more). Raises OSError."""
        if size > SMALL:
            return b""
        with memoryview(self._buffer) as view:
            size = os.readv(fd, [view[: SMALL + 1]])
            return digest(view[:size]) if size <= SMALL else b""

    def blocks(self, fd: int, offset: int, end: int) -> bytes:
        """DIGEST bytes for each BLOCK from offset on; the last one may be short, and what lies behind the
        end of the file has no digest. Raises OSError."""
        from xxhash import xxh3_128_digest

        found: list[bytes] = []
        with memoryview(self._buffer) as view:
            while offset < end:
                wanted = min(len(view), end - offset)
                got = _fill(fd, view[:wanted], offset)
                found += [xxh3_128_digest(view[at : min(at + BLOCK, got)]) for at in range(0, got, BLOCK)]
                if got < wanted:
                    break
                offset += got
        return b"".join(found)


def differing(mine: bytes, theirs: bytes) -> list[int]:
    """Numbers of the blocks of `theirs` that `mine` lacks or has otherwise."""
    if mine == theirs:
        return []
    return [
        at // DIGEST
        for at in range(0, len(theirs), DIGEST)
        if mine[at : at + DIGEST] != theirs[at : at + DIGEST]
    ]


def segments(begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Pieces of at most SEGMENT, cut at multiples of SEGMENT so that blocks keep their places."""
    while begin < end:
        stop = min(end, (begin // SEGMENT + 1) * SEGMENT)
        yield begin, stop
        begin = stop


def aligned(extent: tuple[int, int], size: int) -> tuple[int, int]:
    """The extent widened to whole blocks inside the file."""
    begin, end = extent
    return begin // BLOCK * BLOCK, min(size, -(-end // BLOCK) * BLOCK)


def _fill(fd: int, view: memoryview, offset: int) -> int:
    got = 0
    while got < len(view):
        n = os.preadv(fd, [view[got:]], offset + got)
        if n == 0:
            break
        got += n
    return got
