"""Places whose data the journal left out: which blocks of which files, in memory and on disk.

Who notes them, and when they are copied, is queue.py's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from zlib import crc32

import msgspec

from hsorch.node.store import replace_file

BLOCK_BYTES = 64 * 1024


class DirtyMap:
    """Which blocks of which files were written without their data being kept. A set bit per block."""

    def __init__(self, blocks: Mapping[int, int] | None = None) -> None:
        self._blocks = dict(blocks or {})

    def __bool__(self) -> bool:
        return bool(self._blocks)

    def add(self, fid: int, offset: int, length: int) -> None:
        first, last = offset // BLOCK_BYTES, (offset + max(length, 1) - 1) // BLOCK_BYTES
        self._blocks[fid] = self._blocks.get(fid, 0) | ((1 << (last - first + 1)) - 1) << first

    def join(self, other: DirtyMap) -> None:
        for fid, bits in other._blocks.items():
            self._blocks[fid] = self._blocks.get(fid, 0) | bits

    @property
    def bytes(self) -> int:
        """What a resync would copy at most."""
        return sum(bits.bit_count() for bits in self._blocks.values()) * BLOCK_BYTES

    @property
    def blocks(self) -> Mapping[int, int]:
        return self._blocks

    def files(self) -> frozenset[int]:
        return frozenset(self._blocks)

    def ranges(self, fid: int) -> Iterator[tuple[int, int]]:
        """(offset, length) of each run of dirty blocks."""
        bits, at = self._blocks.get(fid, 0), 0
        while bits:
            skip = (bits & -bits).bit_length() - 1
            bits >>= skip
            at += skip
            run = (~bits & (bits + 1)).bit_length() - 1
            yield at * BLOCK_BYTES, run * BLOCK_BYTES
            bits >>= run
            at += run


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    begun_at: int
    blocks: dict[int, bytes]


class DirtyFile:
    """What is owed to the standby, so that the records that say so need not be kept until it is copied."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def save(self, begun_at: int, dirty: DirtyMap) -> None:
        """begun_at: lsn of the MIRROR_BEGIN. On stable storage when it returns. Raises OSError."""
        kept = {
            fid: bits.to_bytes(-(-bits.bit_length() // 8), "little") for fid, bits in dirty.blocks.items()
        }
        body = msgspec.msgpack.encode(_Kept(begun_at, kept))
        replace_file(self._path, crc32(body).to_bytes(4, "little") + body, mode=0o600)

    @property
    def damaged(self) -> bool:
        try:
            self.load()
        except ValueError:
            return True
        return False

    def load(self) -> tuple[int, DirtyMap] | None:
        """None: nothing is owed that the journal does not tell. Raises OSError, ValueError: it is damaged."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None
        if int.from_bytes(data[:4], "little") != crc32(data[4:]):
            raise ValueError(f"{self._path} is damaged")
        kept = msgspec.msgpack.decode(data[4:], type=_Kept)
        return kept.begun_at, DirtyMap(
            {fid: int.from_bytes(bits, "little") for fid, bits in kept.blocks.items()}
        )

    def drop(self) -> None:
        self._path.unlink(missing_ok=True)
