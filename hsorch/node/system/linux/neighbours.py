"""ARP and IPv6 neighbour discovery on a packet socket: who holds an address here, and "it is mine now".

ARP: RFC 826, probes and announcements RFC 5227. IPv6: RFC 4861 with the unspecified source of RFC 4862 5.4.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from hsorch.errors import NodeError

_ARP, _IPV6 = 0x0806, 0x86DD
_BROADCAST = b"\xff" * 6
_REQUEST, _REPLY = 1, 2
_SOLICIT, _ADVERTISE = 135, 136
_OVERRIDE = 0x2000_0000
_PROBES = 3


class LinuxNeighbours:
    """Implements hsorch.node.system.base.Neighbours."""

    def probe(self, nic: str, address: str, window_s: float) -> str:
        wanted = ipaddress.ip_address(address)
        with _channel(nic, _ARP if wanted.version == 4 else _IPV6) as channel:
            own = channel.getsockname()[4]
            question = _question(own, wanted)
            ends = time.monotonic() + window_s
            for n in range(_PROBES):
                channel.send(question)
                until = ends - window_s * (_PROBES - 1 - n) / _PROBES
                holder = _await(channel, wanted, own, until)
                if holder:
                    return holder
        return ""

    def announce(self, nic: str, address: str) -> None:
        mine = ipaddress.ip_address(address)
        with _channel(nic, 0) as channel:
            for frame in announcements(channel.getsockname()[4], mine):
                channel.send(frame)


def announcements(own: bytes, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> list[bytes]:
    """Frames that make neighbours replace what they know: some heed only the request, some only the reply."""
    if isinstance(address, ipaddress.IPv4Address):
        ip = address.packed
        return [
            _arp(_REQUEST, own, ip, b"\0" * 6, ip),
            _arp(_REPLY, own, ip, _BROADCAST, ip),
        ]
    all_nodes = ipaddress.IPv6Address("ff02::1")
    body = struct.pack("!I16sBB6s", _OVERRIDE, address.packed, 2, 1, own)
    return [_icmp6(own, address, all_nodes, _ADVERTISE, body)]


def holder_of(frame: bytes, address: ipaddress.IPv4Address | ipaddress.IPv6Address, own: bytes) -> bytes:
    """MAC in a frame by which someone else claims the address; empty: no such claim."""
    if frame[6:12] == own:
        return b""
    if isinstance(address, ipaddress.IPv4Address):
        return _arp_claim(frame, address.packed)
    return _nd_claim(frame, address.packed)


def _arp_claim(frame: bytes, ip: bytes) -> bytes:
    if len(frame) < 42 or frame[12:20] != struct.pack("!HHHBB", _ARP, 1, 0x0800, 6, 4):
        return b""
    sender_mac, sender_ip = frame[22:28], frame[28:32]
    return sender_mac if sender_ip == ip else b""


def _nd_claim(frame: bytes, ip: bytes) -> bytes:
    if len(frame) < 78 or frame[12:14] != b"\x86\xdd" or frame[20] != socket.IPPROTO_ICMPV6:
        return b""
    if frame[54] != _ADVERTISE or frame[62:78] != ip:
        return b""
    has_option = len(frame) >= 86 and frame[78:80] == b"\x02\x01"
    return frame[80:86] if has_option else frame[6:12]


def _question(own: bytes, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bytes:
    """A probe claims nothing: its sender address is empty, so no cache learns from it."""
    if isinstance(address, ipaddress.IPv4Address):
        return _arp(_REQUEST, own, b"\0" * 4, b"\0" * 6, address.packed)
    group = ipaddress.IPv6Address(b"\xff\x02" + b"\0" * 9 + b"\x01\xff" + address.packed[13:])
    body = struct.pack("!I16s", 0, address.packed)
    return _icmp6(own, ipaddress.IPv6Address("::"), group, _SOLICIT, body)


def _arp(operation: int, own: bytes, sender: bytes, target_mac: bytes, target: bytes) -> bytes:
    header = _BROADCAST + own + struct.pack("!HHHBBH", _ARP, 1, 0x0800, 6, 4, operation)
    return header + own + sender + target_mac + target


def _icmp6(
    own: bytes, source: ipaddress.IPv6Address, group: ipaddress.IPv6Address, kind: int, body: bytes
) -> bytes:
    """To a multicast group, hop limit 255 as receivers demand (RFC 4861 7.1)."""
    length = len(body) + 4
    pseudo = source.packed + group.packed + struct.pack("!II", length, socket.IPPROTO_ICMPV6)
    checksum = internet_checksum(pseudo + struct.pack("!BBH", kind, 0, 0) + body)
    header = b"\x33\x33" + group.packed[12:] + own + struct.pack("!H", _IPV6)
    ip = struct.pack("!IHBB", 6 << 28, length, socket.IPPROTO_ICMPV6, 255) + source.packed + group.packed
    return header + ip + struct.pack("!BBH", kind, 0, checksum) + body


def internet_checksum(data: bytes) -> int:
    """RFC 1071."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _await(
    channel: socket.socket, address: ipaddress.IPv4Address | ipaddress.IPv6Address, own: bytes, until: float
) -> str:
    while (left := until - time.monotonic()) > 0:
        channel.settimeout(left)
        try:
            frame = channel.recv(2048)
        except TimeoutError:
            break
        holder = holder_of(frame, address, own)
        if holder:
            return holder.hex(":")
    return ""


@contextmanager
def _channel(nic: str, protocol: int) -> Iterator[socket.socket]:
    """protocol 0: only to send. Raises NodeError HS652."""
    # Made without a protocol, bound with it: a socket that listens before it is bound waits for the kernel.
    channel = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, 0)
    try:
        channel.bind((nic, protocol))
        yield channel
    except OSError as error:
        raise NodeError(
            f"nothing can be sent through {nic}: {error.strerror or error}",
            hint="the NIC must exist and be up, and the agent needs CAP_NET_RAW",
            code="HS652",
        ) from error
    finally:
        # Closing waits about 15 ms for the kernel to forget the socket; a takeover does not have to.
        threading.Thread(target=channel.close, daemon=True).start()
