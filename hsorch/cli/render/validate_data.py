"""Findings for programs: hsorch's own JSON, SARIF 2.1.0 and GitLab code quality."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hsorch import __version__
from hsorch.cli.pages import Page
from hsorch.cli.render.report import Checked, Report, source_line
from hsorch.manifest.diagnostics import Diagnostic, Severity, Span

FORMAT_VERSION = "1.0"
SARIF_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
GITLAB_LEVELS = {Severity.ERROR: "major", Severity.WARNING: "minor", Severity.INFO: "info"}


def as_json(report: Report) -> str:
    """Columns are 1-based and count Unicode characters, ends are exclusive; offsets in `code` are 0-based."""
    value = {
        "format_version": FORMAT_VERSION,
        "valid": report.count(Severity.ERROR) == 0,
        "error_count": report.count(Severity.ERROR),
        "warning_count": report.count(Severity.WARNING),
        "manifests": [{"filename": m.path, "valid": m.count(Severity.ERROR) == 0} for m in report.manifests],
        "diagnostics": [_finding(manifest, diagnostic) for manifest, diagnostic in report],
    }
    return _dump(value)


def as_gitlab(report: Report) -> str:
    """Code quality report; a fingerprint survives moved lines and is unique in the report."""
    seen: Counter[str] = Counter()
    return _dump(
        [
            {
                "description": diagnostic.message,
                "check_name": diagnostic.code,
                "fingerprint": _fingerprint(manifest, diagnostic, seen),
                "severity": GITLAB_LEVELS[diagnostic.severity],
                "location": {
                    "path": _in_project(diagnostic.span.file),
                    "positions": {
                        "begin": {"line": diagnostic.span.line, "column": diagnostic.span.column},
                        "end": {"line": diagnostic.span.end_line, "column": diagnostic.span.end_column},
                    },
                },
            }
            for manifest, diagnostic in report
        ]
    )


def as_sarif(report: Report, pages: Iterable[Page]) -> str:
    """pages: those of the codes found, for the rules' texts; a code without a page has its number only."""
    texts = {page.code: page for page in pages}
    used = sorted({diagnostic.code for _, diagnostic in report})
    seen: Counter[str] = Counter()
    run = {
        "tool": {
            "driver": {
                "name": "hsorch",
                "semanticVersion": __version__,
                "rules": [_sarif_rule(code, texts.get(code)) for code in used],
            }
        },
        "columnKind": "unicodeCodePoints",
        "results": [
            {
                "ruleId": diagnostic.code,
                "ruleIndex": used.index(diagnostic.code),
                "level": SARIF_LEVELS[diagnostic.severity],
                "message": {"text": _with_help(diagnostic)},
                "locations": [{"physicalLocation": _sarif_place(diagnostic.span)}],
                "relatedLocations": [
                    {"physicalLocation": _sarif_place(label.span), "message": {"text": label.text}}
                    for label in diagnostic.related
                ],
                "partialFingerprints": {"hsorch/v1": _fingerprint(manifest, diagnostic, seen)},
            }
            for manifest, diagnostic in report
        ],
    }
    return _dump(
        {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]}
    )


def _finding(manifest: Checked, diagnostic: Diagnostic) -> dict[str, Any]:
    return {
        "severity": str(diagnostic.severity),
        "code": diagnostic.code,
        "summary": diagnostic.message,
        "detail": diagnostic.help,
        "range": _range(diagnostic.span),
        "snippet": _snippet(manifest, diagnostic.span),
        "related": [{"message": label.text, "range": _range(label.span)} for label in diagnostic.related],
        "fix": diagnostic.fix or None,
    }


def _range(span: Span) -> dict[str, Any]:
    return {
        "filename": span.file,
        "start": {"line": span.line, "column": span.column},
        "end": {"line": span.end_line, "column": span.end_column},
    }


def _snippet(manifest: Checked, span: Span) -> dict[str, Any] | None:
    code = source_line(manifest, span.file, span.line)
    if not code:
        return None
    end = span.end_column - 1 if span.end_line == span.line else len(code)
    return {
        "code": code,
        "start_line": span.line,
        "highlight_start_offset": span.column - 1,
        "highlight_end_offset": end,
    }


def _fingerprint(manifest: Checked, diagnostic: Diagnostic, seen: Counter[str]) -> str:
    """Of what is said and of the line it is said of, not its number; equal ones are told apart by order."""
    line = source_line(manifest, diagnostic.span.file, diagnostic.span.line).strip()
    parts = "\0".join([_in_project(diagnostic.span.file), diagnostic.code, diagnostic.message, line])
    seen[parts] += 1
    return hashlib.sha256(f"{parts}\0{seen[parts]}".encode()).hexdigest()


def _in_project(file: str) -> str:
    """CI wants paths from the root of the checkout, with slashes."""
    root = os.environ.get("CI_PROJECT_DIR")
    path = Path(file)
    if root and path.is_absolute() and path.is_relative_to(root):
        path = path.relative_to(root)
    return path.as_posix()


def _sarif_place(span: Span) -> dict[str, Any]:
    return {
        "artifactLocation": {"uri": quote(_in_project(span.file))},
        "region": {
            "startLine": span.line,
            "startColumn": span.column,
            "endLine": span.end_line,
            "endColumn": span.end_column,
        },
    }


def _sarif_rule(code: str, page: Page | None) -> dict[str, Any]:
    if page is None:
        return {"id": code}
    return {
        "id": code,
        "shortDescription": {"text": page.title},
        "fullDescription": {"text": page.happened},
        "help": {"text": page.todo, "markdown": page.markdown},
    }


def _with_help(diagnostic: Diagnostic) -> str:
    return f"{diagnostic.message}. {diagnostic.help}" if diagnostic.help else diagnostic.message


def _dump(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
