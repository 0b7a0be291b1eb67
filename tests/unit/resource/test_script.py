"""Scripts of the operator: where they run, how long, and what their exit code means."""

from __future__ import annotations

from pathlib import Path

from hsorch.node.core.types import ResourceOutcome
from hsorch.spec import Script
from tests.unit.resource.world import NodeWorld, check, eventually, kill, start, stop


def script(directory: Path, body: str) -> tuple[str, ...]:
    directory.mkdir(exist_ok=True)
    path = directory / "hook.sh"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return (str(path),)


def test_a_script_runs_in_its_own_directory_and_its_output_comes_back(
    node: NodeWorld, tmp_path: Path
) -> None:
    runner = node.runner(Script(name="web", start=script(tmp_path / "hooks", "pwd; echo $HSORCH_OPERATION")))
    result = start(runner)
    assert result.outcome is ResourceOutcome.OK
    assert result.output.split() == [str(tmp_path / "hooks"), "start"]


def test_a_required_script_that_fails_fails_its_resource_with_its_output(
    node: NodeWorld, tmp_path: Path
) -> None:
    runner = node.runner(Script(name="web", start=script(tmp_path, "echo no licence >&2; exit 3")))
    result = start(runner)
    assert (result.outcome, result.code) == (ResourceOutcome.FAILED, "HS661")
    assert "ended with 3" in result.detail
    assert result.output == "no licence\n"


def test_an_advisory_script_that_fails_is_a_warning(node: NodeWorld, tmp_path: Path) -> None:
    hook = script(tmp_path, "echo no licence; exit 3")
    result = start(node.runner(Script(name="web", start=hook, required=False)))
    assert result.outcome is ResourceOutcome.OK
    assert "warning" in result.detail
    assert result.output == "no licence\n"


def test_an_advisory_script_that_hangs_is_a_warning_too(node: NodeWorld, tmp_path: Path) -> None:
    hook = script(tmp_path, "sleep 600")
    result = start(node.runner(Script(name="web", start=hook, required=False)), limit_s=0.3)
    assert result.outcome is ResourceOutcome.OK
    assert "warning" in result.detail


def test_a_hung_script_is_ended_with_everything_it_started(node: NodeWorld, tmp_path: Path) -> None:
    hook = script(tmp_path, "trap '' TERM\necho began\nsleep 600 &\nsleep 600\nsleep 600")
    result = start(node.runner(Script(name="web", start=hook)), limit_s=4.0)
    assert (result.outcome, result.code) == (ResourceOutcome.TIMEOUT, "HS656")
    assert result.output == "began\n"
    eventually(lambda: node.processes() == {})


def test_long_output_is_cut_in_the_middle(node: NodeWorld, tmp_path: Path) -> None:
    hook = script(tmp_path, "echo first; seq 1 20000; echo last")
    output = start(node.runner(Script(name="web", start=hook))).output
    assert len(output) < 17_000
    assert output.startswith("first\n")
    assert output.endswith("last\n")
    assert "bytes cut" in output


def test_output_of_an_earlier_call_does_not_come_back(node: NodeWorld, tmp_path: Path) -> None:
    hook = script(tmp_path, "echo $HSORCH_OPERATION")
    runner = node.runner(Script(name="web", start=hook, stop=hook))
    assert start(runner).output == "start\n"
    assert stop(runner).output == "stop\n"


def test_what_a_start_script_leaves_running_survives_it_and_is_ended_by_kill(
    node: NodeWorld, tmp_path: Path
) -> None:
    hook = script(tmp_path, f"(while :; do echo tick; touch {tmp_path}/ticked; sleep 0.05; done) &")
    runner = node.runner(Script(name="web", start=hook, stop=("/bin/true",)))
    assert start(runner).outcome is ResourceOutcome.OK
    (tmp_path / "ticked").unlink(missing_ok=True)
    eventually(lambda: (tmp_path / "ticked").exists())
    assert kill(runner).outcome is ResourceOutcome.OK
    assert node.processes() == {}


def test_without_a_stop_script_stop_ends_what_the_start_script_left_running(
    node: NodeWorld, tmp_path: Path
) -> None:
    runner = node.runner(Script(name="web", start=script(tmp_path, "sleep 600 &")))
    assert start(runner).outcome is ResourceOutcome.OK
    assert node.processes() != {}
    assert stop(runner).outcome is ResourceOutcome.OK
    assert node.processes() == {}


def test_a_slot_without_a_script_is_nothing_to_do(node: NodeWorld, tmp_path: Path) -> None:
    runner = node.runner(Script(name="web", stop=script(tmp_path, "true")))
    assert start(runner).outcome is ResourceOutcome.OK
    assert check(runner).outcome is ResourceOutcome.OK


def test_a_script_that_is_not_there_is_named(node: NodeWorld) -> None:
    result = start(node.runner(Script(name="web", start=("/nonexistent/hook.bat",))))
    assert (result.outcome, result.code) == (ResourceOutcome.FAILED, "HS655")
    assert "hook.bat" in result.detail
