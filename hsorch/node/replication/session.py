"""TLS over a connected socket, built for bulk: many records go through one system call.

An SSLSocket writes and reads each record of 16 KiB by itself, and holds its lock while it does; here records
are sealed into memory and opened from memory, and the socket moves what has gathered. What is said in it is
wire.py's business, who may say it tls.py's.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
import time
from typing import cast

from hsorch.node.replication.record import Buffer

GATHERED = 256 * 1024
"""So much is sealed, in records of 16 KiB, and handed to the socket at once; also the most that it gives."""


class Session:
    """One thread may write while another reads. Methods raise OSError: it is of no more use."""

    def __init__(self, plain: socket.socket, made: ssl.SSLContext, *, server: bool) -> None:
        plain.setblocking(False)
        self._plain = plain
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = made.wrap_bio(self._incoming, self._outgoing, server_side=server)
        self._lock = threading.Lock()
        """Of the TLS state and both memories; never held while the socket is waited for."""
        self._taken = memoryview(bytearray(GATHERED))

    def shake_hands(self, timeout_s: float) -> bytes:
        """The certificate that the other end showed."""
        until = time.monotonic() + timeout_s
        while True:
            try:
                self._tls.do_handshake()
                self._flush(timeout_s)
                return self._tls.getpeercert(binary_form=True) or b""
            except ssl.SSLWantReadError:
                self._flush(timeout_s)
            except ssl.SSLError:
                with contextlib.suppress(OSError):
                    self._flush(timeout_s)  # why, for the other end
                raise
            if not self._take(until - time.monotonic()):
                raise TimeoutError(f"it said nothing for {timeout_s:g} s")

    def write(self, *parts: Buffer, timeout_s: float) -> None:
        """timeout_s: the longest that the other end may take nothing."""
        for part in parts:
            view = memoryview(part)
            for at in range(0, len(view), GATHERED):
                with self._lock:
                    self._tls.write(view[at : at + GATHERED])
                if self._outgoing.pending >= GATHERED:
                    self._flush(timeout_s)
        self._flush(timeout_s)

    def read(self, into: memoryview, timeout_s: float | None) -> int:
        """Bytes read, at least one; 0: nothing came within timeout_s (None: wait for ever)."""
        while True:
            got = 0
            with self._lock, contextlib.suppress(ssl.SSLWantReadError):
                while got < len(into):
                    count = cast("int", self._tls.read(len(into) - got, into[got:]))
                    if count == 0:
                        break
                    got += count
            if got or not self._take(timeout_s):
                return got

    def shut(self) -> None:
        """Wakes whoever waits in write or read."""
        with contextlib.suppress(OSError):
            self._plain.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._plain.close()

    def _flush(self, timeout_s: float) -> None:
        with self._lock:
            sealed = memoryview(self._outgoing.read())
        while sealed:
            try:
                sealed = sealed[self._plain.send(sealed) :]
            except BlockingIOError:
                if not self._wait(select.POLLOUT, timeout_s):
                    raise TimeoutError(f"it took nothing for {timeout_s:g} s") from None

    def _take(self, timeout_s: float | None) -> bool:
        """Sealed bytes from the socket; False: none came in time."""
        while True:
            try:
                count = self._plain.recv_into(self._taken)
                break
            except BlockingIOError:
                if not self._wait(select.POLLIN, timeout_s):
                    return False
        if count == 0:
            raise ConnectionResetError("it closed the connection")
        with self._lock:
            self._incoming.write(self._taken[:count])
        return True

    def _wait(self, what: int, timeout_s: float | None) -> bool:
        poll = select.poll()
        try:
            poll.register(self._plain, what)
        except ValueError:
            raise ConnectionAbortedError("the channel is closed") from None
        return bool(poll.poll(None if timeout_s is None else max(0, int(timeout_s * 1000))))
