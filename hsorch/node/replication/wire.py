"""The channel between two replicators: frames over TLS 1.3 on a blocking connection, both ways at once.

    head length 4 | body length 4 | head (msgpack of one Message) | body (raw bytes)       (big endian)

One thread may send while another receives. A channel that failed is closed for good; whoever owns it makes
another. What messages mean is the business of ship, spool, mirror, verify and watched.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import threading
from dataclasses import dataclass

import msgspec

from hsorch.node.replication.messages import Message
from hsorch.node.replication.record import Buffer
from hsorch.node.replication.tls import Keys, context, pinned

LARGEST_HEAD = 32 * 1024 * 1024
LARGEST_BODY = 32 * 1024 * 1024
SLICE = 256 * 1024
"""Bytes encrypted in one go, so that a bulk send never keeps an acknowledgement waiting for long."""
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


@dataclass(frozen=True)
class Frame:
    message: Message
    body: bytearray


class Channel:
    """Made by connect() or Listener.accept(). All methods raise Broken."""

    def __init__(self, connection: ssl.SSLSocket) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._closed = False
        self.sent = 0
        self.received = 0

    def send(self, message: Message, body: Buffer = b"") -> None:
        """Blocks while the peer takes nothing: that is the flow control."""
        head = _encode(message)
        with self._sending:
            if len(body) < SLICE:
                self._push(b"".join((_HEAD.pack(len(head), len(body)), head, body)))
                return
            self._push(_HEAD.pack(len(head), len(body)) + head)
            view = memoryview(body)
            for at in range(0, len(view), SLICE):
                self._push(view[at : at + SLICE])

    def receive(self, timeout_s: float | None = None) -> Frame | None:
        """The next frame; None: nothing came within timeout_s (default: wait for ever)."""
        if timeout_s is not None and not self._readable(timeout_s):
            return None
        opening = self._pull(_HEAD.size, None if timeout_s is None else SILENCE_S)
        head_bytes, body_bytes = _HEAD.unpack(opening)
        if head_bytes > LARGEST_HEAD or body_bytes > LARGEST_BODY:
            raise self._fail("it sent a frame of impossible size")
        head = self._pull(head_bytes, SILENCE_S)
        body = self._pull(body_bytes, SILENCE_S)
        try:
            return Frame(_decode(head), body)
        except msgspec.DecodeError as error:
            raise self._fail(f"it sent an unknown message ({error})") from error

    def close(self) -> None:
        """Wakes threads that wait in send or receive."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """close() and give the descriptor back; only when no thread is inside any more."""
        self.close()
        self._connection.close()

    @property
    def closed(self) -> bool:
        return self._closed

    def _push(self, data: Buffer) -> None:
        view = memoryview(data)
        while view:
            wants_read = False
            try:
                with self._lock:
                    done = self._connection.send(view)
                view = view[done:]
                self.sent += done
                continue
            except ssl.SSLWantWriteError:
                pass
            except ssl.SSLWantReadError:
                wants_read = True
            except OSError as error:
                raise self._fail(f"cannot send: {error}") from error
            if not self._wait(read=wants_read, timeout_s=SILENCE_S):
                raise self._fail(f"it took nothing for {SILENCE_S:g} s")

    def _pull(self, size: int, timeout_s: float | None) -> bytearray:
        data = bytearray(size)
        view, got = memoryview(data), 0
        while got < size:
            wants_write = False
            try:
                with self._lock:
                    count = self._connection.recv_into(view[got : got + SLICE])
                if count == 0:
                    raise self._fail("it closed the connection")
                got += count
                self.received += count
                continue
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLWantWriteError:
                wants_write = True
            except Broken:
                raise
            except OSError as error:
                raise self._fail(f"cannot receive: {error}") from error
            if not self._wait(read=not wants_write, timeout_s=timeout_s):
                raise self._fail(f"it gave nothing for {timeout_s:g} s")
        return data

    def _readable(self, timeout_s: float) -> bool:
        with self._lock:
            if self._connection.pending():
                return True
        return self._wait(read=True, timeout_s=timeout_s)

    def _wait(self, *, read: bool, timeout_s: float | None) -> bool:
        poll = select.poll()
        try:
            poll.register(self._connection, select.POLLIN if read else select.POLLOUT)
        except ValueError:
            raise Broken("the channel is closed") from None
        return bool(poll.poll(None if timeout_s is None else int(timeout_s * 1000)))

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
        try:
            self._socket.settimeout(timeout_s)
            plain, _ = self._socket.accept()
        except TimeoutError:
            return None
        except OSError as error:
            raise Broken(f"the listener is closed: {error}") from error
        return _secure(plain, self._keys, server=True, timeout_s=HANDSHAKE_S)

    def close(self) -> None:
        self.closed = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def _secure(plain: socket.socket, keys: Keys, *, server: bool, timeout_s: float) -> Channel:
    try:
        plain.settimeout(timeout_s)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for level, option, value in _LIVENESS:
            plain.setsockopt(level, option, value)
        connection = context(keys, server=server).wrap_socket(plain, server_side=server)
    except OSError as error:
        plain.close()
        raise Broken(f"no TLS with the peer: {error}") from error
    if not pinned(connection, keys):
        connection.close()
        raise Broken("the other end is not the enrolled peer")
    return Channel(connection)
