"""The channel between two replicators: frames over TLS 1.3 on a blocking connection, both ways at once.

    head length 4 | body length 4 | head (msgpack of one Message) | body (raw bytes)       (big endian)

One thread may send while another receives. A channel that failed is closed for good; whoever owns it makes
another. What messages mean is the business of ship, spool, mirror, verify and watched.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass

import msgspec

from hsorch.errors import NodeError
from hsorch.node.replication.messages import Message
from hsorch.node.replication.record import Buffer
from hsorch.node.replication.session import Session
from hsorch.node.replication.tls import Keys, context, pinned

LARGEST_HEAD = 32 * 1024 * 1024
LARGEST_BODY = 32 * 1024 * 1024
JOINED = 64 * 1024
"""Up to this size a body is copied behind its head, so that both go as one."""
HANDSHAKE_S = 10.0
SILENCE_S = 15.0
"""A peer that takes or gives nothing for so long is gone."""
_LIVENESS = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(SILENCE_S * 1000)),
)
"""A link that swallows everything is noticed while a channel rests or waits for an answer, too: then the
system breaks it after as long a silence, and another link is taken."""
_HEAD = struct.Struct(">II")

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Message).decode


class Broken(ConnectionError):
    """The channel is of no more use; the reason is the text."""


class Room:
    """Where frames are received, one after the other. Grows to the largest."""

    def __init__(self) -> None:
        self._bytes = memoryview(bytearray(64 * 1024))

    def of(self, size: int) -> memoryview:
        if size > len(self._bytes):
            self._bytes = memoryview(bytearray(size))
        return self._bytes[:size]


@dataclass(frozen=True)
class Frame:
    """body: stands only until the next frame is received in its room."""

    message: Message
    body: memoryview


class Channel:
    """Made by connect() or Listener.accept(). All methods raise Broken."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._sending = threading.Lock()
        self._closed = False
        self._room = Room()
        self.sent = 0
        self.received = 0

    def send(self, message: Message, body: Buffer = b"") -> None:
        """Blocks while the peer takes nothing: that is the flow control."""
        head = _encode(message)
        opening = _HEAD.pack(len(head), len(body)) + head
        with self._sending:
            try:
                if len(body) < JOINED:
                    self._session.write(b"".join((opening, body)), timeout_s=SILENCE_S)
                else:
                    self._session.write(opening, body, timeout_s=SILENCE_S)
            except OSError as error:
                raise self._fail(f"cannot send: {error}") from error
            self.sent += len(opening) + len(body)

    def receive(self, timeout_s: float | None = None, *, room: Room | None = None) -> Frame | None:
        """The next frame; None: nothing came within timeout_s (default: wait for ever).

        room: for its body, where the channel's own is not to be used again by the next one."""
        room = room or self._room
        opening = self._pull(room.of(_HEAD.size), timeout_s)
        if opening is None:
            return None
        head_bytes, body_bytes = _HEAD.unpack(opening)
        if head_bytes > LARGEST_HEAD or body_bytes > LARGEST_BODY:
            raise self._fail("it sent a frame of impossible size")
        rest = self._pull(room.of(head_bytes + body_bytes), SILENCE_S)
        if rest is None:
            raise self._fail(f"it gave nothing for {SILENCE_S:g} s")
        try:
            return Frame(_decode(rest[:head_bytes]), rest[head_bytes:])
        except (msgspec.DecodeError, ValueError) as error:  # ValueError: text that is no UTF-8
            raise self._fail(f"it sent an unknown message ({error})") from error

    def close(self) -> None:
        """Wakes threads that wait in send or receive."""
        self._closed = True
        self._session.shut()

    def release(self) -> None:
        """close() and give the descriptor back; only when no thread is inside any more."""
        self.close()
        self._session.close()

    @property
    def closed(self) -> bool:
        return self._closed

    def _pull(self, into: memoryview, timeout_s: float | None) -> memoryview | None:
        """All of it; None: not even the first byte came in time. What comes after that must not pause."""
        got = 0
        while got < len(into):
            try:
                count = self._session.read(into[got:], SILENCE_S if got else timeout_s)
            except OSError as error:
                raise self._fail(f"cannot receive: {error}") from error
            if count == 0 and got == 0:
                return None
            if count == 0:
                raise self._fail(f"it gave nothing for {SILENCE_S:g} s")
            got += count
        self.received += len(into)
        return into

    def _fail(self, why: str) -> Broken:
        text = "the channel was closed here" if self._closed else f"peer: {why}"
        self.close()
        return Broken(text)


def connect(
    address: str, port: int, keys: Keys, *, local: str = "", timeout_s: float = HANDSHAKE_S
) -> Channel:
    """local: the address to leave from (the link's own). Raises Broken."""
    try:
        plain = socket.create_connection((address, port), timeout_s, (local, 0) if local else None)
    except OSError as error:
        raise Broken(f"cannot reach {address} port {port}: {error}") from error
    return _secure(plain, keys, server=False, timeout_s=timeout_s)


class Listener:
    """Raises OSError when the address cannot be had."""

    def __init__(self, address: str, port: int, keys: Keys) -> None:
        self._keys = keys
        self.closed = False
        self._socket = socket.create_server(
            (address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET
        )
        self.port: int = self._socket.getsockname()[1]

    def accept(self, timeout_s: float) -> Channel | None:
        """None: nobody came in time. Raises Broken: who came is not our peer, or the listener is closed."""
        caller = self.wait(timeout_s)
        return None if caller is None else self.greet(caller)

    def wait(self, timeout_s: float) -> socket.socket | None:
        """Somebody; None: nobody came in time. Raises Broken: the listener is closed."""
        try:
            self._socket.settimeout(timeout_s)
            return self._socket.accept()[0]
        except TimeoutError:
            return None
        except OSError as error:
            raise Broken(f"the listener is closed: {error}") from error

    def greet(self, caller: socket.socket) -> Channel:
        """Who says nothing takes HANDSHAKE_S. Raises Broken: it is not our peer."""
        return _secure(caller, self._keys, server=True, timeout_s=HANDSHAKE_S)

    def close(self) -> None:
        self.closed = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def _secure(plain: socket.socket, keys: Keys, *, server: bool, timeout_s: float) -> Channel:
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for level, option, value in _LIVENESS:
            plain.setsockopt(level, option, value)
        session = Session(plain, context(keys, server=server), server=server)
        is_peer = pinned(session.shake_hands(timeout_s), keys)
    except (OSError, NodeError, ValueError) as error:  # the keys may just be exchanged
        plain.close()
        raise Broken(f"no TLS with the peer: {error}") from error
    if not is_peer:
        session.close()
        raise Broken("the other end is not the enrolled peer")
    return Channel(session)
