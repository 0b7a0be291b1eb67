"""`hsorch status`: ask both nodes, show one screen. Exit code 0 when both lights are on, else 1."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import click

from hsorch.cli.console import Terminal
from hsorch.cli.nodes import Pair, look, open_pair
from hsorch.cli.options import format_option, pair_argument
from hsorch.cli.pairview import PairView
from hsorch.cli.render.pair_data import status_json
from hsorch.cli.render.status_text import status_text
from hsorch.errors import ExitCode


@click.command()
@pair_argument
@format_option("text", "json")
@click.option("-w", "--watch", is_flag=True, help="Look again and again until Ctrl-C.")
@click.option(
    "--wait", type=click.FloatRange(min=0), default=0.0, help="Wait up to so many seconds for both lights."
)
@click.option(
    "--every", type=click.FloatRange(min=0.1), default=1.0, show_default=True, help="Seconds between looks."
)
@click.pass_obj
def status(
    terminal: Terminal, manifest: str | None, here: bool, format_: str, watch: bool, wait: float, every: float
) -> ExitCode:
    """One screen: is the pair up, is it protected, and if not, why. Exit code 0 only if both.

    A node that does not answer is shown as such.
    """
    with open_pair(manifest, here=here) as pair:
        if watch:
            _watch(terminal, _looks(pair, every), format_)
        deadline = time.monotonic() + wait
        for view in _looks(pair, every):
            if (view.up and view.protected) or time.monotonic() + every > deadline:
                break
        view.require_one()
        terminal.print(status_json(view) if format_ == "json" else status_text(view))
        return ExitCode.OK if view.up and view.protected else ExitCode.ERROR


def _looks(pair: Pair, every: float) -> Iterator[PairView]:
    while True:
        yield look(pair)
        time.sleep(every)


def _watch(terminal: Terminal, views: Iterator[PairView], format_: str) -> None:
    """Until Ctrl-C. A terminal is repainted; otherwise each look is printed (json: one line each)."""
    if format_ == "json":
        for view in views:
            terminal.print(status_json(view, indent=None))
    elif not sys.stdout.isatty():
        for view in views:
            terminal.print(status_text(view) + "\n")
    else:
        from rich.live import Live
        from rich.text import Text

        with Live(console=terminal.data, auto_refresh=False, screen=True) as live:
            for view in views:
                live.update(Text.from_ansi(status_text(view)), refresh=True)
