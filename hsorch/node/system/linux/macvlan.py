"""A NIC with a MAC of its own on top of a real one (macvlan), so that the virtual address keeps its MAC.

Frames to the address go to the virtual MAC; what the node sends leaves by the real NIC with the real MAC.
"""

from __future__ import annotations

import errno
import hashlib
import struct
from pathlib import Path

from hsorch.node.system.linux import links, netlink
from hsorch.node.system.linux.netlink import ACK, CREATE, DUMP, EXCLUSIVE, Message, attribute

_NEWLINK, _DELLINK, _GETLINK = 16, 17, 18
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_LINK, _IFLA_LINKINFO, _IFLA_IFALIAS = 1, 3, 5, 18, 20
_INFO_KIND, _INFO_DATA, _MACVLAN_MODE, _MACVLAN_BRIDGE = 1, 2, 1, 4
_UP = 1


def name(nic: str, mac: str) -> str:
    """At most 15 characters, the same for the same pair in every process."""
    return f"hs-{hashlib.sha256(f'{nic} {mac.lower()}'.encode()).hexdigest()[:8]}"


def add(nic: str, mac: str) -> str:
    """Name of the new NIC. Idempotent. Raises NodeError HS651, HS652."""
    made = name(nic, mac)
    if links.find(made) is None:
        _make(made, nic, mac)
    # Without this the real NIC answers ARP for the virtual address with its own MAC as well, and replies
    # that leave by the real NIC are taken for spoofed.
    _set(nic, "arp_ignore", b"1")
    _set(made, "arp_ignore", b"1")
    _set(made, "rp_filter", b"2")
    _send(f"{made} cannot be set up", 0, links.HEADER.pack(0, 0, links.number(made), _UP, _UP))
    return made


def remove(nic: str, mac: str) -> None:
    """No error when it is not there. Raises NodeError HS651."""
    index = links.find(name(nic, mac))
    if index is None:
        return
    if links.find(nic) is not None:
        _set(nic, "arp_ignore", _alias(index) or b"0")
    try:
        netlink.change(netlink.ROUTE, Message(_DELLINK, ACK, links.HEADER.pack(0, 0, index, 0, 0)))
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise links.refused(f"the NIC with MAC {mac} cannot be removed", error) from error


def _make(made: str, nic: str, mac: str) -> None:
    mode = attribute(_MACVLAN_MODE, struct.pack("=I", _MACVLAN_BRIDGE))
    body = (
        links.HEADER.pack(0, 0, 0, 0, 0)
        + attribute(_IFLA_IFNAME, made.encode() + b"\0")
        + attribute(_IFLA_ADDRESS, bytes.fromhex(mac.replace(":", "")))
        + attribute(_IFLA_LINK, struct.pack("=I", links.number(nic)))
        + attribute(_IFLA_LINKINFO, attribute(_INFO_KIND, b"macvlan"), attribute(_INFO_DATA, mode))
    )
    _send(f"no NIC with MAC {mac} can be made on {nic}", CREATE | EXCLUSIVE, body)
    # What was set on the real NIC is kept in the new one's alias: it lives exactly as long as it is needed.
    alias = attribute(_IFLA_IFALIAS, _setting(nic, "arp_ignore").read_bytes().strip())
    _send(f"{made} takes no alias", 0, links.HEADER.pack(0, 0, links.number(made), 0, 0) + alias)


def _send(fault: str, flags: int, body: bytes) -> None:
    try:
        netlink.change(netlink.ROUTE, Message(_NEWLINK, ACK | flags, body))
    except OSError as error:
        raise links.refused(fault, error) from error


def _setting(nic: str, key: str) -> Path:
    return Path("/proc/sys/net/ipv4/conf") / nic / key


def _set(nic: str, key: str, value: bytes) -> None:
    try:
        _setting(nic, key).write_bytes(value)
    except OSError as error:
        raise links.refused(f"{key} of {nic} cannot be set", error) from error


def _alias(index: int) -> bytes:
    request = Message(_GETLINK, DUMP, links.HEADER.pack(0, 0, 0, 0, 0))
    for _kind, body in netlink.dump(netlink.ROUTE, request):
        if links.HEADER.unpack_from(body)[2] == index:
            found = dict(netlink.attributes(body[links.HEADER.size :]))
            return found.get(_IFLA_IFALIAS, b"").rstrip(b"\0")
    return b""
