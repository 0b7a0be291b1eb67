"""`hsorch simulate`: the real failover core with a manifest's timings, in a virtual world."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hsorch.cli.console import Terminal
from hsorch.cli.options import format_option, manifest_argument
from hsorch.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from hsorch.spec import Spec


@click.command()
@manifest_argument
@click.option("--fault", "faults", multiple=True, metavar="ROW|NAME", help="Only these rows of the table.")
@click.option("--seeds", type=click.IntRange(min=1), help="Run this many random schedules.")
@click.option("--seed", type=click.IntRange(min=0), help="First seed; alone: replay this one as a story.")
@click.option("--shrink", is_flag=True, help="Make a failing schedule as small as it gets.")
@click.option("--mutants", is_flag=True, help="Weaken each safety rule and show what notices.")
@click.option("--story", is_flag=True, help="Tell each row as a timeline.")
@click.option("--jobs", type=click.IntRange(min=1), default=os.cpu_count() or 1, help="Processes to use.")
@format_option("text", "json")
@click.pass_obj
def simulate(
    terminal: Terminal,
    manifest: Path,
    faults: tuple[str, ...],
    seeds: int | None,
    seed: int | None,
    shrink: bool,
    mutants: bool,
    story: bool,
    jobs: int,
    format_: str,
) -> ExitCode:
    """Run the real core through faults in virtual time; exit 1 when anything does not hold.

    Without options: the whole fault table, with what the client sees of each fault.
    """
    chosen = [bool(faults) or story, seeds is not None or seed is not None, mutants]
    if sum(chosen) > 1:
        raise UsageError(
            "--fault, --seed/--seeds and --mutants are three different runs",
            hint="choose one of them; run the others after it",
            code="HS850",
        )
    spec = _spec_of(manifest)
    if mutants:
        return _print(terminal, _mutants(spec, jobs, format_))
    if seeds is not None:
        return _print(terminal, _sweep(terminal, spec, seed or 1, seeds, jobs, shrink, format_))
    if seed is not None:
        return _print(terminal, _replay(spec, seed, shrink, format_))
    return _print(terminal, _table(spec, faults, jobs, story, format_))


def _spec_of(manifest: Path) -> Spec:
    from hsorch.cli.nodes import load_cluster
    from hsorch.plan.spec import compile_spec

    return compile_spec(load_cluster(manifest))


def _print(terminal: Terminal, result: tuple[str, bool]) -> ExitCode:
    """result: the output, and whether everything held."""
    text, held = result
    terminal.print(text)
    return ExitCode.OK if held else ExitCode.ERROR


def _table(spec: Spec, faults: tuple[str, ...], jobs: int, story: bool, format_: str) -> tuple[str, bool]:
    from hsorch.cli.render import simulation
    from hsorch.sim.scenario import run_rows, tell_row
    from hsorch.sim.table import rows, select

    try:
        chosen = select(spec, faults)
    except KeyError as error:
        raise UsageError(
            f"the fault table has no row {error.args[0]}",
            hint=f"rows are {', '.join(r.row for r in rows(spec))}",
            code="HS851",
        ) from error
    if story:
        told = [tell_row(spec, row) for row in chosen]
        return simulation.stories(told, format_)
    return simulation.table(spec, run_rows(spec, chosen, jobs), format_)


def _sweep(
    terminal: Terminal, spec: Spec, first: int, count: int, jobs: int, shrink: bool, format_: str
) -> tuple[str, bool]:
    from hsorch.cli.render import simulation
    from hsorch.sim.schedules import shrunk, tell
    from hsorch.sim.sweep import sweep

    summary = sweep(spec, first, count, jobs, lambda done: terminal.tell(f"{done} of {count} seeds", level=1))
    told = None
    if shrink and summary.violated:
        told = tell(spec, shrunk(spec, summary.violated[0].seed))
    return simulation.summary(summary, told, format_)


def _replay(spec: Spec, seed: int, shrink: bool, format_: str) -> tuple[str, bool]:
    from hsorch.cli.render import simulation
    from hsorch.sim.schedules import draw, shrunk, tell

    schedule = shrunk(spec, seed) if shrink else draw(spec, seed)
    return simulation.stories([tell(spec, schedule)], format_)


def _mutants(spec: Spec, jobs: int, format_: str) -> tuple[str, bool]:
    from hsorch.cli.render import simulation
    from hsorch.sim.mutants import SEARCH, hunt_all

    return simulation.kills(hunt_all(spec, 1, SEARCH, jobs), format_)
