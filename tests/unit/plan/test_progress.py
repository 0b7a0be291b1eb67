"""One stream of progress, three receivers: a live screen, plain lines, NDJSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hsorch.cli.console import Terminal
from hsorch.cli.render.plan_progress import JsonLines, Lines, Screen, line_of
from hsorch.plan.progress import Begun, Ended, Record, StepDone, StepFailed, StepStarted, StepUndone, Stopping
from tests.unit.plan.worlds import plan_of

STREAM: tuple[Record, ...] = (
    Begun(operation="op-1", cluster="demo", steps=2),
    StepStarted(step="lock node-a", node="node-a", text="lock node-a"),
    StepDone(step="lock node-a", node="node-a", text="lock node-a", changed=True, seconds=0.12),
    StepStarted(step="commit node-a", node="node-a", text="commit the spec on node-a"),
    Stopping(running=("commit node-a",)),
    StepFailed(step="commit node-a", node="node-a", code="HS441", message="not staged", hint="again"),
    StepUndone(step="lock node-a", node="node-a"),
    Ended(outcome="failed", done=0, steps=2, seconds=1.0),
)
LINES = """\
  done  lock node-a  0.1 s
  stopping when these are done: commit node-a
  FAIL  commit node-a: HS441 not staged
  undone  lock node-a
Apply failed: 0 of 2 steps are done.
"""


@pytest.fixture
def terminal() -> Terminal:
    return Terminal(data_color=False, ui_color=False)


def test_plain_lines_go_to_stderr_and_the_plan_to_stdout(
    terminal: Terminal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Lines(terminal) as receiver:
        receiver.planned(plan_of({}, tmp_path))
        for record in STREAM:
            receiver.emit(record)
    written = capsys.readouterr()
    assert written.err == LINES
    assert written.out.splitlines()[-1].startswith("Plan: 16 to add")


def test_json_is_one_record_a_line_that_starts_with_a_version(
    terminal: Terminal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with JsonLines(terminal) as receiver:
        receiver.planned(plan_of({}, tmp_path))
        for record in STREAM:
            receiver.emit(record)
    written = capsys.readouterr()
    records = [json.loads(line) for line in written.out.splitlines()]
    assert [record["type"] for record in records] == [
        "version",
        "plan",
        "apply_start",
        "step_start",
        "step_done",
        "step_start",
        "stopping",
        "step_failed",
        "step_undone",
        "apply_end",
    ]
    assert records[1]["summary"]["add"] == 16
    assert written.err == ""


def test_a_live_screen_ends_with_the_same_lines(
    terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    with Screen(terminal) as receiver:
        for record in STREAM:
            receiver.emit(record)
    shown = capsys.readouterr().err
    assert all(line in shown for line in LINES.splitlines())


def test_what_only_a_screen_needs_has_no_line() -> None:
    assert [line_of(record) for record in STREAM if isinstance(record, Begun | StepStarted)] == ["", "", ""]
