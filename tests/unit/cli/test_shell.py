"""The command line as a shell user meets it: exit codes, streams, colour, help, start-up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from hsorch import WIRE, __version__
from hsorch.cli import main as entry
from hsorch.cli.console import Terminal, stream_has_color
from hsorch.cli.options import approve
from hsorch.errors import AuthError, ExitCode, HsorchError, RefusedError, TransportError


def test_version_names_the_wire_version(hsorch) -> None:
    ran = hsorch("--version")
    assert (ran.code, ran.out) == (0, f"hsorch {__version__} (wire {WIRE})\n")


def test_help_lists_every_command_in_order(hsorch) -> None:
    out = hsorch("--help").out
    places = [out.index(f"\n  {name} ") for name in entry.COMMANDS]
    assert places == sorted(places)


@pytest.mark.parametrize("flag", ["--version", "--help"])
def test_version_and_help_import_click_and_nothing_heavier(flag: str) -> None:
    """A time is no test on a noisy machine; what is imported is."""
    probe = (
        "import sys; from hsorch.cli.main import main; main(sys.argv[1:]); "
        "print(sorted({'msgspec','rich','yaml','jsonschema','networkx','paramiko'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", probe, flag], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", list(entry.COMMANDS))
def test_every_command_of_the_table_is_there(name: str, hsorch) -> None:
    ran = hsorch(name, "--help")
    assert ran.code == 0, ran.err
    assert ran.out.startswith(f"Usage: hsorch {name}")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("statsu",), "Did you mean 'status'?"),
        (("validate", "--format", "pdf"), "pdf"),
        (("--colour", "always"), "--colour"),
        (("completion",), "bash"),
    ],
)
def test_a_wrong_command_line_is_64(arguments: tuple[str, ...], says: str, hsorch) -> None:
    ran = hsorch(*arguments)
    assert ran.code == ExitCode.USAGE
    assert says in ran.err
    assert not ran.out


def test_an_option_can_come_from_the_environment(hsorch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HSORCH_VALIDATE_FORMAT", "json")
    ran = hsorch("validate", "missing.yaml")
    assert ran.code == ExitCode.INVALID
    assert json.loads(ran.out)["valid"] is False


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    @click.command()
    def broken() -> None:
        raise error

    monkeypatch.setattr(entry.LazyGroup, "get_command", lambda *_: broken)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (HsorchError("m", hint="h"), 1),
        (AuthError("m", hint="h"), 4),
        (TransportError("m", hint="h"), 5),
        (RefusedError("m", hint="h"), 8),
        (KeyboardInterrupt(), 130),
    ],
)
def test_each_kind_of_failure_has_its_exit_code(
    error: BaseException, code: int, hsorch, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, error)
    assert hsorch("status").code == code


def test_an_error_shows_code_cause_detail_and_way_out(hsorch, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, TransportError("node a is silent", hint="plug it in", detail="tried 10.0.0.1:22"))
    assert hsorch("status").err == ("error[HS500]: node a is silent\n  tried 10.0.0.1:22\nhelp: plug it in\n")


def test_an_error_has_the_colour_that_was_asked_for(hsorch, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, TransportError("node a is silent", hint="plug it in"))
    assert "\x1b[" in hsorch("--color", "always", "status").err
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" not in hsorch("--color", "never", "status").err


def test_a_bug_is_one_line_and_a_report_file(hsorch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    failing(monkeypatch, ZeroDivisionError("division by zero"))
    ran = hsorch("status")
    assert ran.code == ExitCode.ERROR
    assert ran.err.startswith("error[HS999]: hsorch failed by a bug of its own (ZeroDivisionError")
    assert ran.err.count("\n") == 1
    report = Path(ran.err.strip().rpartition("report: ")[2])
    assert "Traceback" in report.read_text()
    assert report.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("flag", "environment", "expected"),
    [
        ("always", {"NO_COLOR": "1"}, True),
        ("never", {"FORCE_COLOR": "1"}, False),
        ("auto", {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        ("auto", {"FORCE_COLOR": "1"}, True),
        ("auto", {"CLICOLOR_FORCE": "1"}, True),
        ("auto", {"CLICOLOR_FORCE": "0"}, False),
        ("auto", {}, False),
    ],
)
def test_colour_follows_flag_then_environment_then_terminal(
    flag: str, environment: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert stream_has_color(flag) is expected


def test_the_log_is_json_when_asked(hsorch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, TransportError("node a is silent", hint="plug it in"))
    hsorch("--log-file", "run.log", "--log-format", "json", "status")
    line = json.loads((tmp_path / "run.log").read_text().splitlines()[-1])
    assert line["level"] == "error"
    assert line["message"] == "HS500 node a is silent"


def test_a_log_that_cannot_be_written_is_said_at_once(hsorch) -> None:
    ran = hsorch("--log-file", "no/such/run.log", "validate")
    assert ran.code == ExitCode.USAGE
    assert "HS904" in ran.err


def test_a_log_that_fills_its_disk_is_said_once_and_spoils_nothing(hsorch) -> None:
    ran = hsorch("--log-file", "/dev/full", "explain", "HS904")
    assert ran.code == ExitCode.OK
    assert ran.err.count("/dev/full can't be written") == 1
    assert "Traceback" not in ran.err


def test_a_code_that_is_none_is_not_taken_for_a_file(hsorch) -> None:
    ran = hsorch("explain", "HS9999")
    assert ran.code == ExitCode.USAGE
    assert "there is no code HS9999" in ran.err


@pytest.mark.parametrize(
    ("word", "given", "passes"),
    [
        ("yes", {"yes": True}, True),
        ("plant-7", {"confirm": "plant-7"}, True),
        ("plant-7", {"confirm": "plant-8"}, False),
        ("yes", {}, False),
    ],
)
def test_where_nobody_can_be_asked_only_the_right_flag_approves(
    word: str, given: dict[str, Any], passes: bool
) -> None:
    terminal = Terminal.open("never")
    if passes:
        approve(terminal, "Overwrite node b?", word=word, **given)
        return
    with pytest.raises(RefusedError) as caught:
        approve(terminal, "Overwrite node b?", word=word, **given)
    assert caught.value.exit_code == ExitCode.REFUSED


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_completion_script_is_printed_for_each_shell(shell: str, hsorch) -> None:
    ran = hsorch("completion", shell)
    assert ran.code == 0
    assert "_HSORCH_COMPLETE" in ran.out


def test_the_shell_completes_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    words = {"COMP_WORDS": "hsorch bring", "COMP_CWORD": "1", "_HSORCH_COMPLETE": "bash_complete"}
    run = [sys.executable, "-c", "from hsorch.cli.main import main; main()"]
    done = subprocess.run(run, env=os.environ | words, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["plain,bring-in", "plain,bring-out"]


def test_the_nodes_door_passes_through(hsorch) -> None:
    ran = hsorch("node", "no-such-verb")
    assert ran.code == ExitCode.USAGE
    assert ran.err.startswith("usage: hsorch.node ")


def test_no_manifest_here_is_said_with_the_way_out(hsorch) -> None:
    ran = hsorch("validate")
    assert ran.code == ExitCode.USAGE
    assert "hsorch init" in ran.err
