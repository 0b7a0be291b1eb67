"""The operator's verbs: look at the pair, ask for approval, hand the verb to a node, say what came of it.

Whether a verb is safe is decided by the nodes (hsorch.node.core), never here.
"""

from __future__ import annotations

import getpass
import json
import logging
import secrets
import socket
from collections.abc import Callable, Sequence
from typing import TypeVar

import click

from hsorch.cli.console import Terminal
from hsorch.cli.nodes import Pair, look, open_pair
from hsorch.cli.options import approve, confirm_option, format_option, pair_argument, yes_option
from hsorch.cli.pairview import PairView
from hsorch.cli.render.status_text import one_line
from hsorch.errors import ExitCode, RefusedError, UsageError
from hsorch.node.core.types import Verb
from hsorch.verbs import Operate, StatusReport

F = TypeVar("F", bound=Callable[..., object])
log = logging.getLogger("hsorch")
MOVES = (Verb.SWITCH, Verb.TAKEOVER)
ANSWER_MARGIN_S = 5.0
"""The node ends a verb by its own limit; the transport waits this much longer for the answer."""


def _common(function: F) -> F:
    """The arguments that all verbs share."""
    limit = click.option(
        "--timeout", type=click.FloatRange(min=1), default=60.0, show_default=True, help="Seconds to wait."
    )
    return pair_argument(format_option("text", "json")(limit(function)))


@click.command()
@_common
@yes_option
@click.pass_obj
def bring_in(
    terminal: Terminal, manifest: str | None, here: bool, format_: str, timeout: float, yes: bool
) -> ExitCode:
    """Start the group: on the preferred node at first, afterwards where it ran last."""
    with open_pair(manifest, here=here) as pair:
        view = _seen(pair)
        approve(terminal, f"Start the group of {pair.cluster}?", yes=yes)
        return _carry_out(terminal, pair, view, Verb.BRING_IN, timeout, format_)


@click.command()
@_common
@yes_option
@confirm_option
@click.pass_obj
def bring_out(
    terminal: Terminal,
    manifest: str | None,
    here: bool,
    format_: str,
    timeout: float,
    yes: bool,
    confirm: str | None,
) -> ExitCode:
    """Stop the group on the pair. Clients lose it until bring-in."""
    with open_pair(manifest, here=here) as pair:
        view = _seen(pair)
        stakes = [f"{one_line(view)}.", "Clients lose the service until it is brought in again."]
        question = f"Stop the group of {pair.cluster}?"
        approve(terminal, question, word=pair.cluster, stakes=stakes, yes=yes, confirm=confirm)
        return _carry_out(terminal, pair, view, Verb.BRING_OUT, timeout, format_)


@click.command()
@_common
@yes_option
@click.pass_obj
def switch(
    terminal: Terminal, manifest: str | None, here: bool, format_: str, timeout: float, yes: bool
) -> ExitCode:
    """Move the group to the other node, cleanly: stop there, start here."""
    with open_pair(manifest, here=here) as pair:
        view = _seen(pair)
        stakes = [
            f"{one_line(view)}.",
            "Clients wait while the group stops on one node and starts on the other.",
        ]
        approve(terminal, f"Switch {pair.cluster}?", stakes=stakes, yes=yes)
        return _carry_out(terminal, pair, view, Verb.SWITCH, timeout, format_)


@click.command()
@click.argument("node")
@_common
@yes_option
@click.pass_obj
def set_active(
    terminal: Terminal, node: str, manifest: str | None, here: bool, format_: str, timeout: float, yes: bool
) -> ExitCode:
    """Say on which node the next bring-in starts the group. Only while it is out; else switch."""
    with open_pair(manifest, here=here) as pair:
        view = _seen(pair)
        target = _known(view, node)
        approve(
            terminal,
            f"Let {target} be the node where {pair.cluster} starts?",
            stakes=[one_line(view)],
            yes=yes,
        )
        return _carry_out(terminal, pair, view, Verb.SET_ACTIVE, timeout, format_, target=target)


@click.command()
@click.argument("state", type=click.Choice(["on", "off"]))
@_common
@yes_option
@click.pass_obj
def maintenance(
    terminal: Terminal, state: str, manifest: str | None, here: bool, format_: str, timeout: float, yes: bool
) -> ExitCode:
    """Hold all automatic moves and leave resources alone (on), or allow them again (off)."""
    verb = Verb.MAINTENANCE_ON if state == "on" else Verb.MAINTENANCE_OFF
    with open_pair(manifest, here=here) as pair:
        view = _seen(pair)
        stakes = ["Nothing fails over until maintenance is off."] if state == "on" else []
        approve(terminal, f"Maintenance of {pair.cluster} {state}?", stakes=stakes, yes=yes)
        return _carry_out(terminal, pair, view, verb, timeout, format_)


@click.command()
@click.option("--force", is_flag=True, help="Needed: it says that you answer for the other node.")
@click.option("--node", help="The node that takes over; without it, the one that answers and is not active.")
@_common
@confirm_option
@click.pass_obj
def takeover(
    terminal: Terminal,
    force: bool,
    node: str | None,
    manifest: str | None,
    here: bool,
    format_: str,
    timeout: float,
    confirm: str | None,
) -> ExitCode:
    """Force the group onto a node by the operator's word, when the pair can't decide by itself.

    The other node must be off for sure. --yes is not enough here: type the cluster's name.
    """
    if not force:
        raise RefusedError(
            "takeover passes over the rules that keep two nodes from being active at once",
            hint="a clean move is hsorch switch; if the other node is off for sure, add --force",
            code="HS913",
        )
    with open_pair(manifest, here=here) as pair:
        view = _seen(pair)
        target = _known(view, node) if node else _candidate(view)
        approve(
            terminal,
            f"Force {target} to take over {pair.cluster}?",
            word=pair.cluster,
            stakes=_takeover_stakes(view, target),
            confirm=confirm,
        )
        return _carry_out(terminal, pair, view, Verb.TAKEOVER, timeout, format_, target=target, via=target)


def _seen(pair: Pair) -> PairView:
    view = look(pair)
    view.require_one()
    return view


def _carry_out(
    terminal: Terminal,
    pair: Pair,
    view: PairView,
    verb: Verb,
    timeout: float,
    format_: str,
    *,
    target: str = "",
    via: str = "",
) -> ExitCode:
    """Send the verb to `via`, else to the active node, else to any that answers; then look again."""
    order = Operate(
        cluster=pair.cluster,
        verb=verb.value,
        actor=f"{getpass.getuser()}@{socket.gethostname()}",
        id=secrets.token_hex(8),
        target=target,
        timeout_ms=int(timeout * 1000),
    )
    node = via or _door(view.reports)
    log.info("operation %s: %s %s of %s through %s", order.id, order.verb, target, pair.cluster, node)
    answer = pair.ask(node, "operate", order, dict[str, str], timeout=timeout + ANSWER_MARGIN_S)
    after = look(pair)
    outage = _outage(after) if verb in MOVES else None
    message = answer.get("message", f"{verb.value}: done")
    if format_ == "json":
        result = {
            "format_version": "1.0",
            "operation_id": order.id,
            "verb": verb.value,
            "via": node,
            **answer,
        }
        lights = {"up": after.up, "protected": after.protected, "active": list(after.active)}
        terminal.print(json.dumps(result | lights | {"outage_ms": outage}, ensure_ascii=False))
    else:
        lost = f"; the group was away for {outage} ms" if outage is not None else ""
        terminal.print(f"{message}\n{one_line(after)}{lost}")
    return ExitCode.OK


def _door(reports: Sequence[StatusReport]) -> str:
    """The active node knows best; without one, the first that answers."""
    active = [report.node for report in reports if report.active == report.node]
    return active[0] if active else reports[0].node


def _outage(view: PairView) -> int | None:
    """Milliseconds of the move that just ended, as the node that took the group measured it (REQ-H10)."""
    found = [r.last_outage_ms for r in view.reports if r.active == r.node and r.last_outage_ms >= 0]
    return found[0] if found else None


def _known(view: PairView, name: str) -> str:
    names = {node.name for node in view.nodes} | {report.peer for report in view.reports}
    if name not in names:
        raise UsageError(
            f"{view.cluster} has no node {name}",
            hint=f"its nodes are {', '.join(sorted(names))}",
            code="HS908",
        )
    return name


def _candidate(view: PairView) -> str:
    idle = [report.node for report in view.reports if report.node not in view.active]
    if len(idle) != 1:
        raise UsageError(
            f"it is not clear which node of {view.cluster} is to take over",
            hint="name it: hsorch takeover --force --node NODE",
            code="HS909",
        )
    return idle[0]


def _takeover_stakes(view: PairView, target: str) -> list[str]:
    others = [node for node in view.nodes if node.name != target]
    lines = [f"{one_line(view)}."]
    for node in others:
        said = (
            "answers" if node.report is not None else f"does not answer ({node.error and node.error.message})"
        )
        lines.append(
            f"{node.name} {said}. If it still runs the group, both nodes will, and data will part ways."
        )
    lines += [f"{report.node} has data that are behind." for report in view.reports if report.stale]
    return lines
