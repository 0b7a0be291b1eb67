"""Addresses through rtnetlink, never persistent: a reboot leaves nothing behind. NICs: links, macvlan."""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
import time

from hsorch.node.system.linux import links, macvlan, netlink
from hsorch.node.system.linux.carrier import LinuxCarrierWatch
from hsorch.node.system.linux.netlink import ACK, CREATE, DUMP, EXCLUSIVE, Message, attribute

_NEWADDR, _DELADDR, _GETADDR = 20, 21, 22
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST, _IFA_CACHEINFO, _IFA_FLAGS = 1, 2, 4, 6, 8
_FOREVER = 0xFFFFFFFF
_NODAD, _NOPREFIXROUTE = 0x02, 0x200
_DELIVERY_LIMIT_S = 0.2
_GETROUTE, _RTA_DST, _LOCAL = 26, 1, 2
_HEADER = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")


class LinuxNetwork:
    """Implements hsorch.node.system.base.Network."""

    def add_address(self, nic: str, cidr: str) -> None:
        # NODAD: an IPv6 address would stay unusable for about a second of the kernel's own detection; the
        # conflict probe before has done that work. NOPREFIXROUTE: the NIC's own address has the route.
        body = _address(cidr, links.number(nic), _NOPREFIXROUTE | _NODAD)
        try:
            netlink.change(netlink.ROUTE, Message(_NEWADDR, ACK | CREATE | EXCLUSIVE, body))
        except OSError as error:
            if error.errno != errno.EEXIST:
                raise links.refused(f"{cidr} cannot be put on {nic}", error) from error
        _await_delivery(ipaddress.ip_interface(cidr).ip)

    def remove_address(self, nic: str, cidr: str) -> bool:
        index = links.find(nic)
        if index is None:
            return False
        try:
            netlink.change(netlink.ROUTE, Message(_DELADDR, ACK, _address(cidr, index, 0)))
        except OSError as error:
            if error.errno in (errno.EADDRNOTAVAIL, errno.ENODEV):
                return False
            raise links.refused(f"{cidr} cannot be taken off {nic}", error) from error
        return True

    def has_address(self, nic: str, cidr: str) -> bool:
        wanted, index = ipaddress.ip_interface(cidr), links.find(nic)
        request = Message(_GETADDR, DUMP, _HEADER.pack(_family(wanted), 0, 0, 0, 0))
        for _kind, body in netlink.dump(netlink.ROUTE, request):
            _fam, prefix, _flags, _scope, at = _HEADER.unpack_from(body)
            if at != index or prefix != wanted.network.prefixlen:
                continue
            found = dict(netlink.attributes(body[_HEADER.size :]))
            if found.get(_IFA_LOCAL, found.get(_IFA_ADDRESS)) == wanted.ip.packed:
                return True
        return False

    def carrier(self, nic: str) -> bool:
        return links.carrier(nic)

    def virtual_name(self, nic: str, mac: str) -> str:
        return macvlan.name(nic, mac)

    def add_virtual(self, nic: str, mac: str) -> str:
        return macvlan.add(nic, mac)

    def remove_virtual(self, nic: str, mac: str) -> None:
        macvlan.remove(nic, mac)

    def watch(self) -> LinuxCarrierWatch:
        return LinuxCarrierWatch()


def _await_delivery(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """The kernel adds the local route of an IPv6 address a moment later; what arrives until then is lost."""
    ends = time.monotonic() + _DELIVERY_LIMIT_S
    while ip.version == 6 and not _is_local(ip) and time.monotonic() < ends:
        time.sleep(0.0005)


def _is_local(ip: ipaddress.IPv6Address) -> bool:
    """Whether the kernel would deliver to itself."""
    body = _ROUTE.pack(socket.AF_INET6, 128, 0, 0, 0, 0, 0, 0, 0) + attribute(_RTA_DST, ip.packed)
    try:
        _kind, answer = netlink.ask(netlink.ROUTE, Message(_GETROUTE, 0, body))
    except OSError:
        return False
    return bool(_ROUTE.unpack_from(answer)[7] == _LOCAL)


def _address(cidr: str, index: int, flags: int) -> bytes:
    address = ipaddress.ip_interface(cidr)
    parts = [attribute(_IFA_LOCAL, address.ip.packed), attribute(_IFA_ADDRESS, address.ip.packed)]
    if isinstance(address, ipaddress.IPv4Interface) and address.network.prefixlen < 31:
        parts.append(attribute(_IFA_BROADCAST, address.network.broadcast_address.packed))
    if flags:
        parts.append(attribute(_IFA_FLAGS, struct.pack("=I", flags)))
        if address.version == 6:
            # Not preferred: the node's own connections keep coming from its own address (RFC 6724 rule 3).
            parts.append(attribute(_IFA_CACHEINFO, struct.pack("=IIII", 0, _FOREVER, 0, 0)))
    header = _HEADER.pack(_family(address), address.network.prefixlen, flags & 0xFF, 0, index)
    return header + b"".join(parts)


def _family(address: ipaddress.IPv4Interface | ipaddress.IPv6Interface) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6
