"""`hsorch apply`: plan, show, ask, carry out."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hsorch.cli.console import Terminal
from hsorch.cli.options import approve, confirm_option, format_option, manifest_argument, yes_option
from hsorch.cli.planning import IMPACTS, Site, limit_impact, site
from hsorch.errors import PlanStale

if TYPE_CHECKING:
    from hsorch.plan.journal import Pending
    from hsorch.plan.model import Plan


@click.command()
@manifest_argument
@format_option("text", "json")
@yes_option
@confirm_option
@click.option(
    "--plan",
    "saved",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="Carry out this saved plan, nothing else; refused when the pair has moved since.",
)
@click.option("--allow-outage", is_flag=True, help="The group may be brought out and in again.")
@click.option("--max-impact", type=click.Choice(IMPACTS), help="Refuse a plan that costs more.")
@click.option("--break-lock", metavar="ID", default="", help="Break the lock of an operation that died.")
@click.pass_obj
def apply(
    terminal: Terminal,
    manifest: Path,
    format_: str,
    yes: bool,
    confirm: str | None,
    saved: Path | None,
    allow_outage: bool,
    max_impact: str | None,
    break_lock: str,
) -> None:
    """Make both nodes match the manifest. A second apply changes nothing; one that stopped goes on."""
    from hsorch.cli.render import plan_progress, plan_text
    from hsorch.manifest.impact import Impact
    from hsorch.plan import apply as applying
    from hsorch.plan import journal

    with site(manifest) as here, journal.opened(here.spec.cluster) as notes:
        pending = notes.pending()
        plan = here.plan(pending)
        if saved is not None:
            _require_fresh(saved, here, pending)
        receiver = plan_progress.receiver(terminal, format_)
        receiver.planned(plan)
        limit_impact(plan, max_impact)
        applying.require_sound(plan)
        if not plan.changes:
            notes.complete()
            return
        if saved is None:
            overwrites = plan.impact is Impact.OVERWRITE
            grave = overwrites or (plan.is_outage and not allow_outage)
            approve(
                terminal,
                plan_text.question(plan),
                word=plan.cluster if grave or confirm is not None else "yes",
                stakes=plan_text.stakes(plan),
                yes=yes and not grave,
                confirm=confirm,
            )
        with receiver, safe_stop() as stop:
            applying.run(
                plan,
                here.transports,
                here.runtime,
                notes,
                receiver.emit,
                stop,
                create_lab=here.create_lab,
                pending=pending,
                break_lock=break_lock,
            )


@contextmanager
def safe_stop() -> Iterator[threading.Event]:
    """Set by the first Ctrl-C or SIGTERM (of a service manager); the second is a plain KeyboardInterrupt."""
    stop = threading.Event()

    def ask(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _require_fresh(saved: Path, here: Site, pending: Pending | None) -> None:
    """Raises PlanStale when manifest, pair or hsorch moved; what this plan's own apply did is no move."""
    from hsorch.plan import plan as planning

    plan = planning.load(saved)
    wanted: Plan = here.plan()
    if plan.digest != wanted.digest or plan.cluster != wanted.cluster:
        raise PlanStale(
            f"{here.path} is not what {saved} was made from; nothing was changed",
            hint=f"make a new plan: hsorch plan {here.path} --out {saved}",
        )
    if pending is None or pending.plan.digest != plan.digest:
        planning.refuse_stale(plan, here.seen, here.runtime.name)
