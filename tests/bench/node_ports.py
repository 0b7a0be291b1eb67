"""What the node's own netlink costs beside running `ip` and `nft`: why it has its own. Needs root."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

from hsorch.node.system import system
from tests.bench.table import Row, Table
from tests.lab.resource_net import Host, why_not

VIP = "10.9.0.9/24"
ADD_BY_NFT = "flush set inet {0} lease; add element inet {0} lease {{ ip timeout 1s, ip6 timeout 1s }}"


def ports(rounds: int = 100) -> list[Table]:
    """In a namespace of its own, on a loopback of its own."""
    reason = why_not()
    if reason:
        return [Table(f"Network ports of a node: not measured, {reason}", "ms", (Row("-", (0.0,)),))]
    host = Host("node", "lo")
    host.sh("ip link set lo up")
    try:
        return host.do(lambda: [_address(rounds), _dead_man(rounds)])
    finally:
        host.close()


def _address(rounds: int) -> Table:
    network = system().network

    def own() -> None:
        network.add_address("lo", VIP)
        network.remove_address("lo", VIP)

    def by_ip() -> None:
        subprocess.run(["ip", "address", "add", VIP, "dev", "lo"], check=True)
        subprocess.run(["ip", "address", "del", VIP, "dev", "lo"], check=True)

    rows = (Row("hsorch", _samples(own, rounds)), Row("ip, two runs", _samples(by_ip, rounds)))
    return Table("Take an address and give it back", "ms", rows)


def _dead_man(rounds: int) -> Table:
    dead_man = system().dead_man("bench")
    fault = dead_man.install(["10.9.0.9"])
    if fault:
        return Table(f"Renew the dead-man switch: not measured, {fault}", "ms", (Row("-", (0.0,)),))
    listing = subprocess.run(["nft", "list", "tables", "inet"], capture_output=True, text=True, check=True)
    command = ADD_BY_NFT.format(listing.stdout.split()[2])
    rows = (
        Row("hsorch", _samples(lambda: dead_man.arm(time.monotonic_ns() + 10**9), rounds)),
        Row(
            "nft", _samples(lambda: subprocess.run(["nft", command], check=True), rounds), "one of two tables"
        ),
    )
    dead_man.remove()
    return Table("Renew the dead-man switch", "ms", rows, "Five times a second in the default profile.")


def _samples(call: Callable[[], object], rounds: int) -> tuple[float, ...]:
    found = []
    for _ in range(rounds):
        begin = time.perf_counter()
        call()
        found.append((time.perf_counter() - begin) * 1000)
    return tuple(found)
