"""Faults of the lab itself: each breaks what it says and nothing else, and heals without a trace."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from hsorch.errors import LabError
from hsorch.lab import lifecycle
from tests.lab.world import Lab, until

pytestmark = pytest.mark.lab

DIRECT, LAN, WITNESS = "192.168.50.2", "10.77.0.12", "10.78.0.5"


@pytest.fixture(autouse=True)
def healed(lab: Lab) -> None:
    lab.heal()


def reach(lab: Lab) -> set[str]:
    """What hears what, from node-a, node-b and the client."""
    paths = {
        "a-b direct": ("node-a", DIRECT),
        "a-b lan": ("node-a", LAN),
        "a-witness": ("node-a", WITNESS),
        "b-witness": ("node-b", WITNESS),
        "client-a": ("client", "10.77.0.11"),
        "client-b": ("client", "10.77.0.12"),
    }

    with ThreadPoolExecutor(len(paths)) as pool:
        heard = pool.map(lambda path: lab.hears(*path), paths.values())
        return {name for name, answered in zip(paths, heard, strict=True) if answered}


EVERYTHING = {"a-b direct", "a-b lan", "a-witness", "b-witness", "client-a", "client-b"}


@pytest.mark.parametrize(
    ("fault", "lost"),
    [
        ("partition", {"a-b direct", "a-b lan"}),
        ("isolate node-a", {"a-b direct", "a-b lan", "a-witness", "client-a"}),
        ("one-way node-a", {"a-b direct", "a-b lan"}),
        ("link-down direct", {"a-b direct"}),
        ("link-down node-a lan", {"a-b lan", "client-a"}),
        ("link-loss direct 100", {"a-b direct"}),
        ("link-loss node-b lan 100", {"a-b lan", "client-b"}),
        ("witness-cut node-a", {"a-witness"}),
        ("witness-down", {"a-witness", "b-witness"}),
    ],
)
def test_fault_cuts_exactly_what_it_names(lab: Lab, fault: str, lost: set[str]) -> None:
    kind, *arguments = fault.split()
    lab.fault(kind, *arguments)
    until("only that is lost", lambda: reach(lab) == EVERYTHING - lost)
    lab.heal()
    until("all is well again", lambda: reach(lab) == EVERYTHING)


def test_a_cut_cable_stays_cut_over_a_reboot(lab: Lab) -> None:
    lab.fault("link-down", "node-a", "direct")
    lab.fault("reboot", "node-a")
    assert "NO-CARRIER" in lab.exec("node-a", "ip", "link", "show", "eth1").stdout
    lab.heal()
    until("carrier is back", lambda: "LOWER_UP" in lab.exec("node-a", "ip", "link", "show", "eth1").stdout)


def test_loss_drops_about_its_share(lab: Lab) -> None:
    lab.fault("link-loss", "direct", "50")
    count = "import socket\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\ns.bind(('192.168.50.2',9))\n"
    count += (
        "s.settimeout(15)\nn=0\ntry:\n while s.recv(9)!=b'end': n+=1\nexcept TimeoutError: pass\nprint(n)"
    )
    # Paced: who counts is slow on a busy machine, and what overflows its socket would count as lost.
    send = (
        "import socket,time\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\nto=('192.168.50.2',9)\n"
        "for i in range(1000):\n s.sendto(b'x',to)\n time.sleep(.0005)\n"
        "for i in range(30): s.sendto(b'end',to)"
    )
    # The address is known beforehand: frames that wait for a lost ARP answer would distort the count.
    mac = lab.exec("node-b", "cat", "/sys/class/net/eth1/address").stdout.strip()
    lab.exec(
        "node-a", "ip", "neigh", "replace", "192.168.50.2", "lladdr", mac, "dev", "eth1", "nud", "permanent"
    )
    lab.exec(
        "node-b", "sh", "-c", f'(python3 -c "{count}" >/srv/count; touch /srv/counted) >/dev/null 2>&1 &'
    )
    time.sleep(0.5)
    lab.exec("node-a", "python3", "-c", send)
    until("all was counted", lambda: lab.exec("node-b", "ls", "/srv/counted").returncode == 0)
    assert 300 < int(lab.exec("node-b", "cat", "/srv/count").stdout) < 700


def test_a_frozen_node_does_nothing_until_it_thaws(lab: Lab) -> None:
    lab.exec("node-a", "sh", "-c", "(while :; do date +%s%N >/srv/tick; sleep 0.02; done) >/dev/null 2>&1 &")
    until("it ticks", lambda: lab.exec("node-a", "cat", "/srv/tick").stdout)
    lab.fault("freeze", "node-a")
    frozen = lab.exec("node-a", "cat", "/srv/tick").stdout
    time.sleep(0.3)
    assert lab.exec("node-a", "cat", "/srv/tick").stdout == frozen
    lab.heal()
    until("it ticks again", lambda: lab.exec("node-a", "cat", "/srv/tick").stdout not in ("", frozen))
    lab.fault("reboot", "node-a")


def test_a_full_disk_takes_no_byte_and_only_there(lab: Lab) -> None:
    lab.fault("disk-full", "node-b")
    assert lab.exec("node-b", "sh", "-c", "echo x >/srv/new").returncode != 0
    assert lab.exec("node-a", "sh", "-c", "echo x >/srv/new").returncode == 0
    lab.heal()
    assert lab.exec("node-b", "sh", "-c", "echo x >/srv/new").returncode == 0


def test_a_clock_step_moves_the_wall_clock_of_one_node_only(lab: Lab) -> None:
    clocks = "import time; print(time.time(), time.monotonic()); time.sleep(0.01)"
    if not lifecycle.one(lab.cluster).clocks:
        pytest.skip(
            "no C compiler on this machine: the lab cannot step clocks (apt-get install gcc libc6-dev)"
        )
    lab.fault("clock-step", "node-a", "-3600")
    wall, monotonic = map(float, lab.exec("node-a", "python3", "-c", clocks).stdout.split())
    assert abs(wall - (time.time() - 3600)) < 60
    assert abs(monotonic - time.monotonic()) < 60
    other, _ = map(float, lab.exec("node-b", "python3", "-c", clocks).stdout.split())
    assert abs(other - time.time()) < 60


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("melt", "node-a"), "there is no fault 'melt'"),
        (("crash",), "crash takes NODE"),
        (("crash", "node-c"), "'node-c' is no node"),
        (("link-down", "wan"), "'wan' is no link"),
        (("link-loss", "lan", "200"), "no whole number from 1 to 100"),
        (("agent-kill", "node-a"), "on node-a: "),
        (("service-kill", "node-a"), "no process of any resource runs on node-a"),
    ],
)
def test_a_fault_that_cannot_be_says_why(lab: Lab, words: tuple[str, ...], message: str) -> None:
    with pytest.raises(LabError, match=message) as refused:
        lab.fault(*words)
    assert refused.value.hint
