"""What the operating system of a Linux node says, as one JSON object. Standard library only, one file:

before a runtime is there, the controller pipes this very source into the node's python3 (hsorch.plan.remote).
"""

from __future__ import annotations

import ctypes
import ipaddress
import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HOME = "/var/lib/hsorch"
TOOLS = ("ip", "nft", "systemctl", "arping", "openssl")
SYSTEMD = Path("/run/systemd/system")
SYSTEMD_LIMIT_S = 10


def machine() -> dict[str, Any]:
    """The fields of hsorch.node.deployment.wire.Machine."""
    home = Path(HOME)
    while not home.exists():
        home = home.parent
    found = {tool: shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") for tool in TOOLS}
    return {
        "hostname": socket.gethostname(),
        "administrator": os.geteuid() == 0,
        "python": sys.executable,
        "version": sys.version_info[:2],
        "extensions": sysconfig.get_config_var("EXT_SUFFIX"),
        "wall": time.time(),
        "systemd": SYSTEMD.is_dir(),
        "at_boot": at_boot(),
        "disk_free": shutil.disk_usage(home).free,
        "nics": nics(),
        "fuse": fuse(),
        "udp_ports": udp_ports(),
        "tcp_ports": tcp_ports(),
        "tools": {tool: path for tool, path in found.items() if path},
    }


def at_boot() -> list[str]:
    """Services that systemd starts at boot by itself. Empty where it does not run or gives no answer."""
    argv = ["systemctl", "list-unit-files", "--plain", "--no-legend", "--no-pager", "--type=service"]
    if not SYSTEMD.is_dir():
        return []
    try:
        told = subprocess.run(
            [*argv, "--state=enabled,enabled-runtime"],
            capture_output=True,
            text=True,
            timeout=SYSTEMD_LIMIT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.split()[0] for line in told.stdout.splitlines() if line.strip()]


class _Address(ctypes.Structure):
    """struct ifaddrs (getifaddrs(3)), up to the fields that are read here."""


_Address._fields_ = [
    ("next", ctypes.POINTER(_Address)),
    ("name", ctypes.c_char_p),
    ("flags", ctypes.c_uint),
    ("address", ctypes.c_void_p),
    ("netmask", ctypes.c_void_p),
]


def nics() -> dict[str, list[str]]:
    """Interface → addresses in CIDR form, link-local ones of IPv6 left out."""
    libc = ctypes.CDLL(None, use_errno=True)
    found: dict[str, list[str]] = {name: [] for _, name in socket.if_nameindex()}
    head = ctypes.POINTER(_Address)()
    if libc.getifaddrs(ctypes.byref(head)) != 0:
        raise OSError(ctypes.get_errno(), "getifaddrs")
    node = head
    while node:
        entry = node.contents
        address, mask = _ip(entry.address), _ip(entry.netmask)
        if address is not None and mask is not None and not address.is_link_local:
            bits = bin(int(mask)).count("1")
            found.setdefault(entry.name.decode(), []).append(f"{address}/{bits}")
        node = entry.next
    libc.freeifaddrs(head)
    return found


def _ip(pointer: int | None) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address inside a struct sockaddr; None for other families."""
    if not pointer:
        return None
    family = int.from_bytes(ctypes.string_at(pointer, 2), sys.byteorder)
    if family == socket.AF_INET:
        return ipaddress.IPv4Address(ctypes.string_at(pointer + 4, 4))
    if family == socket.AF_INET6:
        return ipaddress.IPv6Address(ctypes.string_at(pointer + 8, 16))
    return None


def fuse() -> bool:
    """Whether folders can be mounted over, which ordered replication needs."""
    try:
        ctypes.CDLL("libfuse3.so.3")
    except OSError:
        return False
    return Path("/dev/fuse").exists()


def udp_ports() -> dict[int, str]:
    """Bound UDP ports of this network namespace and the process that holds each."""
    return _owned("udp", lambda state: True)


def tcp_ports() -> dict[int, str]:
    """The same of TCP ports that are listened on."""
    return _owned("tcp", lambda state: state == "0A")


def _owned(family: str, counts: Callable[[str], bool]) -> dict[int, str]:
    inodes: dict[str, int] = {}
    for table in (f"/proc/net/{family}", f"/proc/net/{family}6"):
        lines = Path(table).read_text().splitlines()[1:] if Path(table).exists() else []
        for fields in map(str.split, lines):
            if counts(fields[3]):
                inodes[fields[9]] = int(fields[1].rpartition(":")[2], 16)
    owners = dict.fromkeys(inodes.values(), "an unknown process")
    if not inodes:
        return owners
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            target = str(link.readlink())
            if target.startswith("socket:[") and target[8:-1] in inodes:
                pid = link.parts[2]
                owners[inodes[target[8:-1]]] = f"{Path(f'/proc/{pid}/comm').read_text().strip()} (pid {pid})"
        except OSError:
            continue
    return owners


if __name__ == "__main__":
    print(json.dumps({"machine": machine()}))
