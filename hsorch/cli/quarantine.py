"""`hsorch quarantine`: what resyncs put away on either node: look at it, give it back, let it go."""

from __future__ import annotations

import json
import os
import secrets
from typing import Any

import click

from hsorch.cli.console import Terminal
from hsorch.cli.nodes import Pair, open_pair
from hsorch.cli.options import approve, confirm_option, format_option, name_argument, pair_argument
from hsorch.cli.render.quarantine_text import incident_data, incident_lines, shown_data, shown_lines
from hsorch.errors import ExitCode, HsorchError, UsageError
from hsorch.node.operate_data import DataOrder, Restored, Shown
from hsorch.node.replication.quarantine import Incident
from hsorch.plan.actor import actor

COPY_S = 3600.0
node_option = click.option("--node", help="The node that keeps it; needed when both have one of that name.")


@click.group()
def quarantine() -> None:
    """What a resync would have overwritten or deleted and nobody else has. Kept on the node that had it."""


@quarantine.command(name="list")
@pair_argument
@format_option("text", "json")
@click.pass_obj
def list_(terminal: Terminal, manifest: str | None, here: bool, format_: str) -> ExitCode:
    """All incidents of both nodes, oldest first."""
    with open_pair(manifest, here=here) as pair:
        found, failed = _incidents(pair)
        if format_ == "json":
            value = {node: [incident_data(i) for i in incidents] for node, incidents in found.items()}
            _print_json(terminal, pair, nodes=value | {n: {"error": e.message} for n, e in failed.items()})
        else:
            if found:
                terminal.print("\n".join(incident_lines(found)))
            for node, error in failed.items():
                terminal.tell(f"{node} can't be asked: [{error.code}] {error.message}")
        return ExitCode.ERROR if failed else ExitCode.OK


@quarantine.command()
@name_argument("incident")
@node_option
@pair_argument
@format_option("text", "json")
@click.pass_obj
def show(
    terminal: Terminal, incident: str, node: str | None, manifest: str | None, here: bool, format_: str
) -> ExitCode:
    """The files of one incident."""
    with open_pair(manifest, here=here) as pair:
        keeper = _keeper(pair, incident, node)
        seen = pair.ask(keeper, "quarantine-show", _order(pair, incident), Shown)
        if format_ == "json":
            _print_json(terminal, pair, node=keeper, **shown_data(seen))
        else:
            terminal.print("\n".join(shown_lines(keeper, seen)))
        return ExitCode.OK


@quarantine.command()
@name_argument("incident")
@click.option("--to", required=True, metavar="DIR", help="A new or empty folder on that node.")
@click.option("--only", multiple=True, metavar="PATH", help="Only this file, as show names it.")
@node_option
@pair_argument
@click.pass_obj
def restore(
    terminal: Terminal,
    incident: str,
    to: str,
    only: tuple[str, ...],
    node: str | None,
    manifest: str | None,
    here: bool,
) -> ExitCode:
    """Copy what was kept into a folder of the node that keeps it. Nothing is overwritten, nothing dropped."""
    with open_pair(manifest, here=here) as pair:
        keeper = _keeper(pair, incident, node)
        order = _order(pair, incident, to=to, only=tuple(os.fsencode(path) for path in only))
        done = pair.ask(keeper, "quarantine-restore", order, Restored, timeout=COPY_S)
        terminal.print(f"{keeper}: {done.files} file{'s' if done.files != 1 else ''} restored to {done.to}")
        return ExitCode.OK


@quarantine.command()
@name_argument("incident")
@node_option
@confirm_option
@pair_argument
@click.pass_obj
def drop(
    terminal: Terminal,
    incident: str,
    node: str | None,
    confirm: str | None,
    manifest: str | None,
    here: bool,
) -> ExitCode:
    """Delete one incident for good. There is no --yes here: the cluster's name is asked for."""
    with open_pair(manifest, here=here) as pair:
        keeper = _keeper(pair, incident, node)
        seen = pair.ask(keeper, "quarantine-show", _order(pair, incident), Shown)
        question = f"Delete what {keeper} keeps of {incident}, for good?"
        approve(
            terminal, question, word=pair.cluster, stakes=shown_lines(keeper, seen, most=10), confirm=confirm
        )
        pair.ask(keeper, "quarantine-drop", _order(pair, incident), dict[str, str], timeout=COPY_S)
        terminal.print(f"{keeper}: {incident} is gone")
        return ExitCode.OK


def _incidents(pair: Pair) -> tuple[dict[str, list[Incident]], dict[str, HsorchError]]:
    answers = pair.ask_all("quarantine-list", DataOrder(cluster=pair.cluster), list[Incident])
    found = {node: answer for node, answer in answers.items() if not isinstance(answer, HsorchError)}
    failed = {node: answer for node, answer in answers.items() if isinstance(answer, HsorchError)}
    return found, failed


def _keeper(pair: Pair, incident: str, node: str | None) -> str:
    """The node that keeps it. A name that neither has is left to one of them to refuse (HS694)."""
    if node is not None and node not in pair.nodes:
        raise UsageError(
            f"{pair.cluster} has no node {node}",
            hint=f"its nodes are {', '.join(sorted(pair.nodes))}",
            code="HS908",
        )
    if node is not None:
        return node
    found, failed = _incidents(pair)
    keepers = [name for name, incidents in found.items() if incident in {i.about.incident for i in incidents}]
    if len(keepers) > 1:
        raise UsageError(
            f"{' and '.join(keepers)} both keep an incident {incident}",
            hint=f"say which: --node {keepers[0]}",
            code="HS915",
        )
    if not keepers and failed:
        raise next(iter(failed.values()))
    return keepers[0] if keepers else next(iter(pair.nodes))


def _order(pair: Pair, incident: str, to: str = "", only: tuple[bytes, ...] = ()) -> DataOrder:
    number = secrets.token_hex(8)
    return DataOrder(cluster=pair.cluster, actor=actor(), id=number, incident=incident, to=to, only=only)


def _print_json(terminal: Terminal, pair: Pair, **value: Any) -> None:
    whole = {"format_version": "1.0", "cluster": pair.cluster, **value}
    terminal.print(json.dumps(whole, indent=2, ensure_ascii=False))
