"""One heartbeat on the wire: header, authentication code, body. No sockets, no clocks.

    magic 4 | wire 1 | cluster 16 | stamp 8 | echo 8 | held 4 | mac 16 | body (msgpack of Beat)

Magic, wire version and cluster stand outside the body, so that a foreign frame gets its true name. The mac
is keyed BLAKE2b (RFC 7693) over everything else, salted with the link's name: a frame recorded on one link
proves nothing on another. stamp, echo and held measure the round trip of this link as NTP does: a stamp
means something only to its maker, held is how long (microseconds) the other end kept it.
Old frames are dropped by sequence (stats.py) and by the core's echo rule, not here.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from hmac import compare_digest

import msgspec

from hsorch.node.core.types import Beat
from hsorch.spec import WIRE

MAGIC = b"HSOB"
KEY_BYTES = 32
_HEADER = struct.Struct(">4sB16sQQI")
_MAC_BYTES = 16
_BODY = _HEADER.size + _MAC_BYTES
_NO_STAMP = 0

_encode_beat = msgspec.msgpack.Encoder().encode
_decode_beat = msgspec.msgpack.Decoder(Beat).decode


class Reason(StrEnum):
    """Why a frame was dropped before the core saw it."""

    NOT_OURS = "not an hsorch heartbeat"
    WIRE = "other wire version"
    CLUSTER = "other cluster"
    FORGED = "wrong key or altered"
    MALFORMED = "authentic, but not a heartbeat"
    STRANGER = "not from the peer"
    REPLAYED = "older than what was heard before"


@dataclass(frozen=True)
class Times:
    """stamp: sender's clock, microseconds. echo: receiver's last stamp, held for `held` microseconds."""

    stamp: int
    echo: int = _NO_STAMP
    held: int = 0


@dataclass(frozen=True)
class Opened:
    beat: Beat
    times: Times


class Sealer:
    """Seals and opens the frames of one link of one cluster."""

    def __init__(self, cluster_id: str, link: str, key: bytes, wire: int = WIRE) -> None:
        """cluster_id: 32 hex digits. key: 32 bytes. Raises ValueError."""
        if len(key) != KEY_BYTES:
            raise ValueError(f"a cluster key has {KEY_BYTES} bytes, not {len(key)}")
        self._cluster = bytes.fromhex(cluster_id)
        self._wire = wire
        salt = blake2b(link.encode(), digest_size=blake2b.SALT_SIZE).digest()
        self._mac = blake2b(digest_size=_MAC_BYTES, key=key, salt=salt, person=b"hsorch-heartbeat")

    def seal(self, body: bytes, times: Times) -> bytes:
        """body: from encode_body; one beat goes out on several links."""
        header = _HEADER.pack(MAGIC, self._wire, self._cluster, times.stamp, times.echo, times.held)
        return header + self._code(header, body) + body

    def open(self, frame: bytes) -> Opened | Reason:
        """Never raises, whatever came in."""
        if len(frame) < _BODY or not frame.startswith(MAGIC):
            return Reason.NOT_OURS
        header, body = frame[: _HEADER.size], frame[_BODY:]
        _, wire, cluster, stamp, echo, held = _HEADER.unpack(header)
        if wire != self._wire:
            return Reason.WIRE
        if cluster != self._cluster:
            return Reason.CLUSTER
        if not compare_digest(frame[_HEADER.size : _BODY], self._code(header, body)):
            return Reason.FORGED
        try:
            return Opened(_decode_beat(body), Times(stamp, echo, held))
        except msgspec.DecodeError:
            return Reason.MALFORMED

    def _code(self, header: bytes, body: bytes) -> bytes:
        mac = self._mac.copy()
        mac.update(header)
        mac.update(body)
        return mac.digest()


def encode_body(beat: Beat) -> bytes:
    return _encode_beat(beat)
