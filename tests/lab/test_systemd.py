"""The pair on machines that systemd runs: the guard is a unit, the application too."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hsorch.spec import HttpCheck, Ip, Service, ShareWitness
from tests.lab.runtime_pair import APPLICATION, VIP, make_spec
from tests.lab.systemd_world import SHARE, UNIT, CannotBootError, SystemdMachine, SystemdPair, systemd_pair

pytestmark = pytest.mark.lab

APP = "shop.service"
GONE = ("inactive", "failed")
GAP_S = 1.0
STOP_LIMIT_MS = 2000
HANGS = "ExecStop=sleep 1000\nExecStopPost=sleep 1000\nTimeoutStopSec=600\n"
APP_UNIT = f"""[Unit]
Description=The protected application
[Service]
Environment=HSORCH_NODE=%H
ExecStart={sys.executable} -S /mnt/shop.py
Restart=always
RestartSec=0
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemdPair]:
    """Installed through the node's door and started; the application runs behind the virtual address."""
    resources = (
        Ip(name="address", address=f"{VIP}/24", nic="service"),
        Service(
            name="shop",
            depends_on=("address",),
            unit=APP,
            probe=HttpCheck(url=f"http://{VIP}:8080/"),
            stop_limit_ms=STOP_LIMIT_MS,
        ),
    )
    spec = make_spec(SHARE, witness=ShareWitness(path=str(SHARE)), resources=resources)
    home = tmp_path_factory.mktemp("systemd")
    try:
        with systemd_pair(home, spec) as made:
            (home / "share/shop.py").write_text(APPLICATION)
            for machine in made.machines:
                machine.write_unit(APP, APP_UNIT)
            made.install()
            for machine in made.machines:
                machine.door("service", action="start")
            yield made
    except CannotBootError as reason:
        pytest.skip(str(reason))


@pytest.fixture
def healthy(pair: SystemdPair) -> SystemdPair:
    pair.until("both nodes are protected", pair.healthy)
    return pair


@contextmanager
def hanging_stop(machine: SystemdMachine) -> Iterator[None]:
    machine.write_unit(APP, APP_UNIT + HANGS)
    try:
        yield
    finally:
        machine.write_unit(APP, APP_UNIT)


def test_the_guard_is_a_unit_that_runs_and_starts_at_boot(healthy: SystemdPair) -> None:
    for machine in healthy.machines:
        assert machine.shows("ActiveState") == "active"
        assert machine.shows("UnitFileState") == "enabled"
        assert machine.shows("Delegate") == "yes"
        assert machine.shows("DelegateControllers") == "", "none is needed, each would cost something"


def test_a_killed_guard_is_started_again_and_the_group_goes_on(healthy: SystemdPair) -> None:
    machine = healthy.machine(healthy.active())
    agent, restarts = machine.process("agent"), int(machine.shows("NRestarts"))
    with healthy.client() as client:
        os.kill(machine.process("guard"), signal.SIGKILL)
        healthy.until("systemd starts it again", lambda: int(machine.shows("NRestarts")) > restarts)
        healthy.until("it is ready", lambda: machine.shows("ActiveState") == "active")
        healthy.until("both nodes are protected", healthy.healthy)
        assert machine.process("agent") == agent
    assert client.who() == [machine.name]
    assert client.longest_gap_s() < GAP_S


def test_a_frozen_guard_is_replaced_and_systemd_watches_the_new_one(healthy: SystemdPair) -> None:
    machine = healthy.machine(healthy.active())
    frozen = machine.process("guard")
    before = machine.shows("MainPID")
    with healthy.client() as client:
        os.kill(frozen, signal.SIGSTOP)
        healthy.until("a new guard", lambda: machine.process("guard") != frozen)
        healthy.until("both nodes are protected", healthy.healthy)
    healthy.until("systemd knows it", lambda: machine.shows("MainPID") != before)
    assert "not our child" not in machine.journal(), "such a one is killed by a stop, and the group stays"
    assert machine.shows("ActiveState") == "active"
    assert client.who() == [machine.name]


def test_the_watchdog_of_systemd_is_fed(healthy: SystemdPair) -> None:
    machine = healthy.machine(healthy.active())
    fed = machine.shows("WatchdogTimestampMonotonic")
    healthy.until("it is fed again", lambda: machine.shows("WatchdogTimestampMonotonic") != fed)


def test_a_killed_agent_comes_back_and_keeps_what_runs(healthy: SystemdPair) -> None:
    machine = healthy.machine(healthy.active())
    application, agent = machine.shows("MainPID", APP), machine.process("agent")
    with healthy.client() as client:
        os.kill(agent, signal.SIGKILL)
        healthy.until("a new agent", lambda: machine.process("agent") != agent)
        healthy.until("both nodes are protected", healthy.healthy)
    assert client.who() == [machine.name]
    assert machine.shows("MainPID", APP) == application


def test_a_stopped_unit_hands_the_group_over(healthy: SystemdPair) -> None:
    machine = healthy.machine(healthy.active())
    with healthy.client() as client:
        machine.systemctl("stop", UNIT)
        assert machine.shows("ActiveState", APP) == "inactive"
        assert not machine.has_vip()
        assert machine.shows("Result") == "success"
        assert machine.run("pgrep", "-f", "hsorch.node", check=False) == ""
        healthy.until("the peer answers", lambda: healthy.answers() == healthy.peer(machine.name).name)
    assert client.who() == [machine.name, healthy.peer(machine.name).name]
    machine.systemctl("start", UNIT)


def test_an_application_that_dies_is_noticed_and_the_group_moves_or_starts_again(
    healthy: SystemdPair,
) -> None:
    machine = healthy.machine(healthy.active())
    machine.systemctl("stop", APP)
    healthy.until("the application answers", lambda: bool(healthy.answers()))
    healthy.until("both nodes are protected", healthy.healthy)


def test_a_shutdown_in_order_hands_over_and_leaves_nothing_for_the_next_boot(healthy: SystemdPair) -> None:
    machine = healthy.machine(healthy.active())
    peer = healthy.peer(machine.name)
    with healthy.client() as client:
        machine.shut_down()
        healthy.until("the peer answers", lambda: healthy.answers() == peer.name)
    assert client.who() == [machine.name, peer.name]
    machine.boot(healthy.switch)
    assert not machine.has_vip()
    assert machine.shows("ActiveState", APP) == "inactive"
    healthy.until("both nodes are protected", healthy.healthy, 40)
    assert healthy.active() == peer.name


def test_a_power_cut_is_survived_and_the_node_comes_back_as_standby(healthy: SystemdPair) -> None:
    machine = healthy.machine(healthy.active())
    peer = healthy.peer(machine.name)
    machine.power_off()
    healthy.until("the peer answers", lambda: healthy.answers() == peer.name)
    machine.boot(healthy.switch)
    healthy.until("both nodes are protected", healthy.healthy, 40)
    assert healthy.active() == peer.name
    assert machine.shows("ActiveState", APP) == "inactive"


def test_an_application_that_hangs_while_it_stops_is_killed(healthy: SystemdPair) -> None:
    """Its own stop hangs, what systemd runs after it too, and it would start again by itself."""
    machine = healthy.machine(healthy.active())
    with hanging_stop(machine):
        machine.order("bring-out")
        assert machine.shows("ActiveState", APP) in GONE
        assert not machine.has_vip()
        assert machine.run("pgrep", "-f", "shop.py", check=False) == ""
    machine.order("bring-in")


def test_a_fenced_node_ends_an_application_whose_stop_hangs(healthy: SystemdPair) -> None:
    machine = healthy.machine(healthy.active())
    peer = healthy.peer(machine.name)
    with hanging_stop(machine):
        # With its cables the guard's next agent may be heard in time, and rightly goes on where it was.
        with machine.unplugged(healthy.switch):
            os.kill(machine.process("agent"), signal.SIGSTOP)
            healthy.until("the peer answers", lambda: healthy.answers() == peer.name)
            assert machine.shows("ActiveState", APP) in GONE
        healthy.until("both nodes are protected", healthy.healthy)
        assert "fenced (the lease ran out" in machine.journal()


def test_a_service_that_is_enabled_is_seen_by_a_plan(healthy: SystemdPair) -> None:
    assert UNIT in healthy.a.door("facts")["machine"]["at_boot"]
    assert APP not in healthy.a.door("facts")["machine"]["at_boot"]
    healthy.a.write_unit(APP, APP_UNIT + "[Install]\nWantedBy=multi-user.target\n")
    healthy.a.systemctl("enable", APP)
    assert APP in healthy.a.door("facts")["machine"]["at_boot"]
    healthy.a.systemctl("disable", APP)


def test_a_node_that_leaves_keeps_nothing(healthy: SystemdPair) -> None:
    for machine in healthy.machines:
        machine.door("leave")
        assert not list((machine.root / "etc/systemd/system").rglob("hsorch*"))
        assert not (machine.root / "var/lib/hsorch").exists()
        assert not (machine.root / "run/hsorch").exists()
        assert "hsorch" not in machine.systemctl("list-units", "--all", "--plain", "--no-legend")
        assert machine.run("nft", "list", "tables").strip() == ""
        assert not machine.has_vip()
        assert machine.run("pgrep", "-f", "hsorch.node", check=False) == ""
