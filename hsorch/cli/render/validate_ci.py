"""Findings for the pages of a CI server: GitHub annotations and JUnit."""

from __future__ import annotations

import re
from collections import Counter
from xml.etree import ElementTree

import click

from hsorch.cli.render.report import GRAVITY, Checked, Report
from hsorch.cli.render.validate_text import concise_line, summary
from hsorch.manifest.diagnostics import Diagnostic, Severity

GITHUB_WORDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}
GITHUB_SHOWN = 10
"""GitHub shows this many annotations of a kind per step and drops the rest."""
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_github(report: Report) -> str:
    """Annotations, gravest first; those that GitHub would drop are plain lines, and their number is said."""
    ordered = sorted((d for _, d in report), key=lambda d: GRAVITY[d.severity])
    shown: Counter[Severity] = Counter()
    lines, cut = [], []
    for diagnostic in ordered:
        shown[diagnostic.severity] += 1
        if shown[diagnostic.severity] <= GITHUB_SHOWN:
            lines.append(_annotation(diagnostic))
        else:
            cut.append(concise_line(diagnostic))
    if cut:
        lines += cut
        lines.append(
            f"{len(cut)} more are listed above without annotation (GitHub shows {GITHUB_SHOWN} of a kind)."
        )
    return "\n".join([*lines, summary(report)])


def as_junit(report: Report) -> str:
    """A suite per manifest, a failed case per error; a manifest without error is one passed case."""
    root = ElementTree.Element("testsuites", name="hsorch validate")
    for manifest in report.manifests:
        _suite(root, manifest)
    root.set("tests", str(sum(int(suite.get("tests", 0)) for suite in root)))
    root.set("failures", str(report.count(Severity.ERROR)))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode")


def _annotation(diagnostic: Diagnostic) -> str:
    span = diagnostic.span
    place = f"file={_property(span.file)},line={span.line}"
    if span.end_line == span.line:
        # GitHub refuses columns on a range of several lines.
        place += f",col={span.column},endColumn={span.end_column}"
    else:
        place += f",endLine={span.end_line}"
    text = diagnostic.message + (f"\nhelp: {diagnostic.help}" if diagnostic.help else "")
    title = _property(f"hsorch ({diagnostic.code})")
    return f"::{GITHUB_WORDS[diagnostic.severity]} title={title},{place}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _suite(root: ElementTree.Element, manifest: Checked) -> None:
    errors = manifest.loaded.errors
    suite = ElementTree.SubElement(
        root,
        "testsuite",
        name=_xml(manifest.path),
        tests=str(max(1, len(errors))),
        failures=str(len(errors)),
    )
    if not errors:
        ElementTree.SubElement(suite, "testcase", name="valid", classname=_xml(manifest.path))
    for error in errors:
        where = f"{error.span.file}:{error.span.line}:{error.span.column}"
        case = ElementTree.SubElement(
            suite, "testcase", name=_xml(f"{error.code} {where}"), classname=_xml(manifest.path)
        )
        failure = ElementTree.SubElement(case, "failure", message=_xml(error.message), type=error.code)
        failure.text = _xml(f"{where}\n{error.help}")
    advice = [d for d in manifest.loaded.diagnostics if d.severity is not Severity.ERROR]
    if advice:
        lines = click.unstyle("\n".join(map(concise_line, advice)))
        ElementTree.SubElement(suite, "system-out").text = _xml(lines)


def _xml(text: str) -> str:
    return NOT_XML.sub("\ufffd", text)
