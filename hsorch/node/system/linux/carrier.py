"""The kernel tells when a NIC comes, goes or changes carrier: a netlink subscription, no polling."""

from __future__ import annotations

import errno
import socket

from hsorch.node.system.linux import links, netlink

_NEWLINK, _DELLINK = 16, 17
_LINKS_GROUP = 1
_IFLA_IFNAME = 3


class LinuxCarrierWatch:
    """Implements hsorch.node.system.base.CarrierWatch."""

    def __init__(self) -> None:
        self._channel = netlink.subscribe(netlink.ROUTE, _LINKS_GROUP)

    def fileno(self) -> int:
        return self._channel.fileno()

    def read(self) -> list[tuple[str, bool]]:
        seen: list[tuple[str, bool]] = []
        while True:
            try:
                seen += notices(self._channel.recv(1 << 16))
            except BlockingIOError:
                return seen
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                # Notices were lost; the state of every NIC makes up for them.
                seen += [(name, links.carrier(name)) for _number, name in socket.if_nameindex()]

    def close(self) -> None:
        self._channel.close()


def notices(data: bytes) -> list[tuple[str, bool]]:
    """(NIC, carrier) of each link notice in a datagram."""
    found = []
    for kind, body in netlink.messages(data):
        if kind not in (_NEWLINK, _DELLINK) or len(body) < links.HEADER.size:
            continue
        flags = links.HEADER.unpack_from(body)[3]
        name = dict(netlink.attributes(body[links.HEADER.size :])).get(_IFLA_IFNAME, b"")
        up = kind == _NEWLINK and flags & links.UP_RUNNING == links.UP_RUNNING
        found.append((name.rstrip(b"\0").decode(errors="replace"), up))
    return found
