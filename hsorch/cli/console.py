"""Where output goes: data on stdout, everything for human eyes on stderr. Knows no content.

Colour: the flag, then NO_COLOR, FORCE_COLOR, CLICOLOR_FORCE, then whether the stream is a terminal.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import click

from hsorch import __version__
from hsorch.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Terminal:
    """The two ways out of a command. Click's context carries it as `obj` (use `@click.pass_obj`)."""

    data_color: bool
    ui_color: bool
    quiet: bool = False
    verbosity: int = 0

    @staticmethod
    def open(color: str = "auto", *, quiet: bool = False, verbosity: int = 0) -> Terminal:
        """color: auto, always or never."""
        return Terminal(
            data_color=stream_has_color(color),
            ui_color=stream_has_color(color, err=True),
            quiet=quiet,
            verbosity=verbosity,
        )

    @cached_property
    def data(self) -> Console:
        """Rich console on stdout: markup, emoji and highlighting are off, lines are never folded."""
        return _rich(self.data_color, err=False)

    @cached_property
    def ui(self) -> Console:
        """Rich console on stderr, for progress and hints. Nothing of it is data."""
        return _rich(self.ui_color, err=True)

    def print(self, text: str) -> None:
        """Data as it is, with a closing newline; ANSI colours are removed where stdout has none."""
        click.echo(text, color=self.data_color)

    def tell(self, text: str, *, level: int = 0) -> None:
        """A line for the user on stderr. level 1: only with -v, 2: only with -vv. Silent with -q."""
        if not self.quiet and self.verbosity >= level:
            click.echo(text, err=True, color=self.ui_color)

    @property
    def interactive(self) -> bool:
        """Somebody is there to be asked."""
        return sys.stdin.isatty() and sys.stderr.isatty()

    @property
    def live(self) -> bool:
        """Progress may repaint the screen; otherwise print plain lines."""
        return sys.stderr.isatty() and not self.quiet and os.environ.get("TERM") != "dumb"


def stream_has_color(color: str, *, err: bool = False) -> bool:
    """Decide once, by the order that the module names."""
    if color != "auto":
        return color == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if any(os.environ.get(name, "0") not in ("", "0") for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return True
    stream = sys.stderr if err else sys.stdout
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def start_log(path: str, form: str, verbosity: int, arguments: Sequence[str]) -> None:
    """Append the log of this run to a file. form: text or json (one object a line).

    Raises UsageError where the file can't be opened.
    """
    try:
        handler = _LogFile(path, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"the log file {path} can't be opened: {error.strerror}",
            hint="name a file in a folder that you may write, or leave --log-file out",
            code="HS904",
        ) from error
    handler.setFormatter(_JsonLines() if form == "json" else _PlainLines())
    logger = logging.getLogger("hsorch")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if verbosity else logging.INFO)
    logger.propagate = False
    logger.info("hsorch %s, arguments: %s", __version__, list(arguments))


class _LogFile(logging.FileHandler):
    """A log that can't be written (full disk) is told once and given up: it must not spoil the work."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        logging.getLogger("hsorch").removeHandler(self)
        reason = sys.exc_info()[1]
        click.echo(f"warning: the log file {self.baseFilename} can't be written: {reason}", err=True)
        # What is still buffered would fail again at exit.
        self.stream = None


class _PlainLines(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S")

    converter = staticmethod(time.gmtime)


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def _rich(color: bool, *, err: bool) -> Console:
    from rich.console import Console

    return Console(
        stderr=err,
        markup=False,
        emoji=False,
        highlight=False,
        soft_wrap=not err,
        force_terminal=True if color else None,
        no_color=not color,
    )
