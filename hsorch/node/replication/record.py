"""One record of the journal: what was done to a file or a name, in the one order of a group.

    magic 2 | version 1 | kind 1 | aux 2 | path length 2 | generation 8 | lsn 8 | previous crc 4
    | fid 8 | a 8 | b 8 | data length 4 | path | data | crc 4                     (little endian)

The lsn is the record's byte offset in the stream, so records are dense and a copy can be compared by place.
Each crc covers its record, which names the crc before it: two ends that agree on one crc agree on all before.
Content is addressed by fid (an identity that is never given twice); names appear only where names change.
Nothing here touches a disk.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from zlib import crc32

HEADER = struct.Struct("<HBBHHQQIQQQI")
TRAILER = struct.Struct("<I")
MAGIC = 0x4A48
VERSION = 1
LONGEST_PATH = 16 * 1024
LONGEST_DATA = 16 * 1024 * 1024
OVERHEAD = HEADER.size + TRAILER.size

Buffer = bytes | bytearray | memoryview

_LEAVES = re.compile(rb"(?:^|/)\.{0,2}(?:/|\Z)|\0")


class Kind(IntEnum):
    """What a record says. `root` (in aux) numbers the bound folder that the path is relative to."""

    IDENT = 1
    """The file at root:path is fid from now on."""
    CREATE = 2
    """New file fid at root:path; a: mode, b: owner (pack_owner)."""
    WRITE = 3
    """data at offset a of fid."""
    TRUNCATE = 4
    """fid has a bytes; it had b."""
    ALLOCATE = 5
    """fallocate of fid; a: offset, b: length, aux: mode."""
    LINK = 6
    """fid has the further name root:path."""
    UNLINK = 7
    """root:path is gone; fid 0: it was no regular file."""
    RENAME = 8
    """root:path is now data (a path of the same root), replacing what was there."""
    MAKE_DIRECTORY = 9
    """root:path; a: mode, b: owner."""
    REMOVE_DIRECTORY = 10
    SYMLINK = 11
    """root:path leads to data; b: owner."""
    ATTRIBUTES = 12
    """data: msgpack of attributes.Attributes, of fid, or of root:path when fid is 0."""
    XATTR = 13
    """data: msgpack of (name, value or None), of fid, or of root:path when fid is 0."""
    COMPENSATE = 14
    """A write of fid did not come off: data is what really stands at offset a, b the real size."""
    COPY = 15
    """Mirror: data stands at offset a of fid, whose size is b at this place of the order."""
    MIRROR_BEGIN = 16
    """From here to MIRROR_END the standby is no picture of one moment. a: 0 when everything is compared
    (compare.py), 1 when what records of writes left out is copied (queue.py); 2: a picture is asked for here
    by verify, and the standby is one at each place, as it was before."""
    MIRROR_END = 17
    """Closes every MIRROR_BEGIN of the same a up to lsn b."""
    BARRIER = 18
    """Everything before was asked to be on stable storage on both nodes."""
    GENERATION = 19
    """The stream goes on under another generation (in the header)."""


NAME_KINDS = frozenset(
    {
        Kind.IDENT, Kind.CREATE, Kind.LINK, Kind.UNLINK, Kind.RENAME,
        Kind.MAKE_DIRECTORY, Kind.REMOVE_DIRECTORY, Kind.SYMLINK,
    }
)  # fmt: skip
"""Records that change names: each is applied exactly once (apply.py)."""


class Damaged(ValueError):
    """The bytes at `lsn` are not the record that belongs there."""

    def __init__(self, lsn: int, why: str) -> None:
        super().__init__(f"record at {lsn}: {why}")
        self.lsn = lsn
        self.why = why


@dataclass(frozen=True, slots=True)
class Record:
    """path and data may be views of a larger buffer."""

    kind: Kind
    lsn: int
    generation: int = 0
    previous: int = 0
    fid: int = 0
    a: int = 0
    b: int = 0
    aux: int = 0
    path: Buffer = b""
    data: Buffer = b""
    crc: int = 0

    @property
    def size(self) -> int:
        return OVERHEAD + len(self.path) + len(self.data)

    @property
    def end(self) -> int:
        return self.lsn + self.size

    @property
    def changes_names(self) -> bool:
        """Attributes of a folder or a link are addressed by name, so they count."""
        return self.kind in NAME_KINDS or (self.fid == 0 and self.kind in (Kind.ATTRIBUTES, Kind.XATTR))


def encode(record: Record) -> tuple[list[Buffer], int]:
    """The record's bytes in parts (no copy of the data), and its crc. Raises ValueError: too long."""
    if len(record.path) > LONGEST_PATH or len(record.data) > LONGEST_DATA:
        raise ValueError(f"a record holds {LONGEST_PATH} bytes of path and {LONGEST_DATA} of data at most")
    header = HEADER.pack(
        MAGIC, VERSION, record.kind, record.aux, len(record.path), record.generation, record.lsn,
        record.previous, record.fid, record.a, record.b, len(record.data),
    )  # fmt: skip
    crc = crc32(record.data, crc32(record.path, crc32(header)))
    return [header, record.path, record.data, TRAILER.pack(crc)], crc


def parse(buffer: memoryview, at: int, lsn: int, previous: int | None) -> Record | None:
    """The record at buffer[at:], which must be number `lsn` after crc `previous` (None: not checked).

    None: the buffer ends before the record does. Raises Damaged.
    """
    if len(buffer) - at < HEADER.size:
        return None
    magic, version, kind, aux, pathlen, generation, stands, before, fid, a, b, length = HEADER.unpack_from(
        buffer, at
    )
    if magic != MAGIC or version != VERSION:
        raise Damaged(lsn, "not a record of this version")
    if stands != lsn:
        raise Damaged(lsn, f"it says it belongs at {stands}")
    if pathlen > LONGEST_PATH or length > LONGEST_DATA:
        raise Damaged(lsn, "its lengths are impossible")
    path_at = at + HEADER.size
    data_at = path_at + pathlen
    crc_at = data_at + length
    if len(buffer) < crc_at + TRAILER.size:
        return None
    (crc,) = TRAILER.unpack_from(buffer, crc_at)
    if crc32(buffer[at:crc_at]) != crc:
        raise Damaged(lsn, "its checksum is wrong")
    if previous is not None and before != previous:
        raise Damaged(lsn, "it does not follow the record before it")
    try:
        name = Kind(kind)
    except ValueError:
        raise Damaged(lsn, f"unknown kind {kind}") from None
    path, data = buffer[path_at:data_at], buffer[data_at:crc_at]
    if ((pathlen or name in NAME_KINDS) and leaves(path)) or (name is Kind.RENAME and leaves(data)):
        raise Damaged(lsn, "it names what is not below its folder")
    return Record(name, lsn, generation, before, fid, a, b, aux, path, data, crc)


def parse_all(buffer: Buffer, lsn: int, previous: int | None) -> Iterator[Record]:
    """Every whole record of the buffer, whose first byte is number `lsn`. Raises Damaged."""
    view = memoryview(buffer)
    at = 0
    while True:
        record = parse(view, at, lsn, previous)
        if record is None:
            return
        yield record
        at += record.size
        lsn, previous = record.end, record.crc


def whole_records(data: bytes, lsn: int) -> int:
    """Bytes of data that are whole records, by their lengths. Raises Damaged: not even the first is."""
    at = 0
    while len(data) - at >= HEADER.size:
        try:
            size = first_size(data[at : at + HEADER.size], lsn + at)
        except Damaged:
            if at == 0:
                raise
            break
        if at + size > len(data):
            break
        at += size
    return at


def holds_record(data: bytes, lsn: int) -> bool:
    """Whether a whole record from lsn on stands anywhere in data, also in the wrong place."""
    begins = MAGIC.to_bytes(2, "little")
    view, at = memoryview(data), data.find(begins)
    while 0 <= at <= len(data) - HEADER.size:
        stands = HEADER.unpack_from(view, at)[6]
        with contextlib.suppress(Damaged):
            if stands >= lsn and parse(view, at, stands, None) is not None:
                return True
        at = data.find(begins, at + 1)
    return False


def first_size(header: bytes, lsn: int) -> int:
    """Bytes of the record that begins with this header, as it says itself. Raises Damaged."""
    if len(header) < HEADER.size:
        raise Damaged(lsn, "it is cut short")
    fields = HEADER.unpack_from(header)
    if fields[6] != lsn:
        raise Damaged(lsn, f"the disk holds {fields[6]} in its place")
    return HEADER.size + 4 + int(fields[4]) + int(fields[11])


def leaves(path: Buffer) -> bool:
    """Whether a path, relative to a folder, is none of something below it: a part is empty, `.` or `..`."""
    return _LEAVES.search(path) is not None


def new_fid() -> int:
    """Random: after a power cut an lsn may be given twice, and a file outlives the record of its birth."""
    return secrets.randbits(64) or 1


def pack_owner(uid: int, gid: int) -> int:
    return uid << 32 | gid


def unpack_owner(owner: int) -> tuple[int, int]:
    return owner >> 32, owner & 0xFFFF_FFFF
