"""Apply on real nodes: the first, the second, the changed, and the one that is killed at every step."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsorch.cli.planning import first_apply
from hsorch.lab import lifecycle
from hsorch.lab.probe import default_url
from hsorch.manifest.load import load
from hsorch.plan import graph, journal
from hsorch.plan.nodes import NodeNeeds
from hsorch.plan.spec import compile_spec
from tests.lab.apply_world import ask, end_state, interrupted_apply, killed_apply, untouched
from tests.lab.world import EXAMPLES, Pair, copy_example, fresh_name, hsorch

pytestmark = pytest.mark.lab

FRESH = NodeNeeds(install=True, enroll=True, commit=True, start=True)
STEPS = [
    step.id
    for step in graph.build(
        graph.Work(
            nodes=("node-a", "node-b"),
            needs=dict.fromkeys(("node-a", "node-b"), FRESH),
            lab=True,
            bring_in=True,
        )
    )
]


@pytest.fixture(scope="module", autouse=True)
def _journals_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture
def absent_pair(lab_allowed: None, tmp_path: Path) -> Iterator[Pair]:
    """A manifest whose lab is not up yet."""
    name = fresh_name()
    yield Pair(name, copy_example(tmp_path, name))
    lifecycle.down(name)


def change(pair: Pair, old: str, new: str) -> None:
    text = pair.manifest.read_text()
    assert old in text
    pair.manifest.write_text(text.replace(old, new))


def test_the_steps_that_are_killed_below_are_those_of_a_first_apply() -> None:
    planned = [step.id for step in first_apply(EXAMPLES / "cluster.yaml").steps]
    assert planned == STEPS


def test_a_second_apply_changes_nothing_and_touches_nothing(pair: Pair) -> None:
    hsorch("apply", str(pair.manifest), "--yes")
    before = untouched(pair)
    second = hsorch("apply", str(pair.manifest), "--yes")
    assert "No changes. Both nodes match" in second.stdout
    assert untouched(pair) == before
    assert hsorch("plan", str(pair.manifest), "--detailed-exitcode").returncode == 0


def test_a_live_change_comes_into_force_on_both_nodes_without_a_gap(pair: Pair) -> None:
    change(pair, "policy:\n", "policy:\n  max_failovers: 9 per 1h\n")
    planned = hsorch("plan", str(pair.manifest), "--detailed-exitcode", check=False)
    assert planned.returncode == 2
    assert "policy.max_failovers  3 -> 9" in planned.stdout
    with pair.probe() as probe:
        hsorch("apply", str(pair.manifest), "--yes", "--max-impact", "live")
        report = probe.stop()
    assert report.failed == 0
    reports = [pair.status(node) for node in pair.nodes]
    assert len({(r.revision, r.digest) for r in reports if r is not None}) == 1


def test_a_change_with_an_outage_needs_more_than_a_yes(pair: Pair) -> None:
    change(pair, "10.77.0.10/24", "10.77.0.20/24")
    refused = hsorch("apply", str(pair.manifest), "--yes", check=False)
    assert refused.returncode == 8
    assert f"--confirm {pair.cluster}" in refused.stderr
    limited = hsorch("apply", str(pair.manifest), "--yes", "--max-impact", "restart", check=False)
    assert (limited.returncode, "HS436" in limited.stderr) == (8, True)
    hsorch("apply", str(pair.manifest), "--yes", "--allow-outage")
    assert pair.exec("client", "arping", "-c", "1", "-w", "3", "-I", "eth0", "10.77.0.20").returncode == 0
    pair.wait_protected()


def test_a_stopped_agent_is_drift_and_apply_starts_it_again(pair: Pair) -> None:
    ask(pair, "node-b", "service", {"cluster": pair.cluster, "action": "stop"})
    drift = hsorch("drift", str(pair.manifest), check=False)
    assert (drift.returncode, "node-b.service  stopped -> running" in drift.stdout) == (2, True)
    hsorch("apply", str(pair.manifest), "--yes")
    pair.wait_protected()
    assert hsorch("drift", str(pair.manifest)).returncode == 0


def test_a_saved_plan_is_refused_once_the_pair_has_moved(pair: Pair, tmp_path: Path) -> None:
    saved = tmp_path / "plan.json"
    change(pair, "9 per 1h", "7 per 1h")
    hsorch("plan", str(pair.manifest), "--out", str(saved))
    hsorch("apply", str(pair.manifest), "--plan", str(saved))
    stale = hsorch("apply", str(pair.manifest), "--plan", str(saved), check=False)
    assert stale.returncode == 7
    assert "revision" in stale.stderr


def test_json_never_applies_without_approval(pair: Pair) -> None:
    change(pair, "7 per 1h", "6 per 1h")
    refused = hsorch("apply", str(pair.manifest), "--format", "json", check=False)
    records = [json.loads(line) for line in refused.stdout.splitlines()]
    assert refused.returncode == 8
    assert [record["type"] for record in records] == ["version", "plan"]
    done = hsorch("apply", str(pair.manifest), "--format", "json", "--yes")
    assert json.loads(done.stdout.splitlines()[-1])["outcome"] == "complete"


def test_a_node_that_is_off_is_named_and_nothing_is_done(pair: Pair) -> None:
    pair.fault("crash", "node-b")
    refused = hsorch("apply", str(pair.manifest), "--yes", check=False)
    assert refused.returncode == 5
    assert "node-b" in refused.stderr
    pair.heal()
    pair.wait_protected()


def test_another_operations_lock_refuses_and_may_be_broken_by_its_id(pair: Pair) -> None:
    order = {"cluster": pair.cluster, "id": "op-9", "owner": "ann@desk", "operation": "drill"}
    ask(pair, "node-b", "lock", order)
    change(pair, "6 per 1h", "4 per 1h")
    refused = hsorch("apply", str(pair.manifest), "--yes", check=False)
    assert (refused.returncode, "ann@desk is changing" in refused.stderr) == (8, True), refused
    free = pair.exec("node-a", "test", "-e", f"/var/lib/hsorch/{pair.cluster}/lock.json")
    assert free.returncode == 1, "the lock of the other node was given back"
    hsorch("apply", str(pair.manifest), "--yes", "--break-lock", "op-9")


def test_a_lost_key_is_drift_and_comes_back_from_the_peer(pair: Pair) -> None:
    key = f"/var/lib/hsorch/{pair.cluster}/key"
    pair.exec("node-b", "rm", key)
    assert "node-b.key" in hsorch("drift", str(pair.manifest), check=False).stdout
    hsorch("apply", str(pair.manifest), "--yes")
    keys = [pair.exec(node, "sh", "-c", f"stat -c %a {key}; cat {key}").stdout for node in pair.nodes]
    assert keys[0] == keys[1]
    assert keys[0].startswith("600\n")
    pair.wait_protected()


def test_ctrl_c_stops_at_a_safe_point_and_apply_goes_on_later(absent_pair: Pair) -> None:
    stopped = interrupted_apply(absent_pair.manifest, "enroll node-a")
    assert stopped.returncode == 130
    assert "run the same `hsorch apply` again" in stopped.stderr
    outcome = json.loads(stopped.stdout.splitlines()[-1])
    assert (outcome["type"], outcome["outcome"]) == ("apply_end", "interrupted")
    for node in absent_pair.nodes:
        listing = absent_pair.exec(node, "ls", f"/var/lib/hsorch/{absent_pair.cluster}").stdout.split()
        assert not {"lock.json", "staged.json", "spec.json"} & set(listing)
    absent_pair.apply()


def test_an_address_that_a_stranger_holds_is_told_with_his_mac_and_apply_goes_on_later(
    absent_pair: Pair,
) -> None:
    hsorch("lab", "up", str(absent_pair.manifest))
    absent_pair.exec("client", "ip", "addr", "add", "10.77.0.10/32", "dev", "eth0")
    mac = absent_pair.exec("client", "cat", "/sys/class/net/eth0/address").stdout.strip()
    stopped = hsorch("apply", str(absent_pair.manifest), "--yes", check=False, timeout=200)
    assert (stopped.returncode, "HS454" in stopped.stderr, mac in stopped.stderr) == (6, True, True), stopped
    absent_pair.exec("client", "ip", "addr", "del", "10.77.0.10/32", "dev", "eth0")
    hsorch("apply", str(absent_pair.manifest), "--yes", timeout=200)
    absent_pair.wait_protected()


def test_a_pair_leaves_without_residue(absent_pair: Pair) -> None:
    absent_pair.apply()
    for node in absent_pair.nodes:
        ask(absent_pair, node, "leave", {"cluster": absent_pair.cluster})
        assert absent_pair.exec(node, "find", "/var/lib/hsorch", "/run/hsorch").stdout.split() == [
            "/var/lib/hsorch",
            "/var/lib/hsorch/witness.token",
        ]
        assert "hsorch.node" not in absent_pair.exec(node, "ps", "ax").stdout
    hsorch("apply", str(absent_pair.manifest), "--yes")
    absent_pair.wait_protected()


@pytest.fixture(scope="module")
def reference(pair_once: Pair) -> dict[str, object]:
    return end_state(pair_once)


@pytest.fixture(scope="module")
def pair_once(lab_allowed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Applied in one go."""
    name = fresh_name()
    made = Pair(name, copy_example(tmp_path_factory.mktemp("once"), name))
    made.apply()
    yield made
    lifecycle.down(name)


@pytest.mark.parametrize("step", STEPS)
def test_an_apply_killed_at_this_step_and_run_again_ends_the_same(
    step: str, reference: dict[str, object], absent_pair: Pair
) -> None:
    begun = killed_apply(absent_pair.manifest, step)
    assert journal.peek(absent_pair.cluster) is not None
    hsorch("apply", str(absent_pair.manifest), "--yes")
    absent_pair.wait_protected()
    assert end_state(absent_pair) == reference, f"killed when {begun} had begun"
    assert journal.peek(absent_pair.cluster) is None
    assert "No changes." in hsorch("plan", str(absent_pair.manifest)).stdout


def test_a_new_lab_of_the_same_name_owes_nothing_of_an_apply_that_was_killed(absent_pair: Pair) -> None:
    killed_apply(absent_pair.manifest, "activate node-b")
    hsorch("lab", "down", absent_pair.cluster)
    assert journal.peek(absent_pair.cluster) is None


@pytest.mark.parametrize("step", ["bring-out", "commit node-b", "verify", "bring-in", "unlock node-a"])
def test_a_group_that_was_taken_out_for_a_change_comes_in_again_though_apply_was_killed(
    step: str, pair_once: Pair
) -> None:
    before = next(r.revision for node in pair_once.nodes if (r := pair_once.status(node)))
    address = f"10.77.0.{30 + before}/24"
    old = next(line for line in pair_once.manifest.read_text().splitlines() if "  vip:" in line)
    change(pair_once, old, f"  vip: {{address: {address}, nic: service}}")
    killed_apply(pair_once.manifest, step, "--allow-outage")
    hsorch("apply", str(pair_once.manifest), "--yes", "--allow-outage")
    pair_once.wait_protected()
    assert (
        pair_once.exec("client", "arping", "-c", "1", "-w", "3", "-I", "eth0", address[:-3]).returncode == 0
    )
    assert default_url(pair_once.cluster) == f"http://{address[:-3]}:8080/", "the probe asks the old address"
    assert "No changes." in hsorch("plan", str(pair_once.manifest)).stdout


def test_specs_are_equal_byte_for_byte(pair_once: Pair) -> None:
    loaded = load(pair_once.manifest)
    assert loaded.cluster is not None
    wanted = compile_spec(loaded.cluster)
    contents = {
        pair_once.exec(node, "cat", f"/var/lib/hsorch/{pair_once.cluster}/spec.json").stdout
        for node in pair_once.nodes
    }
    assert len(contents) == 1
    assert json.loads(contents.pop())["cluster"] == wanted.cluster
