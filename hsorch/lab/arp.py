"""Who answers for an address on the wire, whatever nodes say of themselves: two answers are two actives.

IPv4 only. Blind for a virtual MAC: both nodes would answer with the same.
"""

from __future__ import annotations

import fcntl
import socket
import struct
from pathlib import Path

_ARP = 0x0806
_REQUEST, _REPLY = 1, 2
_FRAME = struct.Struct("!6s6sH HHBBH 6s4s6s4s")
_SIOCGIFADDR = 0x8915
_BROADCAST = b"\xff" * 6


class ArpWatch:
    """Ask now and then; each call of `ask` closes the books of the question before."""

    def __init__(self, address: str) -> None:
        self._target = socket.inet_aton(address)
        device, own = _way_to(address)
        self._own = socket.inet_aton(own)
        self._mac = bytes.fromhex(
            Path(f"/sys/class/net/{device}/address").read_text().strip().replace(":", "")
        )
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ARP))
        self._socket.bind((device, 0))
        self._socket.setblocking(False)
        self.doubles = 0
        """Questions that more than one machine answered."""

    def ask(self) -> None:
        """The kernel of a node answers at once, so what lies here now belongs to the last question."""
        answered = set()
        while (frame := self._receive()) is not None:
            if len(frame) >= _FRAME.size:
                *_, operation, mac, address, _, _ = _FRAME.unpack_from(frame)
                if operation == _REPLY and address == self._target:
                    answered.add(mac)
        self.doubles += len(answered) > 1
        head = (_BROADCAST, self._mac, _ARP, 1, 0x0800, 6, 4, _REQUEST)
        question = _FRAME.pack(*head, self._mac, self._own, bytes(6), self._target)
        try:
            self._socket.send(question)
        except OSError:  # the client's own cable is out: then nobody is heard, which is no double
            return

    def close(self) -> None:
        self._socket.close()

    def _receive(self) -> bytes | None:
        try:
            return self._socket.recv(2048)
        except BlockingIOError:
            return None


def _way_to(address: str) -> tuple[str, str]:
    """Device and own address that the kernel would use."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((address, 9))
        own = probe.getsockname()[0]
        for _, device in socket.if_nameindex():
            if _address_of(probe, device) == own:
                return device, own
    raise OSError(f"no network card leads to {address}")


def _address_of(any_socket: socket.socket, device: str) -> str:
    try:
        answer = fcntl.ioctl(any_socket, _SIOCGIFADDR, struct.pack("256s", device.encode()))
    except OSError:
        return ""
    return socket.inet_ntoa(answer[20:24])
