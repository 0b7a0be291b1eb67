"""What replication must never forget on a node: generations, checkpoint, flags; in two alternating slots.

A write goes to the slot that is not the newest one, so a torn write costs the newest state at most, and the
state before it is whole. What generations mean is generations.py's business.
"""

from __future__ import annotations

import errno
import os
import struct
import threading
from pathlib import Path
from typing import Literal
from zlib import crc32

import msgspec

from hsorch.node.replication.generations import Lineage
from hsorch.node.store import sync_directory

SLOT_BYTES = 64 * 1024
_HEAD = struct.Struct("<4sIQII")
_MAGIC = b"HSM1"


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A point of the stream; crc is that of the record which ends there."""

    generation: int = 0
    lsn: int = 0
    crc: int = 0


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """Durable state of one group on one node."""

    node: str
    job: bytes
    """16 random bytes, the same on both nodes: streams of two groups never mix."""
    role: Literal["none", "source", "target"] = "none"
    generations: Lineage = Lineage()
    checkpoint: Place = Place()
    """Everything below is in the bound files, on stable storage."""
    consistent: bool = False
    """The files are a picture of one moment (false from the first mirrored byte to the last)."""
    outdated: bool = False
    """The peer went on alone and confirmed writes that are not here."""
    clean: bool = True
    """The last stop was orderly: files, journal and checkpoint agree."""
    boot: str = ""
    """Boot id of the machine when this was written: another one means that page caches were lost."""
    protected_until: int = 0
    """The lsn up to which both nodes were equal at the last orderly stop."""
    epoch: tuple[int, int] = (0, 0)
    """The highest one of the failover core that was heard of: a lower one has no say any more."""
    guarded: bool = False
    """Source: flushes wait for the standby. Target: the source said so; it is complete while that holds."""
    promised: bool = False
    """Target: as source it told the other node that it is complete, and has not met it as a source
    since. Until then no flush may be answered here without it."""
    sender: Lineage = Lineage()
    """Target: the source's lineage when they met last."""
    staged_over: Place | None = None
    """Target: a resync is held back in the spool, and the files are still what they were at this place."""
    marks: tuple[int, int] = (0, 0)
    """Target: lsn of the MIRROR_BEGIN (of everything, of what was left out) that is not closed yet."""
    keep: str = ""
    """Target: name of the incident in the quarantine for what a resync overwrites."""
    kept_to: int = 0
    """Target: what records below this lsn overwrite is in that incident already."""
    refused: bool = False
    """Source: the disk refused files since it began. What is hot then stays in doubt until it is compared."""
    torn: bool = False
    """Target: records were lost from the spool, and the files may be ahead of it: no stream goes on."""
    verified_ns: int = 0
    """When all data were found equal, or made so, last."""
    verify_needed: str = ""
    """Not empty: why only a verify can tell whether both sides are equal."""


class MetaFile:
    """One at a time for a path: each counts its writes by itself.

    Raises ValueError when neither slot is whole, FileNotFoundError when there is none."""

    def __init__(self, path: Path, first: Meta | None = None) -> None:
        """first: what to begin with where there is no file yet."""
        self._path = path
        self._lock = threading.Lock()
        self._sequence = 0
        self._closed = False
        if first is not None and not path.exists():
            self._value = first
            path.parent.mkdir(parents=True, exist_ok=True)
            self.save(first)
            sync_directory(path.parent)
            return
        self._sequence, self._value = _newest(path)

    @property
    def value(self) -> Meta:
        return self._value

    def close(self) -> None:
        """Nothing is written any more: another one may stand here by now, and know better."""
        with self._lock:
            self._closed = True

    def save(self, value: Meta) -> None:
        """On stable storage when it returns. Raises OSError."""
        with self._lock:
            self._save(value)

    def change(self, **fields: object) -> Meta:
        """Replace fields, durably; nothing is written when nothing changes. Raises OSError (or closed)."""
        with self._lock:
            value = msgspec.structs.replace(self._value, **fields)
            if value != self._value:
                self._save(value)
            return value

    def _save(self, value: Meta) -> None:
        if self._closed:
            raise OSError(errno.EBADF, "the replication state is closed", str(self._path))
        sequence = self._sequence + 1
        slot = _seal(sequence, value)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(descriptor, slot, sequence % 2 * SLOT_BYTES)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._sequence, self._value = sequence, value


def recall(path: Path, job: str) -> MetaFile:
    """What is there of the group `job` (hexadecimal). Raises ValueError also where it is another group's."""
    found = MetaFile(path)
    if found.value.job != bytes.fromhex(job):
        raise ValueError(f"{path} belongs to another group")
    return found


def _seal(sequence: int, value: Meta) -> bytes:
    body = msgspec.msgpack.encode(value)
    head = _HEAD.pack(_MAGIC, 0, sequence, len(body), crc32(body, crc32(struct.pack("<Q", sequence))))
    if len(head) + len(body) > SLOT_BYTES:
        raise ValueError(f"replication state of {len(body)} bytes does not fit its slot")
    return head + body


def _unseal(slot: bytes) -> tuple[int, Meta] | None:
    if len(slot) < _HEAD.size:
        return None
    magic, _, sequence, length, crc = _HEAD.unpack_from(slot)
    body = slot[_HEAD.size : _HEAD.size + length]
    if magic != _MAGIC or len(body) != length or crc != crc32(body, crc32(struct.pack("<Q", sequence))):
        return None
    try:
        return sequence, msgspec.msgpack.decode(body, type=Meta)
    except msgspec.DecodeError:
        return None


def _newest(path: Path) -> tuple[int, Meta]:
    data = path.read_bytes()
    slots = [_unseal(data[at : at + SLOT_BYTES]) for at in (0, SLOT_BYTES)]
    whole = [slot for slot in slots if slot is not None]
    if not whole:
        raise ValueError(f"{path}: neither slot is whole")
    return max(whole, key=lambda slot: slot[0])
