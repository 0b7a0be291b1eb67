"""Machines on one switch, each a thread in a network namespace of its own: real ARP, real nftables.

A namespace belongs to a thread on Linux, and what the thread opens or starts lives in it. So
`host.do(f, ...)` runs f on that machine, and packets between machines are real.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

_NEW_NETWORK = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)

P = ParamSpec("P")
T = TypeVar("T")


def why_not() -> str:
    """Reason why no namespaces can be made here; empty: they can."""
    if os.geteuid() != 0:
        return "needs root: a thread cannot enter a user namespace"
    probe = subprocess.run(["unshare", "-n", "true"], capture_output=True, text=True)
    return "" if probe.returncode == 0 else f"no network namespaces: {probe.stderr.strip()}"


class Host:
    """One machine with one NIC."""

    def __init__(self, name: str, nic: str) -> None:
        self.name = name
        self.nic = nic
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self.tid = self._thread.submit(_enter).result()

    def do(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return self._thread.submit(function, *args, **kwargs).result()

    def sh(self, command: str) -> str:
        """Output of a command line; fails the test when the command fails."""
        done = self.do(subprocess.run, command.split(), capture_output=True, text=True)
        assert done.returncode == 0, f"{self.name}: {command}: {done.stderr}"
        return str(done.stdout)

    def mac(self) -> str:
        return self.sh(f"ip -brief link show {self.nic}").split()[2]

    def close(self) -> None:
        self._thread.shutdown()


class Switch:
    """A bridge in a namespace of its own; `connect` plugs a new machine in."""

    def __init__(self) -> None:
        self.host = Host("switch", "br0")
        self.host.sh("ip link add br0 type bridge")
        self.host.sh("ip link set br0 up")
        self._machines: list[Host] = []

    def connect(self, name: str, nic: str, *addresses: str) -> Host:
        machine = Host(name, nic)
        self._machines.append(machine)
        port = f"p{len(self._machines)}"
        self.host.sh(f"ip link add {port} type veth peer name {nic} netns {machine.tid}")
        self.host.sh(f"ip link set {port} master br0")
        self.host.sh(f"ip link set {port} up")
        machine.sh("ip link set lo up")
        for address in addresses:
            machine.sh(f"ip address add {address} dev {nic} nodad")
        machine.sh(f"ip link set {nic} up")
        return machine

    def unplug(self, number: int) -> None:
        """number: order of connecting, from 1."""
        self.host.sh(f"ip link set p{number} down")

    def plug(self, number: int) -> None:
        self.host.sh(f"ip link set p{number} up")

    def close(self) -> None:
        for machine in [*self._machines, self.host]:
            machine.close()


def _enter() -> int:
    if _libc.unshare(_NEW_NETWORK) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return threading.get_native_id()
