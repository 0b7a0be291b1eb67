"""How a failure looks to the user. Its exit code is decided in main; its words, where it is raised."""

from __future__ import annotations

import logging
import os
import platform
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import click

from hsorch import __version__
from hsorch.cli.console import Terminal
from hsorch.errors import HsorchError

log = logging.getLogger("hsorch")
log.addHandler(logging.NullHandler())


def show(error: HsorchError, terminal: Terminal) -> None:
    """Print an error on stderr: code and message, detail, the way out."""
    head = click.style(f"error[{error.code}]:", fg="red", bold=True) + f" {error.message}"
    lines = [head, *(f"  {line}" for line in error.detail.splitlines())]
    if error.hint:
        lines.append(click.style("help:", fg="cyan", bold=True) + f" {error.hint}")
    click.echo("\n".join(lines), err=True, color=terminal.ui_color)
    log.error("%s %s", error.code, error.message)


def report_bug(error: Exception, arguments: Sequence[str]) -> None:
    """Write a report file and print one line that names it."""
    report = "\n".join(
        [
            f"hsorch {__version__}, Python {platform.python_version()}, {platform.platform()}",
            f"arguments: {list(arguments)}",
            "",
            "".join(traceback.format_exception(error)),
        ]
    )
    line = f"error[HS999]: hsorch failed by a bug of its own ({type(error).__name__}: {error}); "
    try:
        line += f"report: {_write_report(report)}"
    except OSError as why:
        line += f"the report could not be written ({why}):\n{report}"
    click.echo(line, err=True)
    log.error("HS999 %s", report)


def _write_report(text: str) -> Path:
    """The state folder if it can be written, else the temporary one; only the user may read it."""
    base = os.environ.get("XDG_STATE_HOME")
    wanted = (Path(base) if base else Path.home() / ".local" / "state") / "hsorch"
    name = f"hsorch-bug-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}.txt"
    for folder in (wanted, Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / name
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(text)
        except OSError as why:
            last = why
        else:
            return path
    raise last
