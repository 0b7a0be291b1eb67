"""plan, apply, drift and graph on the command line, against nodes in memory: exit codes and approvals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hsorch.cli import nodes
from hsorch.cli.main import main
from hsorch.plan import runtime
from hsorch.transport.base import Completed
from hsorch.transport.fake import FakeTransport
from tests.unit.plan.worlds import HERE, RUNTIME, observation, spec_of

SOUND: dict[str, Any] = {"node-a": {"active": "node-a"}, "node-b": {"active": "node-a"}}
World = Callable[..., dict[str, FakeTransport]]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    """Puts a manifest here and two nodes behind its doors; the nodes answer facts and nothing else."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / ".state"))
    monkeypatch.setattr(runtime, "build", lambda: RUNTIME)

    def make(changes: dict[str, Any] | None = None, **words: Any) -> dict[str, FakeTransport]:
        committed = spec_of(tmp_path, {})
        doors = {}
        for name, usual in SOUND.items():
            facts = observation(name, committed, {**usual, **words.get(name[-1], {})}).facts
            answer = Completed(0, msgspec.json.encode({"ok": True, "data": facts}))
            doors[name] = FakeTransport(lambda argv, stdin, answer=answer: answer)  # type: ignore[misc]
        spec_of(tmp_path, changes or {})
        monkeypatch.setattr(nodes, "transport_of", lambda cluster, server: doors[server.name])
        return doors

    return make


VIP = {"group.vip.address": "10.77.0.20/24"}
LIVE = {"policy.max_failovers": "5 per 1h"}


@pytest.mark.parametrize(
    ("changes", "arguments", "code"),
    [
        ({}, ["plan"], 0),
        ({}, ["plan", "--detailed-exitcode"], 0),
        (LIVE, ["plan"], 0),
        (LIVE, ["plan", "--detailed-exitcode"], 2),
        (LIVE, ["plan", "--max-impact", "live"], 0),
        (VIP, ["plan", "--max-impact", "restart"], 8),
        (VIP, ["plan", "--max-impact", "outage"], 0),
        ({}, ["drift"], 0),
        ({}, ["apply"], 0),
        (LIVE, ["apply"], 8),
        (VIP, ["apply", "--yes"], 8),
        (VIP, ["apply", "--confirm", "other"], 8),
        (VIP, ["apply", "--yes", "--max-impact", "live"], 8),
        (LIVE, ["apply", "--format", "json"], 8),
        (LIVE, ["apply", "--plan", "none.json"], 64),
    ],
)
def test_exit_codes(world: World, changes: dict[str, Any], arguments: list[str], code: int) -> None:
    doors = world(changes)
    assert main(arguments) == code
    assert all(len(door.calls) <= 1 for door in doors.values()), "looked once, changed nothing"


def test_drift_alone_has_its_own_exit_code(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world(b={"service": "stopped"})
    assert main(["drift"]) == 2
    assert "node-b.service  stopped -> running" in capsys.readouterr().out
    assert main(["drift", "--format", "json"]) == 2
    assert json.loads(capsys.readouterr().out)["drift"][0]["address"] == "node-b.service"


def test_what_stands_in_the_way_is_shown_and_apply_does_not_begin(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    doors = world(LIVE, b={"machine": {"administrator": False}})
    assert main(["plan"]) == 1
    assert "HS405" in capsys.readouterr().out
    assert main(["apply", "--yes"]) == 1
    assert "error[HS402]" in capsys.readouterr().err
    assert all(len(door.calls) == 2 for door in doors.values())


def test_a_saved_plan_that_no_longer_fits_the_manifest_is_refused(world: World) -> None:
    world(LIVE)
    assert main(["plan", "--out", "plan.json"]) == 0
    world(VIP)
    assert main(["apply", "--plan", "plan.json"]) == 7


def test_json_carries_the_plan_and_its_sum(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world(VIP)
    main(["plan", "--format", "json"])
    plan = json.loads(capsys.readouterr().out)
    assert plan["format_version"] == "1.0"
    assert plan["summary"] == {
        "add": 0,
        "change": 1,
        "remove": 0,
        "replace": 0,
        "changes": True,
        "drift": 0,
        "errors": 0,
        "impact": "outage",
        "outage": True,
    }


def test_graph_without_nodes_shows_a_first_apply(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    manifest = tmp_path / "cluster.yaml"
    manifest.write_text((HERE / "pair.yaml").read_text())
    for form, first in (("text", "1\n"), ("dot", "digraph"), ("mermaid", "flowchart")):
        assert main(["graph", "--offline", "--format", form]) == 0
        assert capsys.readouterr().out.startswith(first)
