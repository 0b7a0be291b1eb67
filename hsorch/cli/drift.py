"""`hsorch drift`: only what moved by itself since the last apply. Exit code 2 when anything did."""

from __future__ import annotations

from pathlib import Path

import click

from hsorch.cli.console import Terminal
from hsorch.cli.options import format_option, manifest_argument
from hsorch.cli.planning import site
from hsorch.errors import ExitCode


@click.command()
@manifest_argument
@format_option("text", "json")
@click.pass_obj
def drift(terminal: Terminal, manifest: Path, format_: str) -> ExitCode:
    """Show where the nodes left what was applied. Changes nothing; exit code 2 when they did."""
    from hsorch.cli.render import plan_json, plan_text

    with site(manifest) as here:
        made = here.plan()
    if format_ == "json":
        terminal.print(plan_json.drift(made))
    elif here.lab:
        terminal.tell("The lab is not up: there is nothing that could have drifted.")
    else:
        terminal.print(plan_text.drift(made))
    return ExitCode.CHANGES if made.drift else ExitCode.OK
