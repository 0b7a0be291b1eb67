"""`hsorch validate`: load manifests, hand what was found to a renderer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from hsorch.cli.console import Terminal
from hsorch.cli.options import format_option, manifests_argument, var_files
from hsorch.errors import ExitCode

FORMATS = ("text", "concise", "json", "github", "gitlab", "sarif", "junit")


@click.command()
@manifests_argument
@format_option(*FORMATS)
@click.option("--strict", is_flag=True, help="Warnings count as errors.")
@click.pass_obj
def validate(terminal: Terminal, manifests: list[Path], format_: str, strict: bool) -> ExitCode:
    """Check manifests, offline: all faults of all files in one run.

    MANIFESTS are files or folders; without one, cluster.yaml here.
    """
    from hsorch.cli.render.report import Checked, Report
    from hsorch.manifest.diagnostics import Severity
    from hsorch.manifest.load import load

    report = Report(tuple(Checked(str(path), load(path, var_files=var_files())) for path in manifests))
    output = _renderer(format_)(report)
    if output:
        terminal.print(output)
    faults = report.count(Severity.ERROR) + (report.count(Severity.WARNING) if strict else 0)
    return ExitCode.INVALID if faults else ExitCode.OK


def _renderer(format_: str) -> Callable[..., str]:
    """Only the wanted one is imported."""
    if format_ in ("text", "concise"):
        from hsorch.cli.render import validate_text

        return validate_text.text if format_ == "text" else validate_text.concise
    if format_ in ("github", "junit"):
        from hsorch.cli.render import validate_ci

        return validate_ci.as_github if format_ == "github" else validate_ci.as_junit
    from hsorch.cli.render import validate_data

    if format_ == "sarif":
        from hsorch.cli.pages import codes, page

        return lambda report: validate_data.as_sarif(report, map(page, codes()))
    return validate_data.as_json if format_ == "json" else validate_data.as_gitlab
