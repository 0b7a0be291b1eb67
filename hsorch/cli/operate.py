"""The operator's verbs: look at the pair, ask for approval, hand the verb to a node, say what came of it.

Whether a verb is safe is decided by the nodes (hsorch.node.core), never here.
"""

from __future__ import annotations

import functools
import json
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from hsorch.cli.console import Terminal
from hsorch.cli.direction import Direction, direction
from hsorch.cli.nodes import Pair, look, open_pair
from hsorch.cli.options import (
    approve,
    confirm_option,
    format_option,
    name_argument,
    pair_argument,
    yes_option,
)
from hsorch.cli.pairview import PairView
from hsorch.cli.render.data_text import lacking, worth
from hsorch.cli.render.status_text import one_line
from hsorch.errors import ExitCode, RefusedError, UsageError
from hsorch.node.core.types import Verb
from hsorch.plan.actor import actor
from hsorch.verbs import Operate, StatusReport

log = logging.getLogger("hsorch")
MOVES = (Verb.SWITCH, Verb.TAKEOVER)
ANSWER_MARGIN_S = 5.0
"""The node ends a verb by its own limit; the transport waits this much longer for the answer."""


@dataclass(frozen=True)
class Call:
    """One verb as it was called: the pair as it was seen just now, and what was approved beforehand."""

    terminal: Terminal
    pair: Pair
    view: PairView
    format_: str
    timeout: float
    yes: bool
    confirm: str | None

    def approve(self, question: str, *stakes: str, word: str = "yes") -> None:
        """Ask, unless it was approved beforehand. Raises RefusedError."""
        approve(self.terminal, question, word=word, stakes=stakes, yes=self.yes, confirm=self.confirm)


def _verb(function: Callable[..., ExitCode]) -> Callable[..., ExitCode]:
    """What all verbs share: a pair, --format, --timeout. The function gets a Call and its own parameters."""

    def command(
        terminal: Terminal,
        /,
        manifest: str | None,
        here: bool,
        format_: str,
        timeout: float,
        yes: bool = False,
        confirm: str | None = None,
        **own: Any,
    ) -> ExitCode:
        with open_pair(manifest, here=here) as pair:
            view = look(pair)
            view.require_one()
            return function(Call(terminal, pair, view, format_, timeout, yes, confirm), **own)

    functools.update_wrapper(command, function)
    limit = click.option(
        "--timeout", type=click.FloatRange(min=1), default=60.0, show_default=True, help="Seconds to wait."
    )
    return pair_argument(format_option("text", "json")(limit(click.pass_obj(command))))


@click.command()
@click.option("--source", metavar="NODE", help="Start it on this node, and let its data go to the other one.")
@yes_option
@confirm_option
@_verb
def bring_in(call: Call, source: str | None) -> ExitCode:
    """Start the group: on the preferred node at first, afterwards where it ran last.

    Shows which way the data go. Where that would overwrite files of the other node for the first time, the
    cluster's name is asked for; where the other node has the newer data, it is refused.
    """
    view, name = call.view, call.pair.cluster
    newest = max(view.reports, key=lambda report: (report.epoch_major, report.epoch_minor))
    starts_on = _known(view, source) if source else newest.holder
    way = Direction() if view.active else direction(call.pair, view, starts_on)
    moves = starts_on != newest.holder
    if moves and view.active:
        raise RefusedError(
            f"the group is active on {' and '.join(view.active)}",
            hint=f"hsorch switch moves it to {source}",
            code="HS707",
        )
    word = name if way.overwrites or call.confirm is not None else "yes"
    approve(
        call.terminal,
        f"Start the group of {name}?",
        word=word,
        stakes=way.lines,
        yes=call.yes and not way.overwrites,
        confirm=call.confirm,
    )
    if moves:
        _send(call, _order(call, Verb.SET_ACTIVE, starts_on), _door(view.reports))
    return _carry_out(call, Verb.BRING_IN)


@click.command()
@yes_option
@confirm_option
@_verb
def bring_out(call: Call) -> ExitCode:
    """Stop the group on the pair. Clients lose it until bring-in.

    What is on its way to the other node is waited for first; what it lacks is said before and afterwards.
    """
    cost = "Clients lose the service until it is brought in again."
    name = call.pair.cluster
    stakes = [f"{one_line(call.view)}.", cost, *lacking(call.view)]
    call.approve(f"Stop the group of {name}?", *stakes, word=name)
    return _carry_out(call, Verb.BRING_OUT)


@click.command()
@yes_option
@_verb
def switch(call: Call) -> ExitCode:
    """Move the group to the other node, cleanly: stop there, start here."""
    cost = "Clients wait while the group stops on one node and starts on the other."
    call.approve(f"Switch {call.pair.cluster}?", f"{one_line(call.view)}.", cost)
    return _carry_out(call, Verb.SWITCH)


@click.command()
@name_argument("node")
@yes_option
@_verb
def set_active(call: Call, node: str) -> ExitCode:
    """Say on which node the next bring-in starts the group. Only while it is out; else switch."""
    target = _known(call.view, node)
    call.approve(f"Let {target} be the node where {call.pair.cluster} starts?", f"{one_line(call.view)}.")
    return _carry_out(call, Verb.SET_ACTIVE, target)


@click.command()
@click.argument("state", type=click.Choice(["on", "off"]))
@yes_option
@_verb
def maintenance(call: Call, state: str) -> ExitCode:
    """Hold all automatic moves and leave resources alone (on), or allow them again (off)."""
    stakes = ["Nothing fails over until maintenance is off."] if state == "on" else []
    call.approve(f"Maintenance of {call.pair.cluster} {state}?", *stakes)
    return _carry_out(call, Verb.MAINTENANCE_ON if state == "on" else Verb.MAINTENANCE_OFF)


@click.command()
@click.option("--force", is_flag=True, help="Needed: it says that you answer for the other node.")
@click.option("--node", help="The node that takes over; without it, the one that answers and is not active.")
@confirm_option
@_verb
def takeover(call: Call, force: bool, node: str | None) -> ExitCode:
    """Force the group onto a node by the operator's word, when the pair can't decide by itself.

    The other node must be off for sure. There is no --yes here: the cluster's name is asked for.
    """
    if not force:
        raise RefusedError(
            "takeover passes over the rules that keep two nodes from being active at once",
            hint="a clean move is hsorch switch; if the other node is off for sure, add --force",
            code="HS913",
        )
    name = call.pair.cluster
    target = _known(call.view, node) if node else _candidate(call.view)
    call.approve(f"Force {target} to take over {name}?", *_takeover_stakes(call.view, target), word=name)
    return _carry_out(call, Verb.TAKEOVER, target, via=target)


def _carry_out(call: Call, verb: Verb, target: str = "", *, via: str = "") -> ExitCode:
    """Send the verb to `via` if it can be asked, else to the active node, else to any; then look again."""
    pair = call.pair
    order = _order(call, verb, target)
    node = via if via in pair.nodes else _door(call.view.reports)
    answer = _send(call, order, node)
    after = look(pair)
    outage = _outage(after) if verb in MOVES else None
    message = answer.get("message", f"{verb.value}: done")
    if call.format_ == "json":
        result = {
            "format_version": "1.0",
            "operation_id": order.id,
            "verb": verb.value,
            "via": node,
            **answer,
        }
        lights = {"up": after.up, "protected": after.protected, "active": list(after.active)}
        call.terminal.print(json.dumps(result | lights | {"outage_ms": outage}, ensure_ascii=False))
    else:
        lost = f"; the group was away for {outage} ms" if outage is not None else ""
        behind = lacking(after) if verb is Verb.BRING_OUT else []
        call.terminal.print("\n".join([message, f"{one_line(after)}{lost}", *behind]))
    return ExitCode.OK


def _order(call: Call, verb: Verb, target: str) -> Operate:
    return Operate(
        cluster=call.pair.cluster,
        verb=verb.value,
        actor=actor(),
        id=secrets.token_hex(8),
        target=target,
        timeout_ms=int(call.timeout * 1000),
    )


def _send(call: Call, order: Operate, node: str) -> dict[str, str]:
    """Returns when the pair got there. Raises what the node refused with."""
    log.info("operation %s: %s %s of %s through %s", order.id, order.verb, order.target, order.cluster, node)
    return call.pair.ask(node, "operate", order, dict[str, str], timeout=call.timeout + ANSWER_MARGIN_S)


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
        said = f"does not answer ({node.error.message})" if node.error is not None else "answers"
        lines.append(
            f"{node.name} {said}. If it still runs the group, both nodes will, and data will part ways."
        )
    lines += [f"{report.node} has data that are behind." for report in view.reports if report.stale]
    return lines + worth(view, target)
