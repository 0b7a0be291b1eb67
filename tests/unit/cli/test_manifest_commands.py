"""validate, fmt and init on files, as a user runs them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from hsorch.errors import ExitCode
from tests.unit.cli.pair import MANIFEST

BROKEN = MANIFEST.replace("address: 10.77.0.12", "adress: 10.77.0.12")


def test_a_sound_manifest_is_exit_0(hsorch) -> None:
    Path("cluster.yaml").write_text(MANIFEST)
    assert hsorch("validate").code == ExitCode.OK
    assert hsorch("validate", "--format", "concise", "--strict").code == ExitCode.INVALID


def test_a_fault_is_shown_at_its_place_with_help(hsorch) -> None:
    Path("cluster.yaml").write_text(BROKEN)
    ran = hsorch("validate")
    assert ran.code == ExitCode.INVALID
    assert " --> cluster.yaml:12:" in ran.out
    assert "^^^^^^" in ran.out
    assert "help: did you mean `address`?" in ran.out


def test_one_bad_manifest_among_many_is_exit_3_and_all_are_shown(hsorch) -> None:
    for name, text in (("one", MANIFEST), ("two", BROKEN), ("three", "version: [")):
        Path("sites", name).mkdir(parents=True)
        Path("sites", name, "cluster.yaml").write_text(text)
    ran = hsorch("validate", "sites", "--format", "json")
    value = json.loads(ran.out)
    assert ran.code == ExitCode.INVALID
    assert [m["valid"] for m in value["manifests"]] == [True, False, False]


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", b"\x00", b"a: &a [*a]", b"{", b"- 1\n", b"?"])
@pytest.mark.parametrize("format_", ["text", "concise", "json", "github", "gitlab", "sarif", "junit"])
def test_no_file_gives_a_traceback_in_any_format(content: bytes, format_: str, hsorch) -> None:
    Path("cluster.yaml").write_bytes(content)
    ran = hsorch("validate", "--format", format_)
    assert ran.code == ExitCode.INVALID, ran.err
    assert "HS999" not in ran.err


def test_a_missing_file_is_a_fault_like_any_other(hsorch) -> None:
    ran = hsorch("validate", "missing.yaml", "--format", "concise")
    assert ran.code == ExitCode.INVALID
    assert ran.out.startswith("missing.yaml:1:1: error[HS1")


def test_colour_only_where_it_is_wanted(hsorch, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("cluster.yaml").write_text(BROKEN)
    assert "\x1b[" not in hsorch("validate").out
    assert "\x1b[" in hsorch("--color", "always", "validate").out
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in hsorch("validate").out


def test_a_variable_file_gives_values(hsorch) -> None:
    Path("cluster.yaml").write_text(MANIFEST.replace("10.77.0.10/24", '"${vip}"'))
    assert hsorch("validate").code == ExitCode.INVALID
    Path("site.yaml").write_text("vip: 10.77.0.10/24\n")
    assert hsorch("validate", "--var-file", "site.yaml").code == ExitCode.OK


def test_fmt_writes_once_and_then_finds_nothing(hsorch) -> None:
    Path("cluster.yaml").write_text(MANIFEST.replace("preferred: a", "preferred:    a   # first"))
    Path("cluster.yaml").chmod(0o640)
    assert hsorch("fmt", "--check").code == ExitCode.CHANGES
    diff = hsorch("fmt", "--diff")
    assert (diff.code, "+preferred: a  # first" in diff.out) == (ExitCode.CHANGES, True)
    assert hsorch("fmt").out == "cluster.yaml\n"
    assert Path("cluster.yaml").stat().st_mode & 0o777 == 0o640
    again = hsorch("fmt", "--check")
    assert (again.code, again.out) == (ExitCode.OK, "")
    assert hsorch("validate").code == ExitCode.OK


def test_fmt_leaves_what_it_cannot_read_as_it_is(hsorch) -> None:
    Path("cluster.yaml").write_text("version: [1")
    ran = hsorch("fmt")
    assert ran.code == ExitCode.INVALID
    assert " --> cluster.yaml:2:1" in ran.err
    assert Path("cluster.yaml").read_text() == "version: [1"


@pytest.mark.parametrize("connect", ["lab", "ssh"])
def test_init_writes_a_valid_manifest_in_canonical_style(connect: str, hsorch) -> None:
    assert hsorch("init", "--connect", connect).code == ExitCode.OK
    assert hsorch("validate").code == ExitCode.OK
    assert hsorch("fmt", "--check").code == ExitCode.OK


def test_init_overwrites_only_by_force(hsorch) -> None:
    Path("cluster.yaml").write_text("mine")
    assert hsorch("init").code == ExitCode.USAGE
    assert Path("cluster.yaml").read_text() == "mine"
    assert hsorch("init", "--force").code == ExitCode.OK


def test_init_says_at_once_which_answer_does_not_fit(hsorch) -> None:
    ran = hsorch("init", "--vip", "192.168.99.1/24")
    assert ran.code == ExitCode.INVALID
    assert "error[HS3" in ran.out


def test_init_asks_and_asks_again_until_the_answer_fits(hsorch, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [
        "plant-9",
        "lab",
        "one",
        "two",
        "10.9.0.1",
        "10.9.0.1/24",
        "10.9.0.2/24",
        "",
        "",
        "10.9.0.9/24",
    ]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(answers) + "\n"))
    ran = hsorch("init", "--ask")
    assert ran.code == ExitCode.OK, ran.err
    assert "'10.9.0.1' has no prefix length" in ran.err
    written = Path("cluster.yaml").read_text()
    assert "cluster: plant-9" in written
    assert "vip: {address: 10.9.0.9/24" in written
