"""The kernel ends the traffic of the virtual address when the lease ends, whatever user space does."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsorch.node.events import EventLog
from hsorch.node.system import system
from hsorch.node.system.base import DeadMan
from hsorch.node.watch import Watch
from hsorch.node.watchdogs import Watchdogs
from tests.lab.resource_net import Switch, why_not
from tests.unit.resource.world import eventually

pytestmark = pytest.mark.lab

SECOND = 1_000_000_000
VIPS = ["10.9.0.9", "fd00:9::9"]


class Machine:
    """alpha holds both virtual addresses; a client watches from outside."""

    def __init__(self) -> None:
        self.switch = Switch()
        self.alpha = self.switch.connect(
            "alpha", "svc", "10.9.0.1/24", "fd00:9::1/64", "10.9.0.9/24", "fd00:9::9/64"
        )
        self.client = self.switch.connect("client", "cli", "10.9.0.100/24", "fd00:9::100/64")
        self.dead_man: DeadMan = system().dead_man("plant")
        eventually(lambda: self.answering() == set(VIPS))

    def answering(self) -> set[str]:
        """Virtual addresses that answer, asked with an empty neighbour cache."""
        self.client.sh("ip neighbour flush dev cli")
        return set(self.client.do(system().ping, VIPS, "cli", 0.3))

    def own_addresses_answer(self) -> bool:
        own = ["10.9.0.1", "fd00:9::1"]
        return set(self.client.do(system().ping, own, "cli", 2.0)) == set(own)

    def install(self) -> str:
        return self.alpha.do(self.dead_man.install, VIPS)

    def arm(self, seconds: float) -> bool:
        return self.alpha.do(self.dead_man.arm, time.monotonic_ns() + int(seconds * SECOND))


@pytest.fixture
def machine() -> Iterator[Machine]:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    world = Machine()
    reason = world.install()
    if reason:
        world.switch.close()
        pytest.skip(f"no dead-man switch on this machine: {reason}")
    yield world
    world.switch.close()


def test_nothing_passes_before_it_is_armed_and_other_addresses_are_left_alone(machine: Machine) -> None:
    assert machine.answering() == set()
    assert machine.own_addresses_answer()


def test_traffic_passes_while_the_lease_lives_and_ends_with_it(machine: Machine) -> None:
    machine.arm(600)
    assert machine.answering() == set(VIPS)
    machine.arm(0.5)
    eventually(lambda: machine.answering() == set())
    assert machine.own_addresses_answer()


def test_a_machine_whose_user_space_is_frozen_loses_its_traffic_on_time(machine: Machine) -> None:
    """The only process that could do anything is stopped; the kernel still ends the lease."""
    code = (
        "import time, os, signal; from hsorch.node.system import system; d = system().dead_man('plant'); "
        "d.arm(time.monotonic_ns() + 1_000_000_000); print('armed', flush=True); "
        "os.kill(os.getpid(), signal.SIGSTOP)"
    )
    agent = machine.alpha.do(
        lambda: subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    )
    assert agent.stdout is not None
    assert agent.stdout.readline() == "armed\n"
    eventually(lambda: machine.answering() == set())
    agent.kill()
    agent.wait()
    agent.stdout.close()


def test_a_frozen_holder_does_not_even_answer_arp_so_the_next_one_may_take_the_address(
    machine: Machine,
) -> None:
    probe = machine.client.do(system().neighbours.probe, "cli", "10.9.0.9", 0.2)
    assert probe == ""
    machine.arm(600)
    assert machine.client.do(system().neighbours.probe, "cli", "10.9.0.9", 2.0) == machine.alpha.mac()


def test_a_standby_reaches_the_addresses_at_its_peer_while_its_own_switch_blocks(machine: Machine) -> None:
    machine.arm(600)
    standby = machine.switch.connect("standby", "svc", "10.9.0.2/24", "fd00:9::2/64")
    assert standby.do(system().dead_man("plant").install, VIPS) == ""
    eventually(lambda: set(standby.do(system().ping, VIPS, "svc", 0.5)) == set(VIPS))


def test_traffic_that_is_passed_on_to_a_container_ends_as_well(machine: Machine) -> None:
    container = machine.switch.connect("container", "eth0", "10.9.0.50/24")
    machine.alpha.sh("sysctl -q -w net.ipv4.ip_forward=1")
    machine.alpha.sh("nft add table ip nat")
    for chain, priority in (("prerouting", "-100"), ("postrouting", "100")):
        machine.alpha.sh(f"nft add chain ip nat {chain} {{ type nat hook {chain} priority {priority} ; }}")
    machine.alpha.sh("nft add rule ip nat prerouting ip daddr 10.9.0.9 dnat to 10.9.0.50")
    machine.alpha.sh("nft add rule ip nat postrouting ip daddr 10.9.0.50 masquerade")
    container.sh("ip address add 10.9.0.60/24 dev eth0")
    machine.arm(600)
    eventually(lambda: "10.9.0.9" in machine.answering())
    machine.alpha.do(machine.dead_man.block)
    assert machine.answering() == set()


def test_each_renewal_replaces_the_instant_before(machine: Machine) -> None:
    machine.arm(0.3)
    machine.arm(600)
    time.sleep(0.5)
    assert machine.answering() == set(VIPS)


def test_an_instant_in_the_past_blocks(machine: Machine) -> None:
    machine.arm(600)
    assert machine.arm(-1)
    assert machine.answering() == set()


def test_in_solo_traffic_passes_without_end_until_it_is_blocked(machine: Machine) -> None:
    machine.arm(0.2)
    assert machine.alpha.do(machine.dead_man.open)
    time.sleep(0.4)
    assert machine.answering() == set(VIPS)
    assert machine.alpha.do(machine.dead_man.block)
    assert machine.answering() == set()


def test_installing_again_keeps_a_living_lease_and_other_addresses_replace_it(machine: Machine) -> None:
    """A restarted agent must not cut its own clients off."""
    machine.arm(600)
    assert machine.install() == ""
    assert machine.answering() == set(VIPS)
    assert machine.alpha.do(machine.dead_man.install, ["10.9.0.9"]) == ""
    assert machine.answering() == {"fd00:9::9"}


def test_installing_repairs_what_somebody_has_half_removed(machine: Machine) -> None:
    machine.alpha.do(machine.dead_man.open)
    machine.alpha.sh(f"nft delete table arp {machine.alpha.sh('nft list tables arp').split()[2]}")
    assert not machine.arm(600)
    assert machine.install() == ""
    assert machine.answering() == set()
    assert machine.arm(600)
    assert machine.answering() == set(VIPS)


def test_removing_leaves_no_rule_and_no_filter(machine: Machine) -> None:
    assert machine.alpha.do(machine.dead_man.remove)
    assert machine.alpha.do(machine.dead_man.remove)
    assert machine.alpha.sh("nft list ruleset") == ""
    assert machine.answering() == set(VIPS)


def test_rules_flushed_by_somebody_else_are_noticed_at_the_next_renewal(machine: Machine) -> None:
    machine.alpha.sh("nft flush ruleset")
    assert not machine.arm(600)
    assert machine.install() == ""
    assert machine.arm(600)
    assert machine.answering() == set(VIPS)


def test_a_firewall_reload_costs_the_switch_for_one_moment(machine: Machine, tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events", node="alpha", group="app")
    watch = Watch(tmp_path / "watch", "boot")
    watchdogs = machine.alpha.do(Watchdogs, watch, machine.dead_man, VIPS, log)
    machine.alpha.sh("nft flush ruleset")
    machine.alpha.do(watchdogs.arm, time.monotonic_ns() + 2 * SECOND)
    eventually(lambda: not watchdogs.missing)
    eventually(lambda: machine.answering() == set())
    assert [record.kind for record in log.recent] == ["dead_man_lost", "dead_man_restored"]
