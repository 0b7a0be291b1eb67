"""Findings for human eyes: the full form with snippets, and the concise one, a line each."""

from __future__ import annotations

import click

from hsorch.cli.render.report import Checked, Report, source_line
from hsorch.cli.render.snippet import snippet
from hsorch.manifest.diagnostics import Diagnostic, Severity, Span

COLORS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}


def text(report: Report) -> str:
    """Every finding with its place, snippet, second places and help; last line: how many there are."""
    blocks = [_block(manifest, diagnostic) for manifest, diagnostic in report]
    return "\n\n".join([*blocks, summary(report)])


def concise(report: Report) -> str:
    """`file:line:column: severity[code] message`, one finding a line; nothing when all is well."""
    return "\n".join(concise_line(diagnostic) for _, diagnostic in report)


def concise_line(diagnostic: Diagnostic) -> str:
    where = diagnostic.span
    head = click.style(f"{diagnostic.severity}[{diagnostic.code}]", fg=COLORS[diagnostic.severity])
    return f"{where.file}:{where.line}:{where.column}: {head} {_one_line(diagnostic.message)}"


def summary(report: Report) -> str:
    """`2 errors, 1 warning in 3 manifests.`"""
    many = len(report.manifests)
    manifests = f"{many} manifest{'s' if many != 1 else ''}"
    counts = [
        f"{count} {word}{'s' if count != 1 else ''}"
        for severity, word in (
            (Severity.ERROR, "error"),
            (Severity.WARNING, "warning"),
            (Severity.INFO, "note"),
        )
        if (count := report.count(severity))
    ]
    if not counts:
        return f"{manifests} checked: all is well."
    return f"{', '.join(counts)} in {manifests}."


def _block(manifest: Checked, diagnostic: Diagnostic) -> str:
    color = COLORS[diagnostic.severity]
    spans = [diagnostic.span, *(label.span for label in diagnostic.related)]
    gutter = len(str(max(span.line for span in spans)))
    lines = [
        click.style(f"{diagnostic.severity}[{diagnostic.code}]", fg=color, bold=True)
        + click.style(f": {_one_line(diagnostic.message)}", bold=True)
    ]
    lines += _place(manifest, diagnostic.span, gutter, arrow="-->", sign="^", color=color)
    for label in diagnostic.related:
        lines += _place(manifest, label.span, gutter, arrow=":::", sign="-", color="blue", text=label.text)
    if diagnostic.help:
        first, *rest = diagnostic.help.splitlines()
        lines.append(f"{_blue(' ' * gutter + ' =')} {click.style('help:', bold=True)} {first}")
        lines += [" " * (gutter + 9) + line for line in rest]
    return "\n".join(lines)


def _place(
    manifest: Checked, span: Span, gutter: int, *, arrow: str, sign: str, color: str, text: str = ""
) -> list[str]:
    margin = " " * gutter
    place = f"{_blue(margin + arrow)} {span.file}:{span.line}:{span.column}"
    line = source_line(manifest, span.file, span.line)
    if not line:
        return [place + (f" {text}" if text else "")]
    end = span.end_column if span.end_line == span.line else len(line) + 1
    shown = snippet(line, span.column, end)
    marks = click.style((shown.marks(sign) + (f" {text}" if text else "")), fg=color)
    return [
        place,
        _blue(f"{margin} |"),
        f"{_blue(f'{span.line:>{gutter}} |')} {shown.text}".rstrip(),
        f"{_blue(f'{margin} |')} {marks}",
    ]


def _blue(text: str) -> str:
    return click.style(text, fg="blue", bold=True)


def _one_line(text: str) -> str:
    return " ".join(text.splitlines())
