"""`hsorch select-source`: whose data count, after both nodes wrote or when nobody knows (REQ-H16 to REQ-H18).

Shows what the choice costs, asks, tells the winner, then the loser. Whether it is safe, the nodes decide.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import Any

import click

from hsorch.cli.console import Terminal
from hsorch.cli.loss import lost_disk, stakes_of
from hsorch.cli.nodes import Pair, look, open_pair
from hsorch.cli.options import approve, confirm_option, format_option, name_argument, pair_argument
from hsorch.cli.pairview import PairView
from hsorch.cli.render.status_text import one_line
from hsorch.cli.render.survey_text import survey_data, survey_lines
from hsorch.errors import ExitCode, RefusedError, UsageError
from hsorch.node.operate_data import DataOrder
from hsorch.node.replication.generations import Lineage, Meeting
from hsorch.node.replication.orders import Chosen
from hsorch.plan.actor import actor

CHOOSE_S = 120.0


@dataclass(frozen=True)
class Cost:
    """Of a choice, as it is shown. word: what has to be typed. refusal: why there is no choice."""

    lines: list[str]
    word: str
    nodes: dict[str, Any]
    refusal: RefusedError | None = None


@click.command()
@name_argument("node")
@click.option("--survey", "only_look", is_flag=True, help="Only show what each side would lose.")
@confirm_option
@pair_argument
@format_option("text", "json")
@click.pass_obj
def select_source(
    terminal: Terminal,
    manifest: str | None,
    here: bool,
    node: str,
    only_look: bool,
    confirm: str | None,
    format_: str,
) -> ExitCode:
    """Let the data of NODE count: the other node is compared with it and overwritten where it differs.

    NODE must be active, or the group is out and would start there. What only the other node has goes into its
    quarantine first. Where NODE has the older data, the loser's name is asked for, too: 'CLUSTER LOSER'.
    """
    with open_pair(manifest, here=here) as pair:
        view = look(pair)
        _must_know(pair, view, node)
        loser = next(name for name in pair.nodes if name != node)
        cost = _cost(pair, node, loser)
        if not only_look:
            if cost.refusal is not None:
                raise cost.refusal
            question = f"Overwrite {loser} with the data of {node}?"
            lines = [f"{one_line(view)}.", *cost.lines]
            approve(terminal, question, word=cost.word, stakes=lines, confirm=confirm)
        order = {} if only_look else {"operation_id": _carry_out(pair, node, loser), "source": node}
        if format_ == "json":
            value = {"format_version": "1.0", "cluster": pair.cluster, **order, "nodes": cost.nodes}
            terminal.print(json.dumps(value, indent=2, ensure_ascii=False))
        else:
            terminal.print("\n".join(cost.lines if only_look else _done(view, node, loser)))
        return ExitCode.OK


def _cost(pair: Pair, node: str, loser: str) -> Cost:
    """A node whose disk is gone or another one has nothing to lose: it need not be asked what."""
    if (gone := lost_disk(pair, loser)) is not None:
        lines = [f"{loser} has nothing to lose: {gone.message}.", f"Everything comes from {node}."]
        return Cost(lines, pair.cluster, {loser: {"lost_disk": gone.message}})
    found = stakes_of(pair)
    word = f"{pair.cluster} {loser}" if found.is_older(node) else pair.cluster
    refusal = None
    if found.meeting(node) is Meeting.FIRST:
        refusal = RefusedError(
            "nothing was replicated yet: there is no choice to make",
            hint=f"hsorch bring-in --source {node}",
            code="HS941",
        )
    return Cost(survey_lines(found, node), word, survey_data(found), refusal)


def _carry_out(pair: Pair, winner: str, loser: str) -> str:
    """The winner first: told alone it changes nothing on the other side, so it can be told again."""
    number = secrets.token_hex(8)

    def choose(node: str, lineage: Lineage | None) -> Lineage:
        order = DataOrder(cluster=pair.cluster, actor=actor(), id=number, winner=lineage)
        return pair.ask(node, "choose", order, Chosen, timeout=CHOOSE_S).lineage

    choose(loser, choose(winner, None))
    return number


def _must_know(pair: Pair, view: PairView, node: str) -> None:
    if len(pair.nodes) < 2:
        raise UsageError(
            "a choice between two nodes needs both, and --here is one of them",
            hint="run it on a controller, with the manifest",
            code="HS914",
        )
    if node not in pair.nodes:
        raise UsageError(
            f"{pair.cluster} has no node {node}",
            hint=f"its nodes are {', '.join(sorted(pair.nodes))}",
            code="HS908",
        )
    for seen in view.nodes:
        if seen.error is not None:
            raise seen.error


def _done(view: PairView, node: str, loser: str) -> list[str]:
    when = "now" if node in view.active else "as soon as the group is brought in"
    return [
        f"The data of {node} count. {loser} is compared with it {when}: hsorch status shows how far it is.",
        f"What only {loser} had is kept there: hsorch quarantine list",
    ]
