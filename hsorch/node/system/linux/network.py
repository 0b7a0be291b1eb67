"""Addresses, links and their carrier through rtnetlink. Never persistent: a reboot leaves nothing behind."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import ipaddress
import socket
import struct
from pathlib import Path

from hsorch.errors import NodeError
from hsorch.node.system.linux import netlink
from hsorch.node.system.linux.netlink import ACK, CREATE, DUMP, EXCLUSIVE, Message, attribute

_NEWLINK, _DELLINK, _NEWADDR, _DELADDR, _GETADDR = 16, 17, 20, 21, 22
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_LINK, _IFLA_LINKINFO = 1, 3, 5, 18
_INFO_KIND, _INFO_DATA, _MACVLAN_MODE, _MACVLAN_BRIDGE = 1, 2, 1, 4
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST, _IFA_FLAGS = 1, 2, 4, 8
_NODAD, _NOPREFIXROUTE = 0x02, 0x200
_UP, _UP_RUNNING = 0x1, 0x41
_SIOCGIFFLAGS, _SIOCGIFHWADDR = 0x8913, 0x8927
_LINKS_GROUP = 1
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")


class LinuxNetwork:
    """Implements hsorch.node.system.base.Network."""

    def add_address(self, nic: str, cidr: str) -> None:
        # NODAD: an IPv6 address would stay unusable for about a second of the kernel's own detection; the
        # conflict probe before has done that work. NOPREFIXROUTE: the NIC's own address has the route.
        body = _address_body(cidr, _index(nic), _NOPREFIXROUTE | _NODAD)
        try:
            netlink.change(netlink.ROUTE, Message(_NEWADDR, ACK | CREATE | EXCLUSIVE, body))
        except OSError as error:
            if error.errno != errno.EEXIST:
                raise _refused(f"{cidr} cannot be put on {nic}", error) from error

    def remove_address(self, nic: str, cidr: str) -> bool:
        index = _find(nic)
        if index is None:
            return False
        try:
            netlink.change(netlink.ROUTE, Message(_DELADDR, ACK, _address_body(cidr, index, 0)))
        except OSError as error:
            if error.errno in (errno.EADDRNOTAVAIL, errno.ENODEV):
                return False
            raise _refused(f"{cidr} cannot be taken off {nic}", error) from error
        return True

    def has_address(self, nic: str, cidr: str) -> bool:
        wanted = ipaddress.ip_interface(cidr)
        index = _find(nic)
        request = Message(_GETADDR, DUMP, _ADDRESS.pack(_family(wanted), 0, 0, 0, 0))
        for _kind, body in netlink.dump(netlink.ROUTE, request):
            _fam, prefix, _flags, _scope, at = _ADDRESS.unpack_from(body)
            if at != index or prefix != wanted.network.prefixlen:
                continue
            found = dict(netlink.attributes(body[_ADDRESS.size :]))
            if found.get(_IFA_LOCAL, found.get(_IFA_ADDRESS)) == wanted.ip.packed:
                return True
        return False

    def mac(self, nic: str) -> str:
        return _interface_request(_SIOCGIFHWADDR, nic)[18:24].hex(":")

    def carrier(self, nic: str) -> bool:
        try:
            (flags,) = struct.unpack_from("=H", _interface_request(_SIOCGIFFLAGS, nic), 16)
        except NodeError:
            return False
        return bool(flags & _UP_RUNNING == _UP_RUNNING)

    def virtual_name(self, nic: str, mac: str) -> str:
        """At most 15 characters, the same for the same pair in every process."""
        return f"hs-{hashlib.sha256(f'{nic} {mac.lower()}'.encode()).hexdigest()[:8]}"

    def add_virtual(self, nic: str, mac: str) -> str:
        name = self.virtual_name(nic, mac)
        body = _LINK.pack(0, 0, 0, _UP, _UP) + b"".join(
            (
                attribute(_IFLA_IFNAME, name.encode() + b"\0"),
                attribute(_IFLA_ADDRESS, bytes.fromhex(mac.replace(":", ""))),
                attribute(_IFLA_LINK, struct.pack("=I", _index(nic))),
                attribute(
                    _IFLA_LINKINFO,
                    attribute(_INFO_KIND, b"macvlan"),
                    attribute(_INFO_DATA, attribute(_MACVLAN_MODE, struct.pack("=I", _MACVLAN_BRIDGE))),
                ),
            )
        )
        try:
            netlink.change(netlink.ROUTE, Message(_NEWLINK, ACK | CREATE | EXCLUSIVE, body))
        except OSError as error:
            if error.errno != errno.EEXIST:
                raise _refused(f"no NIC with MAC {mac} can be made on {nic}", error) from error
        # Without this the real NIC answers ARP for the virtual address with its own MAC as well, and
        # replies that leave by the real NIC are taken for spoofed.
        _set(nic, "arp_ignore", "1")
        _set(name, "arp_ignore", "1")
        _set(name, "rp_filter", "2")
        return name

    def remove_virtual(self, nic: str, mac: str) -> None:
        index = _find(self.virtual_name(nic, mac))
        if index is None:
            return
        try:
            netlink.change(netlink.ROUTE, Message(_DELLINK, ACK, _LINK.pack(0, 0, index, 0, 0)))
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise _refused(f"the NIC with MAC {mac} cannot be removed", error) from error

    def watch(self) -> LinuxCarrierWatch:
        return LinuxCarrierWatch()


class LinuxCarrierWatch:
    """A subscription to the kernel's link notices (RTM_NEWLINK, RTM_DELLINK): no polling, no idle cost."""

    def __init__(self) -> None:
        self._channel = netlink.subscribe(netlink.ROUTE, _LINKS_GROUP)

    def fileno(self) -> int:
        return self._channel.fileno()

    def read(self) -> list[tuple[str, bool]]:
        seen: list[tuple[str, bool]] = []
        while True:
            try:
                data = self._channel.recv(1 << 16)
            except BlockingIOError:
                return seen
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                # Notices were lost; the state of every NIC makes up for them.
                network = LinuxNetwork()
                seen += [(name, network.carrier(name)) for _index, name in socket.if_nameindex()]
                continue
            seen += link_notices(data)

    def close(self) -> None:
        self._channel.close()


def link_notices(data: bytes) -> list[tuple[str, bool]]:
    """(NIC, carrier) of each link notice in a datagram."""
    found = []
    for kind, body in netlink.messages(data):
        if kind not in (_NEWLINK, _DELLINK) or len(body) < _LINK.size:
            continue
        flags = _LINK.unpack_from(body)[3]
        name = dict(netlink.attributes(body[_LINK.size :])).get(_IFLA_IFNAME, b"").rstrip(b"\0").decode()
        found.append((name, kind == _NEWLINK and flags & _UP_RUNNING == _UP_RUNNING))
    return found


def _address_body(cidr: str, index: int, flags: int) -> bytes:
    address = ipaddress.ip_interface(cidr)
    parts = [attribute(_IFA_LOCAL, address.ip.packed), attribute(_IFA_ADDRESS, address.ip.packed)]
    if isinstance(address, ipaddress.IPv4Interface) and address.network.prefixlen < 31:
        parts.append(attribute(_IFA_BROADCAST, address.network.broadcast_address.packed))
    if flags:
        parts.append(attribute(_IFA_FLAGS, struct.pack("=I", flags)))
    header = _ADDRESS.pack(_family(address), address.network.prefixlen, flags & 0xFF, 0, index)
    return header + b"".join(parts)


def _family(address: ipaddress.IPv4Interface | ipaddress.IPv6Interface) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def _find(nic: str) -> int | None:
    try:
        return socket.if_nametoindex(nic)
    except OSError:
        return None


def _index(nic: str) -> int:
    index = _find(nic)
    if index is None:
        raise NodeError(
            f"there is no NIC {nic} on this node",
            hint="compare `ip link` with `nics` in the manifest; a NIC may have been renamed",
            code="HS652",
        )
    return index


def _interface_request(request: int, nic: str) -> bytes:
    """A question by ioctl. /sys/class/net would show the namespace that mounted it, not ours."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            return fcntl.ioctl(channel, request, struct.pack("=16s24x", nic.encode()[:15]))
    except OSError as error:
        _index(nic)
        raise _refused(f"{nic} does not answer", error) from error


def _set(nic: str, name: str, value: str) -> None:
    path = Path("/proc/sys/net/ipv4/conf") / nic / name
    try:
        path.write_text(value)
    except OSError as error:
        raise _refused(f"{name} of {nic} cannot be set", error) from error


def _refused(what: str, error: OSError) -> NodeError:
    return NodeError(
        f"{what}: {error.strerror or error}",
        hint="the agent needs CAP_NET_ADMIN in this network namespace and the NIC must be there",
        code="HS651",
    )
