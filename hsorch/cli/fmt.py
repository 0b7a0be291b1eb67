"""`hsorch fmt`: write manifests in canonical order and style. How that looks is hsorch.manifest.format's."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

import click

from hsorch.cli.console import Terminal
from hsorch.cli.options import manifests_argument
from hsorch.cli.render.report import Checked, Report
from hsorch.cli.render.validate_text import text
from hsorch.errors import ExitCode, UsageError
from hsorch.manifest import source
from hsorch.manifest.diagnostics import Diagnostic, Source
from hsorch.manifest.format import format_text
from hsorch.manifest.load import Loaded


@dataclass(frozen=True)
class _Result:
    """after is None where the manifest can't be formatted; diagnostics say why."""

    path: Path
    before: str
    after: str | None
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def changed(self) -> bool:
        return self.after is not None and self.after != self.before


@click.command()
@manifests_argument
@click.option("--check", is_flag=True, help="Write nothing; exit code 2 when something would change.")
@click.option("--diff", is_flag=True, help="Write nothing; show what would change.")
@click.pass_obj
def fmt(terminal: Terminal, manifests: list[Path], check: bool, diff: bool) -> ExitCode:
    """Write manifests in the canonical order and style; comments stay, and so does the meaning."""
    results = [_format(path) for path in manifests]
    for result in results:
        if result.after is not None and result.changed:
            if diff:
                terminal.print(_difference(result, result.after))
            elif not check:
                _replace(result.path, result.after)
            if not diff:
                terminal.print(str(result.path))
    broken = [result for result in results if result.after is None]
    if broken:
        terminal.tell(text(Report(tuple(_checked(result) for result in broken))))
        return ExitCode.INVALID
    return ExitCode.CHANGES if (check or diff) and any(r.changed for r in results) else ExitCode.OK


def _format(path: Path) -> _Result:
    data, unread = source.read(path, str(path))
    if unread:
        return _Result(path, "", None, tuple(unread))
    formatted = format_text(data, str(path))
    return _Result(path, data.decode("utf-8", "replace"), formatted.text, formatted.diagnostics)


def _checked(result: _Result) -> Checked:
    sources = {str(result.path): Source(name=str(result.path), text=result.before)}
    return Checked(str(result.path), Loaded(cluster=None, diagnostics=result.diagnostics, sources=sources))


def _difference(result: _Result, after: str) -> str:
    lines = unified_diff(
        result.before.splitlines(),
        after.splitlines(),
        str(result.path),
        f"{result.path} (canonical)",
        lineterm="",
    )
    return "\n".join(lines)


def _replace(path: Path, content: str) -> None:
    """Whole or not at all, with the old file's permissions."""
    try:
        descriptor, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(content)
        Path(part).chmod(path.stat().st_mode & 0o7777)
        Path(part).replace(path.resolve())
    except OSError as error:
        raise UsageError(
            f"{path} can't be written: {error.strerror}",
            hint="check the permissions of the file and its folder",
            code="HS905",
        ) from error
