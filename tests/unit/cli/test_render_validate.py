"""How findings look in each format; the exact text is in golden/."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import click
import pytest

from hsorch.cli.pages import Page
from hsorch.cli.render import validate_ci, validate_data, validate_text
from hsorch.cli.render.report import Checked, Report
from hsorch.manifest.diagnostics import Diagnostic, Severity, Source, Span
from hsorch.manifest.load import Loaded

GOLDEN = Path(__file__).parent / "golden"
PAGES = [Page("HS201", "unknown key", "A key is not known.", "It would be ignored.", "Correct it.")]


@pytest.mark.parametrize(
    ("name", "render"),
    [
        ("validate.txt", validate_text.text),
        ("concise.txt", validate_text.concise),
        ("validate.json", validate_data.as_json),
        ("gitlab.json", validate_data.as_gitlab),
        ("sarif.json", lambda report: validate_data.as_sarif(report, PAGES)),
        ("github.txt", validate_ci.as_github),
        ("junit.xml", validate_ci.as_junit),
    ],
)
def test_each_format_is_as_written(name: str, render: Callable[[Report], str], report: Report) -> None:
    assert click.unstyle(render(report)) + "\n" == (GOLDEN / name).read_text(encoding="utf-8")


def test_json_offsets_cut_exactly_the_faulty_text(report: Report) -> None:
    finding = json.loads(validate_data.as_json(report))["diagnostics"][0]
    cut = finding["snippet"]
    assert cut["code"][cut["highlight_start_offset"] : cut["highlight_end_offset"]] == "adress"


def at_line(line: int) -> Report:
    """One fault in a file whose only text is on this line."""
    source = Source(name="a.yaml", text="\n" * (line - 1) + "port: x")
    span = Span("a.yaml", line, 7, line, 8)
    one = Diagnostic(code="HS201", severity=Severity.ERROR, message="m", span=span, help="")
    return Report((Checked("a.yaml", Loaded(cluster=None, diagnostics=(one,), sources={"a.yaml": source})),))


def many(count: int) -> Report:
    span = Span("a.yaml", 1, 1, 1, 2)
    same = Diagnostic(code="HS201", severity=Severity.ERROR, message="m", span=span, help="")
    return Report((Checked("a.yaml", Loaded(cluster=None, diagnostics=(same,) * count, sources={})),))


def test_gitlab_fingerprints_are_unique_even_for_equal_faults() -> None:
    prints = [item["fingerprint"] for item in json.loads(validate_data.as_gitlab(many(3)))]
    assert len(set(prints)) == 3


def test_gitlab_fingerprint_stays_when_the_line_moves() -> None:
    marks = {json.loads(validate_data.as_gitlab(at_line(line)))[0]["fingerprint"] for line in (3, 7)}
    assert len(marks) == 1


def test_gitlab_paths_start_at_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI_PROJECT_DIR", "/builds/site")
    span = Span("/builds/site/a.yaml", 1, 1, 1, 2)
    one = Diagnostic(code="HS201", severity=Severity.ERROR, message="m", span=span, help="")
    report = Report((Checked(span.file, Loaded(cluster=None, diagnostics=(one,), sources={})),))
    assert json.loads(validate_data.as_gitlab(report))[0]["location"]["path"] == "a.yaml"


def test_github_says_how_many_annotations_it_cut() -> None:
    lines = validate_ci.as_github(many(13)).splitlines()
    assert sum(line.startswith("::error") for line in lines) == 10
    assert "3 more are listed above" in lines[-2]


def test_junit_survives_characters_that_xml_forbids() -> None:
    span = Span("a\x00.yaml", 1, 1, 1, 2)
    one = Diagnostic(code="HS201", severity=Severity.ERROR, message="key '\x1b[2J'", span=span, help="")
    report = Report((Checked(span.file, Loaded(cluster=None, diagnostics=(one,), sources={})),))
    root = ElementTree.fromstring(validate_ci.as_junit(report))
    assert root.attrib["failures"] == "1"
