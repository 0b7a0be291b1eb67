"""The kernel's dead-man switch: virtual addresses' traffic passes while an nftables set element lives.

`nft` makes the tables once; afterwards one netlink transaction per call replaces the element, which costs
about 0.05 ms where running `nft` costs 4 to 16 (measured by tests/bench/node_ports.py). The element's key
says nothing about an address: it is the protocol (IPv4, IPv6), so one element rules all addresses of the
cluster. Flush and add stand in one transaction because kernels before 6.12 do not change the timeout of an
element that is there.
"""

from __future__ import annotations

import hashlib
import ipaddress
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterable, Sequence

from hsorch.node.system.linux import netlink
from hsorch.node.system.linux.netlink import ACK, CREATE, NESTED, Message, attribute

_BATCH_BEGIN, _BATCH_END = 16, 17
_NFTABLES = 10
_NEWSETELEM, _DELSETELEM = _NFTABLES << 8 | 12, _NFTABLES << 8 | 14
_TABLE, _SET, _ELEMENTS = 1, 2, 3
_ELEMENT, _KEY, _TIMEOUT, _VALUE = 1, 1, 4, 1
_INET, _ARP = 1, 3
_KEYS = {_INET: (0x0800, 0x86DD), _ARP: (0x0800,)}
_INSTALL_LIMIT_S = 5


class LinuxDeadMan:
    """Implements hsorch.node.system.base.DeadMan. Guard and agent may each have one for a cluster."""

    def __init__(self, cluster: str) -> None:
        self._table = f"hsorch_{hashlib.sha256(cluster.encode()).hexdigest()[:8]}"
        self._lock = threading.Lock()
        # Kept open: closing it waits for the kernel to tidy up after the last change, about 12 ms.
        self._channel: netlink.Channel | None = None

    def install(self, addresses: Sequence[str]) -> str:
        nft = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin:/bin")
        if nft is None:
            return "the program nft is not installed"
        stamp = f"of_{hashlib.sha256(' '.join(sorted(addresses)).encode()).hexdigest()[:8]}"
        # One question per run: nft 1.0.6 answers a second one about another family with "no such file".
        if not any(
            _run([nft, "list", "chain", family, self._table, stamp], "") for family in ("inet", "arp")
        ):
            return ""
        return _run([nft, "-f", "-"], ruleset(self._table, stamp, addresses))

    def arm(self, until_ns: int) -> bool:
        left_ms = (until_ns - time.monotonic_ns()) // 1_000_000
        return self._replace(left_ms) if left_ms > 0 else self.block()

    def open(self) -> bool:
        return self._replace(0)

    def block(self) -> bool:
        return self._transact(self._flush(family) for family in _KEYS)

    def remove(self) -> bool:
        nft = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin:/bin")
        return nft is None or not _run([nft, "-f", "-"], _without(self._table))

    def _replace(self, timeout_ms: int) -> bool:
        requests = []
        for family, keys in _KEYS.items():
            requests += [self._flush(family), self._add(family, keys, timeout_ms)]
        return self._transact(requests)

    def _flush(self, family: int) -> Message:
        return Message(_DELSETELEM, ACK, _header(family, 0) + self._names())

    def _add(self, family: int, keys: Sequence[int], timeout_ms: int) -> Message:
        timeout = attribute(_TIMEOUT, struct.pack("!Q", timeout_ms)) if timeout_ms else b""
        elements = [
            attribute(
                _ELEMENT | NESTED,
                timeout,
                attribute(_KEY | NESTED, attribute(_VALUE, struct.pack("!H", key))),
            )
            for key in keys
        ]
        body = _header(family, 0) + self._names() + attribute(_ELEMENTS | NESTED, *elements)
        return Message(_NEWSETELEM, ACK | CREATE, body)

    def _names(self) -> bytes:
        return attribute(_TABLE, self._table.encode() + b"\0") + attribute(_SET, b"lease\0")

    def _transact(self, requests: Iterable[Message]) -> bool:
        bracket = _header(socket.AF_UNSPEC, _NFTABLES)
        batch = [Message(_BATCH_BEGIN, 0, bracket), *requests, Message(_BATCH_END, 0, bracket)]
        try:
            with self._lock:
                if self._channel is None:
                    self._channel = netlink.Channel(netlink.NETFILTER)
                self._channel.change(batch)
        except OSError:
            return False
        return True


def ruleset(table: str, stamp: str, addresses: Sequence[str]) -> str:
    """The text for nft: replaces what an earlier start left, and passes nothing before it is armed.

    Inbound at prerouting, before a container's address translation takes the packet elsewhere. Only what is
    meant for this node: a standby must still reach the address at its peer.
    """
    ips = [ipaddress.ip_address(a) for a in addresses]
    inbound, outbound, arp_in, arp_out = [], [], [], []
    for ip in ips:
        family = "ip" if ip.version == 4 else "ip6"
        inbound.append(f"{family} daddr {ip} fib daddr type local meta protocol != @lease drop")
        outbound.append(f"{family} saddr {ip} meta protocol != @lease drop")
        if ip.version == 4:
            arp_in.append(f"arp daddr ip {ip} arp ptype != @lease drop")
            arp_out.append(f"arp saddr ip {ip} arp ptype != @lease drop")
        else:
            # @th,64,128: the target address of a solicitation or advertisement (RFC 4861 4.3, 4.4).
            target = f"@th,64,128 {int(ip):#034x} meta protocol != @lease drop"
            inbound.append(f"icmpv6 type nd-neighbor-solicit {target}")
            outbound.append(f"icmpv6 type nd-neighbor-advert {target}")
    lease = " set lease { type ether_type; flags timeout; }"
    return _without(table) + "\n".join(
        [
            f"table inet {table} {{",
            lease,
            f" chain {stamp} {{ }}",
            _chain("incoming", "prerouting", inbound),
            _chain("outgoing", "output", outbound),
            "}",
            f"table arp {table} {{",
            lease,
            f" chain {stamp} {{ }}",
            _chain("incoming", "input", arp_in),
            _chain("outgoing", "output", arp_out),
            "}\n",
        ]
    )


def _chain(name: str, hook: str, rules: Sequence[str]) -> str:
    body = "".join(f"  {rule}\n" for rule in rules)
    return f" chain {name} {{\n  type filter hook {hook} priority -400; policy accept;\n{body} }}"


def _without(table: str) -> str:
    """Delete the tables, present or not."""
    return "".join(f"table {f} {table} {{ }}\ndelete table {f} {table}\n" for f in ("inet", "arp"))


def _header(family: int, resource: int) -> bytes:
    return struct.pack("!BBH", family, 0, resource)


def _run(argv: list[str], text: str) -> str:
    """Why it failed; empty when it did not."""
    try:
        done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=_INSTALL_LIMIT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else (done.stderr.strip() or f"nft ended with {done.returncode}")
