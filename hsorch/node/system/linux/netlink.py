"""Netlink messages over a raw socket: build, send, await the kernel's verdict. No knowledge of any family.

Own code rather than a library: a handful of messages is needed, taking an address and giving it back costs
about 0.1 ms (tests/bench/node_ports.py), and nothing is imported beyond the standard library.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

ROUTE = 0
NETFILTER = 12

REQUEST, ACK = 0x001, 0x004
DUMP, REPLACE, EXCLUSIVE, CREATE = 0x300, 0x100, 0x200, 0x400
NESTED = 0x8000

_ERROR, _DONE = 2, 3
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_BUFFER = 1 << 16
_TIMEOUT_S = 2
_PROTOCOL_FAULT = struct.pack("=i", -errno.EPROTO)


@dataclass(frozen=True)
class Message:
    """type and flags of the header; body: family header and attributes."""

    type: int
    flags: int
    body: bytes


def attribute(kind: int, *values: bytes) -> bytes:
    """One attribute, padded to four bytes; several values: a nest."""
    value = b"".join(values)
    return _ATTRIBUTE.pack(len(value) + 4, kind) + value + b"\0" * (-len(value) % 4)


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(kind without flag bits, value) of each attribute; stops at a malformed one."""
    at = 0
    while at + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < 4 or at + length > len(data):
            return
        yield kind & 0x3FFF, data[at + 4 : at + length]
        at += length + 3 & ~3


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, body) of each message in a datagram; stops at a malformed one."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, _flags, _sequence, _port = _HEADER.unpack_from(data, at)
        if length < _HEADER.size or at + length > len(data):
            return
        yield kind, data[at + _HEADER.size : at + length]
        at += length + 3 & ~3


class Channel:
    """A socket to one part of the kernel. Not for two threads at once."""

    def __init__(self, protocol: int) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.settimeout(_TIMEOUT_S)
        self._socket.bind((0, 0))

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._socket.close()

    def change(self, requests: Iterable[Message]) -> None:
        """Send all in one datagram and await the verdict on each that asks for one. Raises OSError."""
        requests = list(requests)
        self._forget()
        self._socket.send(b"".join(_pack(r, n) for n, r in enumerate(requests, 1)))
        awaited = sum(1 for r in requests if r.flags & ACK)
        while awaited:
            for kind, body in messages(self._socket.recv(_BUFFER)):
                if kind == _ERROR:
                    _verdict(body)
                    awaited -= 1

    def ask(self, request: Message) -> tuple[int, bytes]:
        """The one answer to a question that is no dump. Raises OSError."""
        self._forget()
        self._socket.send(_pack(request, 1))
        kind, body = next(messages(self._socket.recv(_BUFFER)), (_ERROR, _PROTOCOL_FAULT))
        if kind == _ERROR:
            _verdict(body)
        return kind, body

    def dump(self, request: Message) -> list[tuple[int, bytes]]:
        """All (type, body) answers to a dump. Raises OSError."""
        found: list[tuple[int, bytes]] = []
        self._socket.send(_pack(request, 1))
        while True:
            for kind, body in messages(self._socket.recv(_BUFFER)):
                if kind == _DONE:
                    return found
                if kind == _ERROR:
                    _verdict(body)
                found.append((kind, body))

    def _forget(self) -> None:
        """After a refusal the verdicts on the rest of that datagram may still lie here."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        while poll.poll(0):
            self._socket.recv(_BUFFER)


def change(protocol: int, *requests: Message) -> None:
    """One change on a channel of its own. Raises OSError."""
    with Channel(protocol) as channel:
        channel.change(requests)


def ask(protocol: int, request: Message) -> tuple[int, bytes]:
    """The one (type, body) that answers a question. Raises OSError."""
    with Channel(protocol) as channel:
        return channel.ask(request)


def dump(protocol: int, request: Message) -> list[tuple[int, bytes]]:
    """One dump on a channel of its own. Raises OSError."""
    with Channel(protocol) as channel:
        return channel.dump(request)


def subscribe(protocol: int, groups: int) -> socket.socket:
    """A non-blocking socket that the kernel sends the groups' notices to (bit mask)."""
    channel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    channel.bind((0, groups))
    channel.setblocking(False)
    return channel


def _pack(request: Message, sequence: int) -> bytes:
    body = request.body + b"\0" * (-len(request.body) % 4)
    length = _HEADER.size + len(request.body)
    return _HEADER.pack(length, request.type, request.flags | REQUEST, sequence, 0) + body


def _verdict(body: bytes) -> None:
    (code,) = struct.unpack_from("=i", body)
    if code:
        number = -code
        raise OSError(number, os.strerror(number) if number in errno.errorcode else f"netlink error {number}")
