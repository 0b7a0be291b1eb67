"""The UDP socket of one link: bound to the NIC's address and, where the OS lets us, to its device, and
connected to the other end, so that the kernel drops a stranger's frames before they fill the buffer.

A link never stops the agent: what goes wrong is kept in `error` and tried again by `repair`. The socket
carries bytes; what they mean is the frame's business.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from dataclasses import dataclass

BURST = 32
"""Frames read in one go, so that a flood on one link cannot starve the rest of the agent."""
_LARGEST = 65_535
_BIND_TO_DEVICE = getattr(socket, "SO_BINDTODEVICE", None)
_TRANSIENT = {errno.EAGAIN, errno.EINTR, errno.ENOBUFS, errno.ECONNREFUSED}
_SOCKET_IS_DEAD = {errno.ENODEV, errno.ENXIO, errno.EBADF, errno.EADDRNOTAVAIL}
"""The device went away under the socket: only a new socket helps."""


@dataclass(frozen=True)
class Ends:
    """Where a link begins and ends. device: name of the local NIC."""

    device: str
    local: str
    remote: str
    port: int


class LinkSocket:
    """Non-blocking; `descriptor` is -1 while the link cannot be opened."""

    def __init__(self, ends: Ends) -> None:
        self.ends = ends
        self.error = ""
        self.port_taken = False
        self._socket: socket.socket | None = None

    @property
    def descriptor(self) -> int:
        return -1 if self._socket is None else self._socket.fileno()

    def repair(self) -> bool:
        """Open the socket if it is not open. True when it was opened now."""
        if self._socket is not None:
            return False
        family = socket.AF_INET6 if ":" in self.ends.local else socket.AF_INET
        candidate = socket.socket(family, socket.SOCK_DGRAM)
        try:
            candidate.setblocking(False)
            self._bind_to_device(candidate)
            candidate.bind((self.ends.local, self.ends.port))
            candidate.connect((self.ends.remote, self.ends.port))
        except OSError as failure:
            candidate.close()
            self.port_taken = failure.errno == errno.EADDRINUSE
            self.error = (
                f"no link from {self.ends.local} to {self.ends.remote} on port {self.ends.port}: "
                f"{failure.strerror}"
            )
            return False
        self._socket, self.error, self.port_taken = candidate, "", False
        return True

    def send(self, frame: bytes) -> None:
        """Best effort. A failure is in `error` until a later send succeeds."""
        if self._socket is None:
            return
        try:
            try:
                self._socket.send(frame)
            except ConnectionRefusedError:
                # The verdict on an earlier frame, told in the place of sending this one.
                self._socket.send(frame)
            self.error = ""
        except OSError as failure:
            if failure.errno in _TRANSIENT:
                return
            self.error = f"cannot send to {self.ends.remote} over {self.ends.device}: {failure.strerror}"
            if failure.errno in _SOCKET_IS_DEAD:
                self.close()

    def receive(self) -> Iterator[bytes]:
        """Up to BURST waiting frames."""
        for _ in range(BURST):
            if self._socket is None:
                return
            try:
                yield self._socket.recv(_LARGEST)
            except ConnectionRefusedError:
                continue
            except OSError as failure:
                if failure.errno in _SOCKET_IS_DEAD:
                    self.close()
                return

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _bind_to_device(self, candidate: socket.socket) -> None:
        """Refused without privilege on old kernels: the address alone still binds the link."""
        if _BIND_TO_DEVICE is None:
            return
        try:
            candidate.setsockopt(socket.SOL_SOCKET, _BIND_TO_DEVICE, self.ends.device.encode())
        except PermissionError:
            return
