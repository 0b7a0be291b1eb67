"""`hsorch select-source`: whose data count, after both nodes wrote or when nobody knows (REQ-H16 to REQ-H18).

Shows what the choice costs, asks, tells the winner, then the loser. Whether it is safe, the nodes decide.
"""

from __future__ import annotations

import json
import secrets

import click

from hsorch.cli.console import Terminal
from hsorch.cli.loss import stakes_of
from hsorch.cli.nodes import Pair, look, open_pair
from hsorch.cli.options import approve, confirm_option, format_option, pair_argument
from hsorch.cli.pairview import PairView
from hsorch.cli.render.status_text import one_line
from hsorch.cli.render.survey_text import survey_data, survey_lines
from hsorch.cli.stakes import Stakes
from hsorch.errors import ExitCode, RefusedError, UsageError
from hsorch.node.operate_data import DataOrder
from hsorch.node.replication.generations import Lineage, Meeting
from hsorch.node.replication.orders import Chosen
from hsorch.plan.actor import actor

CHOOSE_S = 120.0


@click.command()
@click.argument("node")
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
        found = stakes_of(pair)
        if only_look:
            terminal.print(_text(found, node, pair.cluster, format_))
            return ExitCode.OK
        _must_have_data(found, node)
        loser = found.other(node)
        word = f"{pair.cluster} {loser}" if found.is_older(node) else pair.cluster
        question = f"Overwrite {loser} with the data of {node}?"
        lines = [f"{one_line(view)}.", *survey_lines(found, node)]
        approve(terminal, question, word=word, stakes=lines, confirm=confirm)
        order = _carry_out(pair, node, loser)
        if format_ == "json":
            terminal.print(_json(found, pair.cluster, operation_id=order, source=node))
        else:
            terminal.print(_done(view, node, loser))
        return ExitCode.OK


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


def _must_have_data(found: Stakes, node: str) -> None:
    if found.meeting(node) is Meeting.FIRST:
        raise RefusedError(
            "nothing was replicated yet: there is no choice to make",
            hint=f"hsorch bring-in --source {node}",
            code="HS941",
        )


def _done(view: PairView, node: str, loser: str) -> str:
    when = "now" if node in view.active else "as soon as the group is brought in"
    return (
        f"The data of {node} count. {loser} is compared with it {when}: hsorch status shows how far it is.\n"
        f"What only {loser} had is kept there: hsorch quarantine list"
    )


def _text(found: Stakes, node: str, cluster: str, format_: str) -> str:
    return _json(found, cluster) if format_ == "json" else "\n".join(survey_lines(found, node))


def _json(found: Stakes, cluster: str, **more: str) -> str:
    value = {"format_version": "1.0", "cluster": cluster, **more, "nodes": survey_data(found)}
    return json.dumps(value, indent=2, ensure_ascii=False)
