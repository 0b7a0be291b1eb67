"""`hsorch explain`: the page of a code; or, for a pair, why it could, could not or did fail over."""

from __future__ import annotations

import json
import re
from dataclasses import asdict

import click

from hsorch.cli.console import Terminal
from hsorch.cli.nodes import look, open_pair
from hsorch.cli.options import format_option
from hsorch.cli.pages import Page, page
from hsorch.errors import ExitCode, HsorchError, UsageError
from hsorch.verbs import EventRecord, EventsQuery

CODE = re.compile(r"HS\d+", re.IGNORECASE)
TOLD = 20
"""The newest warnings and alarms that are told."""


@click.command()
@click.argument("what", required=False, metavar="[CODE | MANIFEST]")
@click.option("--here", is_flag=True, help="This machine is a node of the pair; needs no manifest.")
@format_option("text", "json")
@click.pass_obj
def explain(terminal: Terminal, what: str | None, here: bool, format_: str) -> ExitCode:
    """Explain a code like HS212; or, for a pair, why it can, cannot, did or did not fail over.

    For a pair: every reason that stands in the way of a takeover, each with its way out, and the last moves.
    """
    if what is not None and CODE.fullmatch(what):
        if here:
            raise UsageError("a code and --here contradict each other", hint="leave --here out", code="HS906")
        found = page(what)
        terminal.print(_page_json(found) if format_ == "json" else _page_text(found))
        return ExitCode.OK
    with open_pair(what, here=here) as pair:
        view = look(pair)
        view.require_one()
        query = EventsQuery(cluster=pair.cluster, severity="warning", limit=TOLD)
        answers = pair.ask_all("events", query, list[EventRecord]).values()
    told = [event for answer in answers if not isinstance(answer, HsorchError) for event in answer]
    told.sort(key=lambda event: (event.time, event.node, event.id))
    if format_ == "json":
        from hsorch.cli.render.pair_data import explain_json

        terminal.print(explain_json(view, told[-TOLD:]))
    else:
        from hsorch.cli.render.explain_text import explain_text

        terminal.print(explain_text(view, told[-TOLD:]))
    return ExitCode.OK


def _page_text(found: Page) -> str:
    sections = [f"{click.style(name, bold=True)}\n{text}" for name, text in found.sections]
    title = click.style(f"{found.code}: {found.title}", fg="yellow", bold=True)
    return "\n\n".join([title, *sections])


def _page_json(found: Page) -> str:
    return json.dumps({"format_version": "1.0", **asdict(found)}, indent=2, ensure_ascii=False)
