"""Real agents and guards in namespaces: what a user sees when something breaks.

Nothing here measures time against a bar (tests/bench does); what is asserted is who answers the client, in
which order, and that never both nodes carry the virtual address.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from hsorch.errors import NodeError
from hsorch.node import control
from hsorch.spec import encode
from hsorch.verbs import EventRecord, LimitReport, Reply, StatusReport
from tests.lab.runtime_pair import CLUSTER, ROOT, Machine, Pair, running_pair

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def root_needed() -> None:
    if os.geteuid() != 0:
        pytest.skip("makes network namespaces by hand, which needs root; the lab's own tests do without")


@pytest.fixture
def pair(root_needed: None, tmp_path: Path) -> Iterator[Pair]:
    """Healthy: a active, b standby, both protected."""
    with running_pair(tmp_path) as pair:
        pair.until("both nodes are protected", pair.healthy)
        assert pair.active() == "a"
        yield pair


@pytest.fixture(scope="module")
def lasting(root_needed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """One pair for the stories after which it is healthy again."""
    with running_pair(tmp_path_factory.mktemp("lasting")) as pair:
        yield pair


@pytest.fixture
def healthy(lasting: Pair) -> Pair:
    lasting.until("both nodes are protected", lasting.healthy)
    return lasting


def hit(machine: Machine, process: str, number: signal.Signals) -> int:
    pid = machine.process(process)
    os.kill(pid, number)
    return pid


# ----------------------------------------------------------------- crashes and moves


def test_a_crash_of_the_active_node_is_survived(pair: Pair) -> None:
    with pair.client() as client:
        pair.a.power_off()
        pair.until("b answers", lambda: pair.answers() == "b")
    assert client.who() == ["a", "b"]
    assert pair.b.status().role == "active-solo"


def test_a_stopped_node_hands_over_before_it_goes(pair: Pair) -> None:
    with pair.client() as client:
        hit(pair.a, "guard", signal.SIGTERM)
        pair.until("b answers", lambda: pair.answers() == "b")
    assert client.who() == ["a", "b"]
    assert pair.a.guard is not None
    assert pair.a.guard.wait(20) == 0
    assert not pair.a.has_vip()
    with pytest.raises(NodeError) as caught:
        pair.a.status()
    assert caught.value.code == "HS601"


def test_a_switch_moves_the_group_and_is_audited(healthy: Pair) -> None:
    active = healthy.active()
    healthy.machine(active).order("switch")
    assert healthy.peer(active).name == healthy.active()

    def taken_down() -> bool:
        lines = healthy.machine(active).paths.audit.read_bytes().splitlines()
        records = [msgspec.json.decode(line) for line in lines]
        return [(r["verb"], r["actor"], r.get("outcome", "")) for r in records[-2:]] == [
            ("switch", "test", ""),
            ("switch", "test", "done"),
        ]

    healthy.until("the audit log has the order and its end", taken_down)


def test_a_link_of_two_that_fails_is_an_alarm_and_moves_nothing(healthy: Pair) -> None:
    active = healthy.machine(healthy.active())
    with healthy.client() as client:
        healthy.a.run("ip", "link", "set", "hb", "down")
        healthy.until("the link is seen down", lambda: not _link(active, "direct"))
        healthy.a.run("ip", "link", "set", "hb", "up")
        healthy.until("the link is seen up", lambda: _link(active, "direct"))
    assert client.who() == [active.name]


def test_cut_off_from_the_peer_the_active_node_goes_on(healthy: Pair) -> None:
    active = healthy.active()
    with healthy.client() as client:
        _cut(healthy)
        healthy.until(
            "alone by the witness's word", lambda: healthy.machine(active).status().role == "active-solo"
        )
        assert not healthy.peer(active).has_vip()
        _heal(healthy)
        healthy.until("both nodes are protected", healthy.healthy)
    assert client.who() == [active]


# ------------------------------------------------------------------ agent and guard


def test_a_killed_agent_restarts_inside_its_lease(healthy: Pair) -> None:
    machine = healthy.machine(healthy.active())
    application = machine.run("pgrep", "-f", "http.server")
    with healthy.client() as client:
        before = hit(machine, "agent", signal.SIGKILL)
        healthy.until("a new agent", lambda: machine.process("agent") != before and machine.status().up)
        healthy.until("both nodes are protected", healthy.healthy)
    assert client.who() == [machine.name]
    assert machine.run("pgrep", "-f", "http.server") == application


def test_a_killed_guard_is_replaced_by_the_agent(healthy: Pair) -> None:
    machine = healthy.machine(healthy.active())
    before, agent = hit(machine, "guard", signal.SIGKILL), machine.process("agent")
    healthy.until("a new guard", lambda: machine.process("guard") != before)
    healthy.until("it watches", lambda: machine.status().guard_alive)
    assert machine.process("agent") == agent


def test_a_frozen_guard_is_noticed_and_replaced(healthy: Pair) -> None:
    machine = healthy.machine(healthy.active())
    with healthy.client() as client:
        before = hit(machine, "guard", signal.SIGSTOP)
        healthy.until("a new guard", lambda: machine.process("guard") != before)
        healthy.until("it watches", lambda: machine.status().guard_alive)
    assert client.who() == [machine.name]
    assert not Path(f"/proc/{before}").exists() or _is_zombie(before)


def test_the_new_guard_watches_as_the_old_one_did(healthy: Pair) -> None:
    machine = healthy.machine(healthy.active())
    before = hit(machine, "guard", signal.SIGKILL)
    healthy.until("a new guard", lambda: machine.process("guard") != before)
    agent = hit(machine, "agent", signal.SIGKILL)
    healthy.until("a new agent", lambda: machine.process("agent") != agent and machine.status().up)


def test_a_frozen_agent_is_fenced_by_its_guard_before_the_standby_acts(healthy: Pair) -> None:
    machine = healthy.machine(healthy.active())
    with healthy.client() as client:
        hit(machine, "agent", signal.SIGSTOP)
        healthy.until("the peer answers", lambda: healthy.answers() == healthy.peer(machine.name).name)
        assert not machine.has_vip()
        healthy.until("both nodes are protected", healthy.healthy)
    assert client.who() == [machine.name, healthy.peer(machine.name).name]
    assert "fenced (the lease ran out" in machine.log.read_text()


def test_a_wholly_frozen_node_loses_its_traffic_on_time(healthy: Pair) -> None:
    machine = healthy.machine(healthy.active())
    if machine.status().assurance != "kernel":
        pytest.skip("this kernel has no dead-man switch (nftables): only the guard fences here")
    frozen = [hit(machine, which, signal.SIGSTOP) for which in ("agent", "guard")]
    with healthy.client() as client:
        healthy.until("the peer answers", lambda: healthy.answers() == healthy.peer(machine.name).name)
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
        healthy.until("both nodes are protected", healthy.healthy)
        assert healthy.active() == healthy.peer(machine.name).name
    assert client.who() == [machine.name, healthy.peer(machine.name).name]


def test_an_agent_that_dies_again_and_again_is_fenced_and_slowed_down(pair: Pair) -> None:
    with pair.client() as client:
        while "died 6 times" not in pair.a.log.read_text():
            if agent := _agent_of(pair.a):
                with suppress(ProcessLookupError):  # it ended by itself
                    os.kill(agent, signal.SIGKILL)
            time.sleep(0.3)
        pair.until("b answers", lambda: pair.answers() == "b")
    assert pair.active() == "b"
    assert client.who() == ["a", "b"]


def test_a_second_agent_does_not_start(healthy: Pair) -> None:
    done = subprocess.run(
        healthy.a.command(sys.executable, "-m", "hsorch.node", "agent", CLUSTER),
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=20,
    )
    assert done.returncode == 1
    assert "HS604" in done.stderr


def test_the_narrow_door_answers_on_the_node_itself(healthy: Pair) -> None:
    def door(verb: str, body: str) -> Reply:
        done = subprocess.run(
            healthy.a.command(sys.executable, "-m", "hsorch.node", verb),
            input=body.encode(),
            capture_output=True,
            cwd=ROOT,
            timeout=20,
        )
        return msgspec.json.decode(done.stdout, type=Reply)

    cluster = f'{{"cluster": "{CLUSTER}"}}'
    status = msgspec.json.decode(door("status", cluster).data, type=StatusReport)
    assert (status.node, status.protected) == ("a", True)
    records = msgspec.json.decode(door("events", cluster).data, type=list[EventRecord])
    assert records[-1].node == "a"
    limits = msgspec.json.decode(door("explain", cluster).data, type=list[LimitReport])
    assert all(limit.code and limit.hint for limit in limits)
    waiting = f'{{"cluster": "{CLUSTER}", "after": {records[-1].id + 1000}, "wait_ms": 50}}'
    assert bytes(door("tail", waiting).data) == b"[]"
    assert door("status", "{}").code == "HS606"
    assert door("status", '{"cluster": "nowhere"}').code == "HS601"


def test_an_exclusive_node_serves_on_after_a_firewall_reload_and_a_new_agent(healthy: Pair) -> None:
    """The new agent makes the kernel's switch anew, which blocks until somebody says that it may pass."""
    machine = healthy.machine(healthy.active())
    _cut(healthy)
    healthy.until("it is exclusive", lambda: machine.status().solo)
    machine.run("nft", "flush", "ruleset")
    os.kill(machine.process("agent"), signal.SIGKILL)
    healthy.until("the client is served", lambda: bool(healthy.answers()))
    healthy.until("it goes on for good", lambda: machine.status().role == "active-solo")
    assert healthy.answers()
    assert machine.status().assurance == "kernel"
    _heal(healthy)
    healthy.until("both nodes are protected", healthy.healthy, 60)


def test_a_firewall_reload_under_a_lease_is_told_and_mended(healthy: Pair) -> None:
    machine = healthy.machine(healthy.active())
    machine.run("nft", "flush", "ruleset")
    told = lambda: machine.events(kind="dead_man_restored")  # noqa: E731
    healthy.until("the switch is back", lambda: bool(told()))
    assert machine.status().assurance == "kernel"
    assert healthy.answers()


# ------------------------------------------------------------------- hostile or broken


def test_noise_on_the_heartbeat_port_is_counted_told_and_harmless(healthy: Pair) -> None:
    """From the peer's address and port; a stranger's noise does not even reach the agent."""
    shout = (
        "import socket, struct; s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)\n"
        "frame = struct.pack('!HHHH', 3000, 3000, 112, 0) + b'HSOB' + bytes(100)\n"
        "for i in range(200): s.sendto(frame, ('10.99.0.11', 0))"
    )
    active = healthy.active()
    for machine in (healthy.switch, healthy.b):
        machine.run(sys.executable, "-S", "-c", shout)
    healthy.until("it is counted", lambda: healthy.a.status().links[1].rejected >= 200)
    assert healthy.a.status().links[1].rejected == 200
    assert healthy.active() == active
    assert healthy.a.status().peer_seen


def test_a_full_disk_is_an_alarm_and_the_node_recovers(healthy: Pair) -> None:
    machine = healthy.machine(healthy.active())
    machine.run("mount", "-o", "remount,size=4m", "/var/lib/hsorch")
    machine.run("sh", "-c", "cat /dev/zero > /var/lib/hsorch/fill; true", check=False)
    _cut(healthy)
    time.sleep(3)
    assert machine.process("agent")
    _heal(healthy)
    machine.run("rm", "/var/lib/hsorch/fill")
    healthy.until("both nodes are protected", healthy.healthy, 60)


def test_a_new_spec_is_in_force_without_a_break(healthy: Pair) -> None:
    spec = msgspec.structs.replace(
        healthy.spec,
        revision=healthy.a.status().revision + 1,
        policy=msgspec.structs.replace(healthy.spec.policy, max_failovers=9),
    )
    active = healthy.active()
    with healthy.client() as client:
        for machine in (healthy.a, healthy.b):
            machine.paths.spec.write_bytes(encode(spec))
            answer = control.ask(machine.paths, "reload", b"null", dict[str, int])
            assert answer == {"revision": spec.revision}
        healthy.until("both nodes are protected", healthy.healthy)
    assert client.who() == [active]
    a, b = healthy.a, healthy.b
    healthy.until("each knows the other's spec", lambda: a.status().digest == b.status().peer_digest)
    assert a.status().digest == b.status().digest


def test_a_broken_spec_is_refused_and_the_old_one_stays(healthy: Pair) -> None:
    good = healthy.a.paths.spec.read_bytes()
    healthy.a.paths.spec.write_bytes(b"{")
    with pytest.raises(NodeError) as caught:
        control.ask(healthy.a.paths, "reload", b"null", dict[str, int])
    healthy.a.paths.spec.write_bytes(good)
    assert caught.value.code == "HS605"
    assert healthy.healthy()


def _link(machine: Machine, name: str) -> bool:
    return next(link.up for link in machine.status().links if link.name == name)


def _cut(pair: Pair) -> None:
    """No frame passes between the nodes; client and witness are reached by both."""
    pair.a.run("ip", "link", "set", "hb", "down")
    for one, other in ((11, 12), (12, 11)):
        rule = f"ip saddr 10.99.0.{one} ip daddr 10.99.0.{other} drop"
        pair.switch.run(
            "nft",
            f"add table bridge cut; add chain bridge cut c {{ type filter hook forward priority 0; }};"
            f"add rule bridge cut c {rule}",
        )


def _heal(pair: Pair) -> None:
    pair.a.run("ip", "link", "set", "hb", "up")
    pair.switch.run("nft", "delete table bridge cut")


def _agent_of(machine: Machine) -> int:
    """0: none runs just now."""
    try:
        return machine.process("agent")
    except AssertionError:
        return 0


def _is_zombie(pid: int) -> bool:
    return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
