"""Linux: rtnetlink, packet sockets, nftables, systemd, /proc. Standard library only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hsorch.node.system.base import DeadMan
from hsorch.node.system.linux.deadman import LinuxDeadMan
from hsorch.node.system.linux.mounts import LinuxMounts
from hsorch.node.system.linux.neighbours import LinuxNeighbours
from hsorch.node.system.linux.network import LinuxNetwork
from hsorch.node.system.linux.ping import ping
from hsorch.node.system.linux.processes import LinuxProcesses
from hsorch.node.system.linux.services import SystemdServices


class LinuxSystem:
    """Implements hsorch.node.system.base.System. One per process: it knows the children it has started."""

    def __init__(self) -> None:
        self.network = LinuxNetwork()
        self.neighbours = LinuxNeighbours()
        self.processes = LinuxProcesses()
        self.mounts = LinuxMounts()
        self.services = SystemdServices(self.processes)

    def dead_man(self, cluster: str) -> DeadMan:
        return LinuxDeadMan(cluster)

    def ping(self, addresses: Sequence[str], nic: str, timeout_s: float) -> frozenset[str]:
        return ping(addresses, nic, timeout_s)

    def boot_id(self) -> str:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def system() -> LinuxSystem:
    return LinuxSystem()
