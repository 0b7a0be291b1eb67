"""NICs by name and number, and whether they have a carrier."""

from __future__ import annotations

import fcntl
import socket
import struct

from hsorch.errors import NodeError

UP_RUNNING = 0x41
HEADER = struct.Struct("=BxHiII")
"""ifinfomsg: family, type, number, flags, change mask."""
_SIOCGIFFLAGS = 0x8913


def find(nic: str) -> int | None:
    try:
        return socket.if_nametoindex(nic)
    except OSError:
        return None


def number(nic: str) -> int:
    """Raises NodeError HS652."""
    found = find(nic)
    if found is None:
        raise NodeError(
            f"there is no NIC {nic} on this node",
            hint="compare `ip link` with `nics` in the manifest; a NIC may have been renamed",
            code="HS652",
        )
    return found


def carrier(nic: str) -> bool:
    """False also when the NIC does not exist."""
    # By ioctl: /sys/class/net shows the namespace that mounted it, which need not be ours.
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            answer = fcntl.ioctl(channel, _SIOCGIFFLAGS, struct.pack("=16s24x", nic.encode()[:15]))
    except OSError:
        return False
    (flags,) = struct.unpack_from("=H", answer, 16)
    return bool(flags & UP_RUNNING == UP_RUNNING)


def refused(what: str, error: OSError) -> NodeError:
    return NodeError(
        f"{what}: {error.strerror or error}",
        hint="the agent needs CAP_NET_ADMIN in this network namespace and the NIC must be there",
        code="HS651",
    )
