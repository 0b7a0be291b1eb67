"""status, explain, events and the operator's verbs, against a pair in memory."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from hsorch.cli import nodes
from hsorch.cli.console import Terminal
from hsorch.errors import ExitCode
from hsorch.verbs import BindingReport, DataReport, LimitReport
from tests.unit.cli.pair import MANIFEST, FakePair, event

GOLDEN = Path(__file__).parent / "golden"
LIMIT = LimitReport(code="HS711", message="data are behind", hint="wait for the resync")


@pytest.fixture
def pair(hsorch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakePair:
    """plant-7: `a` active, `b` standby; its manifest is cluster.yaml here."""
    del hsorch  # It has changed into tmp_path.
    (tmp_path / "cluster.yaml").write_text(MANIFEST)
    made = FakePair()
    monkeypatch.setattr(nodes, "transport_of", lambda _cluster, server: made.nodes[server.name])
    return made


def test_status_shows_where_data_go_and_what_a_takeover_would_lose(hsorch, pair: FakePair) -> None:
    shared = {"connected": True, "link": "direct", "generation": "00c0ffee", "lsn": 81920, "mode": "complete"}
    images = BindingReport(path="/srv/images", kind="watched", state="held", held=1200)
    book = BindingReport(path="/srv/book", kind="ordered", state="resync", left_files=3, left_bytes=3 << 30)
    pair.data = {
        "a": DataReport(
            role="source", state="complete", phase="resync", speed=104857600, queue_bytes=1536,
            left_bytes=3 << 30, left_ms=31_000, frozen=2, verified="2026-01-31T07:00:00Z",
            differing_bytes=4096, bindings=(book, images), **shared,
        ),
        "b": DataReport(
            role="target", state="logical", phase="live", lag_bytes=1536, lag_ms=8, space="warn", **shared
        ),
    }  # fmt: skip
    assert (GOLDEN / "status_data.txt").read_text() in hsorch("status").out


def test_status_shows_folders_that_nothing_is_replicated_of(hsorch, pair: FakePair) -> None:
    book = BindingReport(path="/srv/book", kind="ordered", state="stopped")
    pair.data = {"a": DataReport(role="source", state="complete", phase="connecting", bindings=(book,))}
    assert "ordered, stopped" in hsorch("status").out


def test_status_of_a_healthy_pair_is_one_screen_and_exit_0(hsorch, pair: FakePair) -> None:
    ran = hsorch("status")
    assert ran.out == (GOLDEN / "status.txt").read_text()
    assert ran.code == ExitCode.OK
    assert max(map(len, ran.out.splitlines())) <= 100
    assert len(ran.out.splitlines()) <= 30


def test_status_is_1_when_a_light_is_off(hsorch, pair: FakePair) -> None:
    pair.protected = False
    pair.limits["b"] = (LIMIT,)
    ran = hsorch("status")
    assert ran.code == ExitCode.ERROR
    assert "○ NOT PROTECTED" in ran.out
    assert "b: HS711 data are behind\n      help: wait for the resync" in ran.out


def test_status_can_wait_until_both_lights_are_on(hsorch, pair: FakePair) -> None:
    pair.lose("a", times=1)
    pair.lose("b", times=1)
    ran = hsorch("status", "--wait", "5", "--every", "0.1")
    assert ran.code == ExitCode.OK
    assert "● PROTECTED" in ran.out


def test_status_shows_the_node_that_answers_when_the_other_does_not(hsorch, pair: FakePair) -> None:
    pair.lose("a")
    ran = hsorch("status")
    assert "no answer" in ran.out
    assert "a: HS501 a does not answer" in ran.out
    assert "standby" in ran.out


def test_status_without_any_answer_is_unreachable_and_says_what_was_tried(hsorch, pair: FakePair) -> None:
    pair.lose("a")
    pair.lose("b")
    ran = hsorch("status")
    assert ran.code == ExitCode.UNREACHABLE
    assert "no node of plant-7 answers" in ran.err
    assert "b: HS501 b does not answer" in ran.err


def test_status_json_has_every_field_of_both_nodes(hsorch, pair: FakePair) -> None:
    pair.lose("b")
    value = json.loads(hsorch("status", "--format", "json").out)
    assert value["up"] is True
    assert value["nodes"]["a"]["peer_epoch_major"] == 0
    assert value["nodes"]["b"]["error"]["code"] == "HS501"


def test_an_operation_without_approval_is_refused_and_sends_nothing(hsorch, pair: FakePair) -> None:
    for verb in (["bring-in"], ["bring-out"], ["switch"], ["set-active", "b"], ["maintenance", "on"]):
        assert hsorch(*verb).code == ExitCode.REFUSED
    assert pair.orders == []


def test_switch_goes_to_the_active_node_with_who_ordered_it(hsorch, pair: FakePair) -> None:
    ran = hsorch("switch", "--yes")
    assert ran.code == ExitCode.OK
    ((node, order),) = pair.orders
    assert (node, order.verb, order.cluster) == ("a", "switch", "plant-7")
    assert "@" in order.actor
    assert ran.out == ("operate is done\nplant-7: UP, PROTECTED, active on a; the group was away for 84 ms\n")


@pytest.mark.parametrize(
    ("arguments", "verb", "target"),
    [
        (("bring-in", "--yes"), "bring-in", ""),
        (("bring-out", "--confirm", "plant-7"), "bring-out", ""),
        (("set-active", "b", "--yes"), "set-active", "b"),
        (("maintenance", "on", "--yes"), "maintenance-on", ""),
        (("maintenance", "off", "--yes"), "maintenance-off", ""),
    ],
)
def test_each_verb_reaches_the_pair(
    arguments: tuple[str, ...], verb: str, target: str, hsorch, pair: FakePair
) -> None:
    assert hsorch(*arguments).code == ExitCode.OK
    assert [(order.verb, order.target) for _, order in pair.orders] == [(verb, target)]


def test_an_operation_goes_to_the_node_that_answers(hsorch, pair: FakePair) -> None:
    pair.lose("a")
    assert hsorch("bring-out", "--yes").code == ExitCode.OK
    assert [node for node, _ in pair.orders] == ["b"]


def test_takeover_wants_force_and_the_clusters_name(hsorch, pair: FakePair) -> None:
    pair.lose("a", times=20)
    assert hsorch("takeover").code == ExitCode.REFUSED
    assert hsorch("takeover", "--force", "--yes").code == ExitCode.USAGE
    assert hsorch("takeover", "--force").code == ExitCode.REFUSED
    assert hsorch("takeover", "--force", "--confirm", "plant-8").code == ExitCode.REFUSED
    assert pair.orders == []
    ran = hsorch("takeover", "--force", "--confirm", "plant-7")
    assert ran.code == ExitCode.OK
    assert [(node, order.verb, order.target) for node, order in pair.orders] == [("b", "takeover", "b")]


def test_takeover_says_what_is_at_stake(hsorch, pair: FakePair) -> None:
    ran = hsorch("takeover", "--force")
    assert "a answers. If it still runs the group, both nodes will" in ran.err


def test_a_node_that_is_not_there_is_named_with_those_that_are(hsorch, pair: FakePair) -> None:
    ran = hsorch("set-active", "c", "--yes")
    assert ran.code == ExitCode.USAGE
    assert "its nodes are a, b" in ran.err


def test_events_of_both_nodes_come_in_order_of_time(hsorch, pair: FakePair) -> None:
    lines = hsorch("events").out.splitlines()
    assert [line.split()[1] for line in lines] == ["a", "b", "a"]
    assert lines[2].endswith("takeover: event 2 of a [HS720]")


def test_events_can_be_filtered_and_read_by_programs(hsorch, pair: FakePair) -> None:
    out = hsorch("events", "--format", "json", "--severity", "alarm").out
    assert [json.loads(line)["code"] for line in out.splitlines()] == ["HS720"]
    assert hsorch("events", "--since", "2026-01-31T08:00:02.5Z").out.count("\n") == 1
    assert hsorch("events", "--since", "1h").out == ""
    assert hsorch("events", "--since", "yesterday").code == ExitCode.USAGE


def test_events_of_one_node_are_shown_when_the_other_is_silent(hsorch, pair: FakePair) -> None:
    pair.lose("a")
    ran = hsorch("events")
    assert ran.code == ExitCode.OK
    assert ran.out.count("\n") == 1
    assert "a can't be asked: [HS501]" in ran.err


def test_events_can_be_followed_until_ctrl_c(hsorch, pair: FakePair) -> None:
    later = event("a", 3, 9, message="later")
    pair.news = [[later], [later], []]
    ran = hsorch("events", "--follow", "--limit", "1")
    assert ran.code == ExitCode.INTERRUPTED
    assert [line.rpartition(": ")[2] for line in ran.out.splitlines()] == ["event 2 of a [HS720]", "later"]


def test_explain_lists_all_limits_with_their_way_out(hsorch, pair: FakePair) -> None:
    pair.protected = False
    pair.limits["b"] = (LIMIT, LimitReport(code="HS712", message="flap limit", hint="wait an hour"))
    out = hsorch("explain").out
    assert "b would not take over by itself:" in out
    assert "HS711 data are behind\n    help: wait for the resync" in out
    assert "HS712 flap limit" in out
    assert "hsorch explain HS711" in out


def test_explain_says_when_nothing_is_in_the_way(hsorch, pair: FakePair) -> None:
    out = hsorch("explain").out
    assert "a is active." in out
    assert "b would take over: nothing is in the way." in out


def test_explain_of_a_code_is_its_page(hsorch) -> None:
    ran = hsorch("explain", "hs913")
    assert ran.out.startswith("HS913: takeover needs --force\n\nWhat happened\n")
    assert json.loads(hsorch("explain", "HS913", "--format", "json").out)["code"] == "HS913"
    assert hsorch("explain", "HS998").code == ExitCode.USAGE


def test_a_broken_manifest_stops_every_pair_command_before_the_nodes(hsorch, pair: FakePair) -> None:
    Path("cluster.yaml").write_text(MANIFEST.replace("address: 10.77.0.12", "adress: 10.77.0.12"))
    ran = hsorch("switch", "--yes")
    assert ran.code == ExitCode.INVALID
    assert "hsorch validate cluster.yaml" in ran.err
    assert pair.orders == []


@pytest.mark.parametrize(
    ("typed", "code", "sent"),
    [("plant-7", ExitCode.OK, 1), ("yes", ExitCode.REFUSED, 0), ("", ExitCode.REFUSED, 0)],
)
def test_on_a_terminal_an_outage_wants_the_clusters_name(
    typed: str, code: int, sent: int, hsorch, pair: FakePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Terminal, "interactive", True)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{typed}\n"))
    ran = hsorch("bring-out")
    assert ran.code == code
    assert "Clients lose the service" in ran.err
    assert len(pair.orders) == sent
    assert "Type 'plant-7' to go on" in ran.err
