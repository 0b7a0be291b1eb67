"""`hsorch resync`: a node that came back may follow now, where the policy leaves that to people.

Shows what it loses, asks, tells it (REQ-G05, REQ-G06, REQ-G10). Why it waits is decided on the node.
"""

from __future__ import annotations

import json
import secrets

import click

from hsorch.cli.console import Terminal
from hsorch.cli.loss import stakes_of
from hsorch.cli.nodes import look, open_pair
from hsorch.cli.options import approve, confirm_option, format_option, pair_argument
from hsorch.cli.pairview import PairView
from hsorch.cli.render.status_text import one_line
from hsorch.cli.render.survey_text import survey_data, survey_lines
from hsorch.errors import ExitCode, RefusedError, UsageError
from hsorch.node.operate_data import DataOrder
from hsorch.node.replication.held import Held
from hsorch.node.replication.orders import ReplicationStatus
from hsorch.plan.actor import actor


@click.command()
@click.option("--survey", "only_look", is_flag=True, help="Only show what the node would lose.")
@confirm_option
@pair_argument
@format_option("text", "json")
@click.pass_obj
def resync(
    terminal: Terminal, manifest: str | None, here: bool, only_look: bool, confirm: str | None, format_: str
) -> ExitCode:
    """Let the node that came back follow, where the policy does not do so by itself.

    What only that node has goes into its quarantine before it is overwritten. There is no --yes here: the
    cluster's name is asked for.
    """
    with open_pair(manifest, here=here) as pair:
        if len(pair.nodes) < 2:
            raise UsageError(
                "what the node would lose is seen from both, and --here is one of them",
                hint="run it on a controller, with the manifest",
                code="HS914",
            )
        view = look(pair)
        waits = _who_waits(view)
        source = next(name for name in pair.nodes if name != waits)
        stakes = stakes_of(pair)
        lines = survey_lines(stakes, source)
        order = {}
        if not only_look:
            question = f"Let {waits} be overwritten with the data of {source}?"
            about = [f"{one_line(view)}.", *lines]
            approve(terminal, question, word=pair.cluster, stakes=about, confirm=confirm)
            wanted = DataOrder(cluster=pair.cluster, actor=actor(), id=secrets.token_hex(8))
            pair.ask(waits, "follow", wanted, ReplicationStatus)
            order = {"operation_id": wanted.id}
        if format_ == "json":
            value = {"format_version": "1.0", "cluster": pair.cluster, **order, "waits": waits}
            terminal.print(json.dumps(value | {"nodes": survey_data(stakes)}, indent=2, ensure_ascii=False))
        else:
            done = f"{waits} follows {source} now: hsorch status shows how far it is."
            terminal.print("\n".join(lines if only_look else [done]))
        return ExitCode.OK


def _who_waits(view: PairView) -> str:
    """Raises RefusedError HS944: nobody does."""
    for report in view.reports:
        if report.data is not None and any(trouble.code == Held.code for trouble in report.data.troubles):
            return report.node
    for seen in view.nodes:
        if seen.error is not None:
            raise seen.error
    raise RefusedError(
        "no node waits for a word to follow the other one",
        hint="hsorch status and hsorch explain say what is in the way of the data",
        code="HS944",
    )
