"""The virtual address on a real (virtual) switch: taken, announced, refused when a stranger holds it."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsorch.node.core.types import Operation, ResourceOutcome
from hsorch.node.paths import Paths
from hsorch.node.resource.runner import Result, Runner
from hsorch.node.system import system
from hsorch.node.system.linux.neighbours import holder_of
from hsorch.spec import Ip
from tests.lab.resource_net import Host, Switch, why_not
from tests.unit.resource.world import CLUSTER, eventually, pair

pytestmark = pytest.mark.lab

VIP4 = Ip(name="vip", address="10.9.0.9/24", nic="service")
VIP6 = Ip(name="vip", address="fd00:9::9/64", nic="service")
VIRTUAL6 = Ip(name="vip", address="fd00:9::9/64", nic="service", virtual_mac="02:00:5e:00:01:09")
VIRTUAL = Ip(name="vip", address="10.9.0.9/24", nic="service", virtual_mac="02:00:5e:00:01:09")


class Pair:
    """alpha (port 1), beta (port 2) and a client (port 3) on one switch."""

    def __init__(self, root: Path) -> None:
        self.switch = Switch()
        self.alpha = self.switch.connect("alpha", "svc", "10.9.0.1/24", "fd00:9::1/64")
        self.beta = self.switch.connect("beta", "svc", "10.9.0.2/24", "fd00:9::2/64")
        self.client = self.switch.connect("client", "cli", "10.9.0.100/24", "fd00:9::100/64")
        self._root = root
        self._runners: dict[str, Runner] = {}
        for address in ("10.9.0.1", "10.9.0.2", "fd00:9::1", "fd00:9::2"):
            eventually(lambda address=address: self.reaches(address))  # type: ignore[misc]

    def run(self, host: Host, operation: Operation, vip: Ip = VIP4) -> Result:
        runner = self._runners.setdefault(
            host.name, Runner(pair(vip), host.name, Paths(CLUSTER, self._root / host.name), system())
        )
        return host.do(runner.run, "vip", operation, 5.0)

    def fence(self, host: Host) -> tuple[bool, str]:
        return host.do(self._runners[host.name].fence, "test")

    def reaches(self, address: str) -> bool:
        return address in self.client.do(system().ping, [address], "cli", 0.5)

    def neighbour(self, address: str) -> str:
        """MAC that the client would send to."""
        return self.client.sh(f"ip neighbour show {address}").partition("lladdr ")[2].partition(" ")[0]


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Pair]:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    world = Pair(tmp_path)
    yield world
    world.switch.close()


@pytest.mark.parametrize(
    "vip",
    [VIP4, VIP6, VIRTUAL, VIRTUAL6],
    ids=["IPv4", "IPv6", "virtual MAC", "virtual MAC, IPv6"],
)
def test_clients_reach_the_address_while_it_is_started_and_not_after(net: Pair, vip: Ip) -> None:
    plain = vip.address.partition("/")[0]
    assert not net.reaches(plain)
    assert net.run(net.alpha, Operation.START, vip).outcome is ResourceOutcome.OK
    assert net.run(net.alpha, Operation.START, vip).outcome is ResourceOutcome.OK
    assert net.run(net.alpha, Operation.CHECK, vip).outcome is ResourceOutcome.OK
    assert net.reaches(plain)
    if vip.virtual_mac:
        assert net.neighbour(plain) == vip.virtual_mac
    assert net.run(net.alpha, Operation.STOP, vip).outcome is ResourceOutcome.OK
    assert net.run(net.alpha, Operation.STOP, vip).outcome is ResourceOutcome.OK
    assert not net.reaches(plain)
    assert net.run(net.alpha, Operation.CHECK, vip).outcome is ResourceOutcome.FAILED
    assert plain not in net.alpha.sh("ip address show")
    assert "02:00:5e:00:01:09" not in net.alpha.sh("ip link show")


def test_a_virtual_mac_leaves_the_settings_of_the_real_nic_as_they_were(net: Pair) -> None:
    net.alpha.sh("sysctl -q -w net.ipv4.conf.svc.arp_ignore=2")
    net.run(net.alpha, Operation.START, VIRTUAL)
    net.run(net.alpha, Operation.START, VIRTUAL)
    assert net.alpha.sh("sysctl -n net.ipv4.conf.svc.arp_ignore").strip() == "1"
    net.fence(net.alpha)
    assert net.alpha.sh("sysctl -n net.ipv4.conf.svc.arp_ignore").strip() == "2"


@pytest.mark.parametrize("vip", [VIP4, VIP6], ids=["IPv4", "IPv6"])
def test_a_client_with_a_stale_neighbour_entry_follows_the_address_at_once(net: Pair, vip: Ip) -> None:
    plain = vip.address.partition("/")[0]
    net.run(net.alpha, Operation.START, vip)
    assert net.reaches(plain)
    assert net.neighbour(plain) == net.alpha.mac()
    net.run(net.alpha, Operation.STOP, vip)
    net.run(net.beta, Operation.START, vip)
    eventually(lambda: net.neighbour(plain) == net.beta.mac())
    assert net.reaches(plain)


@pytest.mark.parametrize("vip", [VIP4, VIP6], ids=["IPv4", "IPv6"])
def test_an_address_held_by_a_stranger_is_not_taken_and_the_stranger_is_named(net: Pair, vip: Ip) -> None:
    net.client.sh(f"ip address add {vip.address} dev cli nodad")
    result = net.run(net.alpha, Operation.START, vip)
    assert (result.outcome, result.code) == (ResourceOutcome.FAILED, "HS653")
    assert net.client.mac() in result.detail
    assert vip.address not in net.alpha.sh("ip address show svc")


def test_an_address_that_the_peer_still_holds_is_not_taken_and_the_peer_is_named(net: Pair) -> None:
    net.run(net.alpha, Operation.START)
    result = net.run(net.beta, Operation.START)
    assert (result.outcome, result.code) == (ResourceOutcome.FAILED, "HS654")
    assert "alpha" in result.detail


def test_a_stranger_who_answers_late_fails_a_check(net: Pair) -> None:
    assert net.run(net.alpha, Operation.START).outcome is ResourceOutcome.OK
    net.client.sh("ip address add 10.9.0.9/24 dev cli")
    eventually(lambda: net.run(net.alpha, Operation.CHECK).code == "HS653", limit_s=30)


def test_a_peer_who_answers_late_does_not_fail_a_check(net: Pair) -> None:
    """A peer that thaws with the address still on is fenced by the protocol; the new active stays."""
    net.run(net.alpha, Operation.START)
    net.beta.sh("ip address add 10.9.0.9/24 dev svc")
    time.sleep(1.5)
    assert net.run(net.alpha, Operation.CHECK).outcome is ResourceOutcome.OK


def test_the_nodes_own_ipv6_connections_keep_their_own_address(net: Pair) -> None:
    net.run(net.alpha, Operation.START, VIP6)
    assert "src fd00:9::1" in net.alpha.sh("ip route get fd00:9::100")


@pytest.mark.parametrize("end", ["stop", "fence"])
def test_nothing_is_announced_any_more_once_the_address_is_given_up(net: Pair, end: str) -> None:
    """A late announcement would draw the clients back to a node that has nothing to say."""
    net.run(net.alpha, Operation.START)
    if end == "stop":
        net.run(net.alpha, Operation.STOP)
    else:
        net.fence(net.alpha)
    vip, own = ipaddress.ip_address("10.9.0.9"), b"\0" * 6
    heard = net.client.do(_frames, "cli", 1.2)
    assert not [frame for frame in heard if holder_of(frame, vip, own)]


def test_an_address_taken_off_behind_our_back_fails_the_check(net: Pair) -> None:
    net.run(net.alpha, Operation.START)
    net.alpha.sh("ip address del 10.9.0.9/24 dev svc")
    assert net.run(net.alpha, Operation.CHECK).code == "HS651"


def test_a_nic_without_carrier_fails_start_and_check(net: Pair) -> None:
    net.run(net.alpha, Operation.START)
    net.switch.unplug(1)
    eventually(lambda: net.run(net.alpha, Operation.CHECK).code == "HS664")
    net.switch.unplug(2)
    eventually(lambda: net.run(net.beta, Operation.START).code == "HS664")


def test_a_cut_cable_is_told_by_the_kernel(net: Pair) -> None:
    watch = net.alpha.do(system().network.watch)
    seen: list[tuple[str, bool]] = []

    def told(nic: str, up: bool) -> bool:
        seen.extend(net.alpha.do(watch.read))
        return (nic, up) in seen

    net.switch.unplug(1)
    eventually(lambda: told("svc", False))
    net.switch.plug(1)
    eventually(lambda: told("svc", True))
    net.alpha.do(watch.close)


def test_a_nic_that_is_not_there_is_named(net: Pair) -> None:
    net.alpha.sh("ip link set svc down")
    net.alpha.sh("ip link set svc name other")
    result = net.run(net.alpha, Operation.START)
    assert (result.outcome, result.code) == (ResourceOutcome.FAILED, "HS664")
    assert net.run(net.alpha, Operation.STOP).outcome is ResourceOutcome.OK


@pytest.mark.parametrize("vip", [VIP4, VIRTUAL], ids=["plain", "virtual MAC"])
def test_a_fence_takes_the_address_off_and_stops_its_announcements(net: Pair, vip: Ip) -> None:
    net.run(net.alpha, Operation.START, vip)
    ok, detail = net.fence(net.alpha)
    assert ok, detail
    assert not net.reaches("10.9.0.9")
    assert net.run(net.beta, Operation.START, vip).outcome is ResourceOutcome.OK
    assert net.reaches("10.9.0.9")


def _frames(nic: str, seconds: float) -> list[bytes]:
    """ARP frames that arrive within this time."""
    found = []
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806)) as channel:
        channel.bind((nic, 0x0806))
        channel.settimeout(0.1)
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            with contextlib.suppress(TimeoutError):
                found.append(channel.recv(2048))
    return found
