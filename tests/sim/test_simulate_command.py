"""`hsorch simulate` as a user meets it: output, JSON, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hsorch.cli.main import main
from hsorch.sim import mutants
from hsorch.sim.mutants import MUTANTS, mutated

EXAMPLE = str(Path(__file__).parents[2] / "examples" / "lab" / "cluster.yaml")


def simulate(*arguments: str) -> int:
    return main(["simulate", EXAMPLE, "--jobs", "1", *arguments])


def test_a_row_says_who_is_active_and_how_long_clients_waited(capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate("--fault", "1") == 0
    printed = capsys.readouterr().out
    assert "Active loses power" in printed
    assert "held" in printed
    assert "1 held, 0 violated, 0 not run." in printed


def test_rows_that_need_replication_are_listed_and_not_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate("--fault", "35") == 0
    assert "not run: needs replication" in capsys.readouterr().out


def test_a_row_can_be_told_as_a_story(capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate("--fault", "10", "--story") == 0
    printed = capsys.readouterr().out
    assert "partition" in printed
    assert "SOLO" in printed
    assert "Everything held." in printed


def test_json_has_a_version_and_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate("--fault", "2", "--fault", "active-loses-power", "--format", "json") == 0
    output = json.loads(capsys.readouterr().out)
    assert (output["format_version"], output["kind"], output["held"]) == (1, "table", True)
    assert [row["row"] for row in output["rows"]] == ["2", "1"]


def test_a_sweep_counts_its_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate("--seeds", "20", "--seed", "100") == 0
    assert "20 random schedules, 0 violated." in capsys.readouterr().out


def test_a_violation_is_exit_code_1_and_can_be_shrunk(capsys: pytest.CaptureFixture[str]) -> None:
    with mutated(next(m for m in MUTANTS if m.rule == "wait_over")):
        assert simulate("--seeds", "60", "--shrink") == 1
    printed = capsys.readouterr().out
    assert "I1 (at most one node has effects)" in printed
    assert "Replay one: hsorch simulate --seed" in printed


def test_mutants_are_listed_with_what_killed_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mutants, "MUTANTS", MUTANTS[1:3])
    assert simulate("--mutants") == 0
    assert "2 of 2 weakened rules were noticed." in capsys.readouterr().out


def test_an_unknown_row_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate("--fault", "99") == 64
    assert "HS851" in capsys.readouterr().err


def test_two_kinds_of_runs_at_once_are_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate("--fault", "1", "--mutants") == 64
    assert "HS850" in capsys.readouterr().err
