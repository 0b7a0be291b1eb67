"""NICs by name and number: what the kernel calls them, their MAC and carrier."""

from __future__ import annotations

import fcntl
import socket
import struct

from hsorch.errors import NodeError

UP_RUNNING = 0x41
HEADER = struct.Struct("=BxHiII")
"""ifinfomsg: family, type, number, flags, change mask."""
_SIOCGIFFLAGS, _SIOCGIFHWADDR = 0x8913, 0x8927


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


def mac(nic: str) -> str:
    """Raises NodeError HS651, HS652."""
    return _ask(_SIOCGIFHWADDR, nic)[18:24].hex(":")


def carrier(nic: str) -> bool:
    try:
        (flags,) = struct.unpack_from("=H", _ask(_SIOCGIFFLAGS, nic), 16)
    except NodeError:
        return False
    return bool(flags & UP_RUNNING == UP_RUNNING)


def refused(what: str, error: OSError) -> NodeError:
    return NodeError(
        f"{what}: {error.strerror or error}",
        hint="the agent needs CAP_NET_ADMIN in this network namespace and the NIC must be there",
        code="HS651",
    )


def _ask(request: int, nic: str) -> bytes:
    """By ioctl: /sys/class/net would show the namespace that mounted it, not ours."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            return fcntl.ioctl(channel, request, struct.pack("=16s24x", nic.encode()[:15]))
    except OSError as error:
        number(nic)
        raise refused(f"{nic} does not answer", error) from error
