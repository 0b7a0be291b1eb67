"""`hsorch graph`: the steps of an apply in their order, as a tree of waves, DOT or Mermaid."""

from __future__ import annotations

from pathlib import Path

import click

from hsorch.cli.console import Terminal
from hsorch.cli.options import format_option, manifest_argument
from hsorch.cli.planning import site


@click.command()
@manifest_argument
@format_option("text", "dot", "mermaid")
@click.option("--offline", is_flag=True, help="Ask no node: the steps of a first apply.")
@click.pass_obj
def graph(terminal: Terminal, manifest: Path, format_: str, offline: bool) -> None:
    """Show the steps that apply would take now, and which of them run side by side."""
    from hsorch.cli.planning import first_apply
    from hsorch.cli.render import plan_graph

    if offline:
        made = first_apply(manifest)
    else:
        with site(manifest) as here:
            made = here.plan()
    terminal.print(plan_graph.RENDERERS[format_](made.steps))
