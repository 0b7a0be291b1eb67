"""An address after its lease: clients must not be drawn back by a node that woke up from a freeze."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from hsorch.node.core.types import ResourceOutcome
from hsorch.spec import Ip
from tests.unit.resource.world import NodeWorld, eventually, start

VIP = Ip(name="vip", address="10.9.0.10/24", nic="service", announcements=2)


@dataclass
class Lan:
    """Stands in for both ports to the network: one NIC with one address, and what was said on the wire."""

    holds: bool = False
    said: list[str] = field(default_factory=list)

    def has_address(self, nic: str, cidr: str) -> bool:
        return self.holds

    def carrier(self, nic: str) -> bool:
        return True

    def probe(self, nic: str, address: str, window_s: float) -> str:
        return ""

    def add_address(self, nic: str, cidr: str) -> None:
        self.holds = True

    def remove_address(self, nic: str, cidr: str) -> bool:
        self.holds = False
        return True

    def announce(self, nic: str, address: str) -> None:
        self.said.append(address)


def test_an_address_is_neither_taken_nor_announced_after_the_lease(node: NodeWorld) -> None:
    lan = Lan()
    node.system = SimpleNamespace(network=lan, neighbours=lan, processes=node.system.processes)  # type: ignore[assignment]
    assert start(node.runner(VIP, leased=lambda: False), "vip").code == "HS657"
    assert (lan.holds, lan.said) == (False, [])


def test_announcements_under_way_end_with_the_lease(node: NodeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """The node freezes with the address on, and the thread that announces is the first to wake up."""
    monkeypatch.setattr("hsorch.node.resource.ip.ANNOUNCE_FOR_S", 0.0)
    lan, leased = Lan(), [True, True, False]
    node.system = SimpleNamespace(network=lan, neighbours=lan, processes=node.system.processes)  # type: ignore[assignment]
    looked: list[bool] = []

    def lease() -> bool:
        looked.append(leased[min(len(looked), 2)])
        return looked[-1]

    assert start(node.runner(VIP, leased=lease), "vip").outcome is ResourceOutcome.OK
    eventually(lambda: len(looked) == 3)
    assert lan.holds
    assert lan.said == ["10.9.0.10"]
