"""ICMP echo to several addresses at once, through one NIC. RFC 792, RFC 4443."""

from __future__ import annotations

import ipaddress
import os
import selectors
import socket
import struct
import time
from collections.abc import Sequence
from itertools import count

from hsorch.node.system.linux.neighbours import internet_checksum

_sequence = count(1)


def ping(addresses: Sequence[str], nic: str, timeout_s: float) -> frozenset[str]:
    """Those that answered within timeout_s. One that cannot even be sent to has not answered."""
    wanted = {ipaddress.ip_address(a): a for a in addresses}
    token = os.urandom(8)
    answered: set[str] = set()
    channels = {version: _channel(version, nic) for version in {a.version for a in wanted}}
    try:
        for address in wanted:
            channel = channels[address.version]
            try:
                channel.sendto(_echo(address.version, token), (str(address), 0))
            except OSError:
                continue
        ends = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            for version, channel in channels.items():
                selector.register(channel, selectors.EVENT_READ, version)
            while len(answered) < len(wanted) and (left := ends - time.monotonic()) > 0:
                for key, _ in selector.select(left):
                    data, sender = channels[key.data].recvfrom(2048)
                    name = wanted.get(ipaddress.ip_address(sender[0].partition("%")[0]))
                    if name is not None and data.endswith(token) and _is_reply(data):
                        answered.add(name)
    finally:
        for channel in channels.values():
            channel.close()
    return frozenset(answered)


def _channel(version: int, nic: str) -> socket.socket:
    """Raises OSError: without CAP_NET_RAW, or without the NIC, nobody can answer."""
    family, protocol = (
        (socket.AF_INET, socket.IPPROTO_ICMP) if version == 4 else (socket.AF_INET6, socket.IPPROTO_ICMPV6)
    )
    channel = socket.socket(family, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, protocol)
    try:
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, nic.encode())
    except OSError:
        channel.close()
        raise
    return channel


def _echo(version: int, token: bytes) -> bytes:
    """The kernel fills in the checksum of ICMPv6."""
    head = struct.pack("!HH", os.getpid() & 0xFFFF, next(_sequence) & 0xFFFF)
    if version == 6:
        return struct.pack("!BBH", 128, 0, 0) + head + token
    checksum = internet_checksum(struct.pack("!BBH", 8, 0, 0) + head + token)
    return struct.pack("!BBH", 8, 0, checksum) + head + token


def _is_reply(data: bytes) -> bool:
    """IPv4 raw sockets deliver the IP header, IPv6 ones do not."""
    if data[0] >> 4 == 4:
        return data[(data[0] & 0xF) * 4] == 0
    return data[0] == 129
