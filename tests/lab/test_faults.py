"""The fault table on real processes: who is active, never two, and protected again after the repair.

Each row injects faults into one pair while a client asks for the service and the wire is watched for two
owners of the address. Rows that need more than faults and an expectation are stories further down.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import pytest

from hsorch.lab import lifecycle
from tests.lab.world import HSORCH, Pair, applied, hsorch, until, with_policy

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

HOLD_S = 2.5
"""Longer than lease, fencing and the standby's wait together: what was to move has moved."""
POLICY = "max_failovers: 1000 per 1h\n  start_wait: 10s"
"""Many failovers are wanted here; two nodes that start apart need not wait a minute for each other."""
VIP = "10.77.0.10/24"

Outcome = Literal["same", "other", "either", "none"]
"""Who has the group at the end: the node that had it, its peer, one of them, nobody."""


@dataclass(frozen=True)
class Row:
    number: str
    """Of the fault table; letters tell variants apart."""
    faults: tuple[str, ...]
    """Words of `hsorch lab fault`; ACTIVE and STANDBY stand for the nodes. `wait` holds in between."""
    outcome: Outcome
    interrupted: bool = True
    """False: the client notices nothing but the active node."""


ROWS = (
    Row("1 active loses power", ("crash ACTIVE",), "other"),
    Row("2 active reboots faster than it is missed", ("reboot ACTIVE",), "either"),
    Row("3 active shuts down cleanly", ("shutdown ACTIVE",), "other"),
    Row("4 agent of the active is killed", ("agent-kill ACTIVE",), "same"),
    Row("4b agent of the standby is killed", ("agent-kill STANDBY",), "same", interrupted=False),
    Row("4c guard of the active is killed", ("guard-kill ACTIVE",), "either"),
    Row("4d guard of the standby is killed", ("guard-kill STANDBY",), "same", interrupted=False),
    Row("6 agent of the active is frozen", ("agent-freeze ACTIVE",), "either"),
    Row("6b agent of the standby is frozen", ("agent-freeze STANDBY",), "same", interrupted=False),
    Row("6c guard of the active is frozen", ("guard-freeze ACTIVE",), "either"),
    Row("7 all of the active is frozen", ("freeze ACTIVE",), "other"),
    Row("7b all of the standby is frozen", ("freeze STANDBY",), "same", interrupted=False),
    Row("9 direct link is cut", ("link-down direct",), "same", interrupted=False),
    Row("9b service link of the standby is cut", ("link-down STANDBY lan",), "same", interrupted=False),
    Row("9c service link of the active is cut", ("link-down ACTIVE lan",), "other"),
    Row("10 all links between the nodes are cut", ("partition",), "same", interrupted=False),
    Row("11 active is isolated", ("isolate ACTIVE",), "other"),
    Row("12 standby is isolated", ("isolate STANDBY",), "same", interrupted=False),
    Row("12b standby loses power", ("crash STANDBY",), "same", interrupted=False),
    Row("12c standby reboots", ("reboot STANDBY",), "same", interrupted=False),
    Row("13 active does not reach the witness", ("witness-cut ACTIVE",), "same", interrupted=False),
    Row("13b standby does not reach the witness", ("witness-cut STANDBY",), "same", interrupted=False),
    Row("14 witness is down", ("witness-down",), "same", interrupted=False),
    Row("15 witness and links go in the same second", ("witness-down", "partition"), "none"),
    Row("18 standby does not hear the active", ("one-way ACTIVE",), "either"),
    Row("18b active does not hear the standby", ("one-way STANDBY",), "either"),
    Row("19 links lose a third", ("link-loss direct 30", "link-loss lan 30"), "same", interrupted=False),
    Row("20 clock of the active jumps ahead", ("clock-step ACTIVE 3600",), "same", interrupted=False),
    Row("20b clock of the active jumps back", ("clock-step ACTIVE -3600",), "same", interrupted=False),
    Row("20c clock of the standby jumps", ("clock-step STANDBY 3600",), "same", interrupted=False),
    Row("23 disk of the active is full", ("disk-full ACTIVE",), "either"),
    Row("23b disk of the standby is full", ("disk-full STANDBY",), "same", interrupted=False),
    Row("24 service of the active is killed", ("service-kill ACTIVE",), "either"),
    Row("28 service runs but does not answer", ("service-hang ACTIVE",), "either"),
    Row("33 both cut apart and reset", ("partition", "reboot ACTIVE", "reboot STANDBY"), "either"),
    Row(
        "47 a link flaps",
        ("link-down direct", "heal", "link-down direct", "heal", "link-down direct"),
        "same",
    ),
)


@pytest.fixture(scope="module")
def pair(lab_allowed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """The example pair."""
    yield from applied(tmp_path_factory.mktemp("pair"), with_policy(POLICY))


@pytest.fixture
def roles(pair: Pair) -> tuple[str, str]:
    """(active, standby) of the repaired and protected pair."""
    repair(pair)
    active = pair.active
    return active, pair.other(active)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.number)
def test_row(pair: Pair, roles: tuple[str, str], row: Row) -> None:
    active, standby = roles
    with pair.probe() as probe:
        for words in row.faults:
            inject(pair, words.replace("ACTIVE", active).replace("STANDBY", standby))
        time.sleep(HOLD_S)
        settle(pair, row.outcome, active)
        seen = probe.stop()
    assert seen.doubles == 0, seen.summary()
    if not row.interrupted:
        assert seen.nodes == (active,), seen.summary()
    with pair.probe() as probe:
        repair(pair)
        healed = probe.stop()
    assert healed.doubles == 0, healed.summary()


def inject(pair: Pair, words: str) -> None:
    if words == "heal":
        pair.heal()
    else:
        kind, *arguments = words.split()
        pair.fault(kind, *arguments)


def repair(pair: Pair) -> None:
    """Undo the faults; a node whose service failed is no target for a minute, an operator clears that."""
    pair.heal()
    if any("HS713" in limits(pair, node) for node in pair.nodes):
        hsorch("bring-out", str(pair.manifest), "--yes", "--confirm", pair.cluster)
        hsorch("bring-in", str(pair.manifest), "--yes")
    pair.wait_protected()


def settle(pair: Pair, outcome: Outcome, active: str) -> None:
    """The group ends up where the row says, and it answers there."""
    wanted = {
        "same": {active},
        "other": {pair.other(active)},
        "either": set(pair.nodes),
        "none": {""},
    }[outcome]
    try:
        until(f"{outcome} has the group", lambda: served_by(pair) in wanted, 30.0)
    except AssertionError as error:
        raise AssertionError(f"{error}; was {active}\n{pair.describe()}") from None


def served_by(pair: Pair) -> str:
    """Name of the node that answers the client; empty: nobody."""
    code = (
        "import json, urllib.request as r\n"
        "try: print(json.load(r.urlopen('http://10.77.0.10:8080/', timeout=1))['node'])\n"
        "except OSError: pass"
    )
    return pair.exec("client", "python3", "-c", code).stdout.strip()


# ---------------------------------------------------------------------------------------- stories


def test_5_an_agent_that_dies_again_and_again_never_makes_two_actives(
    pair: Pair, roles: tuple[str, str]
) -> None:
    active, _ = roles
    with pair.probe() as probe:
        for _ in range(8):
            pair.exec(active, "sh", "-c", f"read pid </run/hsorch/{pair.cluster}/agent.pid && kill -9 $pid")
            time.sleep(0.3)
        settle(pair, "either", active)
        assert probe.stop().doubles == 0


def test_14_after_the_witness_the_links_active_keeps_and_standby_waits_for_an_operator(
    pair: Pair, roles: tuple[str, str]
) -> None:
    active, _ = roles
    with pair.probe() as probe:
        pair.fault("witness-down")
        # The standby gives up its vote first, then the active needs no lease any more.
        until("the active goes on alone", lambda: role(pair, active) == "active-solo", 40.0)
        pair.fault("partition")
        time.sleep(HOLD_S)
        settle(pair, "same", active)
        seen = probe.stop()
    assert seen.nodes == (active,)
    assert seen.doubles == 0


def test_17_an_empty_new_witness_is_noticed_and_moves_nothing(pair: Pair, roles: tuple[str, str]) -> None:
    active, _ = roles
    with pair.probe() as probe:
        pair.exec("witness", "sh", "-c", "rm -rf /var/lib/hsorch/witness/*")
        pair.fault("witness-down")
        pair.heal()
        time.sleep(HOLD_S)
        pair.wait_protected()
        seen = probe.stop()
    assert seen.nodes == (active,)
    assert served_by(pair) == active


def test_26_a_service_that_cannot_start_at_the_other_node_comes_back(
    pair: Pair, roles: tuple[str, str]
) -> None:
    active, standby = roles
    listen = "import socket, time; s = socket.create_server(('', 8080)); time.sleep(600)"
    pair.exec(standby, "sh", "-c", f'python3 -c "{listen}" >/dev/null 2>&1 & echo $! >/run/squatter')
    knock = "import socket; socket.create_connection(('127.0.0.1', 8080), 1)"
    until("the port is taken", lambda: pair.exec(standby, "python3", "-c", knock).returncode == 0)
    with pair.probe() as probe:
        hsorch("switch", str(pair.manifest), "--yes", check=False)
        settle(pair, "same", active)
        assert probe.stop().doubles == 0
    pair.exec(standby, "sh", "-c", "kill $(cat /run/squatter)")


def test_27_a_service_that_hangs_does_not_stop_a_switch(pair: Pair, roles: tuple[str, str]) -> None:
    active, _ = roles
    with pair.probe() as probe:
        pair.fault("service-hang", active)
        hsorch("switch", str(pair.manifest), "--yes", check=False)
        settle(pair, "either", active)
        assert probe.stop().doubles == 0


def test_31_two_switches_at_once_end_with_one_active(pair: Pair, roles: tuple[str, str]) -> None:
    with pair.probe() as probe, ThreadPoolExecutor(2) as pool:
        orders = [
            pool.submit(pair.exec, node, *HSORCH, "switch", "--here", "--yes", timeout=60)
            for node in pair.nodes
        ]
        ends = [order.result() for order in orders]
        settle(pair, "either", roles[0])
        assert probe.stop().doubles == 0
    assert 0 in [end.returncode for end in ends], ends


def test_32_active_dies_in_the_middle_of_a_switch(pair: Pair, roles: tuple[str, str]) -> None:
    active, _ = roles
    with pair.probe() as probe, ThreadPoolExecutor(1) as pool:
        order = pool.submit(hsorch, "switch", str(pair.manifest), "--yes", check=False)
        until("the switch has begun", lambda: order.done() or "release" in role(pair, active), 20.0)
        pair.fault("crash", active)
        order.result()
        settle(pair, "other", active)
        assert probe.stop().doubles == 0


def test_34_the_node_that_was_left_behind_does_not_start_alone(pair: Pair, roles: tuple[str, str]) -> None:
    active, standby = roles
    pair.fault("crash", standby)
    until("the active goes on alone", lambda: role(pair, active) == "active-solo", 30.0)
    pair.fault("crash", active)
    lifecycle.boot(pair.cluster, standby)
    time.sleep(HOLD_S + 2)
    assert served_by(pair) == ""
    lifecycle.boot(pair.cluster, active)
    settle(pair, "either", active)


def test_40_a_stranger_with_the_address_blocks_the_start(pair: Pair, roles: tuple[str, str]) -> None:
    hsorch("bring-out", str(pair.manifest), "--yes", "--confirm", pair.cluster)
    pair.exec("client", "ip", "addr", "add", VIP, "dev", "eth0")
    done = hsorch("bring-in", str(pair.manifest), "--yes", "--timeout", "8", check=False)
    assert done.returncode != 0
    assert pair.vip_holders() == []
    pair.exec("client", "ip", "addr", "del", VIP, "dev", "eth0")
    hsorch("bring-out", str(pair.manifest), "--yes", "--confirm", pair.cluster)
    hsorch("bring-in", str(pair.manifest), "--yes")
    settle(pair, "either", roles[0])


def test_42_a_dead_card_of_the_standby_is_told_before_it_is_needed(
    pair: Pair, roles: tuple[str, str]
) -> None:
    active, standby = roles
    pair.exec(standby, "ip", "link", "set", "eth0", "down")
    until("the pair says so", lambda: not protected(pair, active), 20.0)
    assert served_by(pair) == active
    pair.exec(standby, "ip", "link", "set", "eth0", "up")


def test_45_a_torn_state_file_is_noticed_and_the_node_comes_back(pair: Pair, roles: tuple[str, str]) -> None:
    active, standby = roles
    state = f"/var/lib/hsorch/{pair.cluster}/state.json"
    with pair.probe() as probe:
        pair.exec(standby, "sh", "-c", f"printf torn >{state}")
        pair.fault("reboot", standby)
        time.sleep(HOLD_S)
        pair.wait_protected()
        assert probe.stop().nodes == (active,)


def test_46_forged_heartbeats_are_counted_and_change_nothing(pair: Pair, roles: tuple[str, str]) -> None:
    """A stranger's end in the kernel; those that bear the peer's address and port are counted."""
    send = (
        "import socket, struct\ns = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)\n"
        "frame = struct.pack('!HHHH', 3000, 3000, 128, 0) + b'forged' * 20\n"
        "for i in range(50): s.sendto(frame, ('10.77.0.12', 0))"
    )
    for machine in ("client", "node-a"):
        pair.exec(machine, "python3", "-c", send)
    report = pair.status("node-b")
    assert report is not None
    assert sum(link.rejected for link in report.links) == 50
    assert served_by(pair) == roles[0]


def role(pair: Pair, node: str) -> str:
    report = pair.status(node)
    return report.role if report is not None else ""


def protected(pair: Pair, node: str) -> bool:
    report = pair.status(node)
    return report is not None and report.protected


def limits(pair: Pair, node: str) -> set[str]:
    report = pair.status(node)
    return {limit.code for limit in report.limits} if report is not None else set()
