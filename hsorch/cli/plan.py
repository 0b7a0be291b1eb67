"""`hsorch plan`: show what apply would change, and keep it in a file if asked to."""

from __future__ import annotations

from pathlib import Path

import click

from hsorch.cli.console import Terminal
from hsorch.cli.options import format_option, manifest_argument
from hsorch.cli.planning import IMPACTS, limit_impact, site
from hsorch.errors import ExitCode


@click.command()
@manifest_argument
@format_option("text", "json", "markdown")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Save the plan for apply --plan."
)
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 when there are changes.")
@click.option("--max-impact", type=click.Choice(IMPACTS), help="Refuse a plan that costs more.")
@click.option("-v", "--verbose", is_flag=True, help="Show what does not change, and the steps.")
@click.pass_obj
def plan(
    terminal: Terminal,
    manifest: Path,
    format_: str,
    out: Path | None,
    detailed_exitcode: bool,
    max_impact: str | None,
    verbose: bool,
) -> ExitCode:
    """Show what apply would change on both nodes, and what it costs. Changes nothing."""
    from hsorch.cli.render import plan_json, plan_markdown, plan_text
    from hsorch.plan import journal
    from hsorch.plan import plan as planning

    with site(manifest) as here:
        pending = journal.peek(here.spec.cluster)
        made = here.plan(pending)
    if format_ == "text":
        terminal.print(plan_text.text(made, verbose=verbose or terminal.verbosity > 0))
    else:
        terminal.print(plan_json.text(made) if format_ == "json" else plan_markdown.text(made))
    if pending is not None:
        terminal.tell("An apply of this pair stopped half way; `hsorch apply` completes it.")
    if out is not None:
        planning.save(made, out)
        terminal.tell(f"Saved. Apply exactly this with: hsorch apply --plan {out}")
    limit_impact(made, max_impact)
    if made.errors:
        return ExitCode.ERROR
    return ExitCode.CHANGES if detailed_exitcode and made.changes else ExitCode.OK
