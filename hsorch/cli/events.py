"""`hsorch events`: the event logs of both nodes, merged by time. Filters are applied where the log is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import click

from hsorch.cli.console import Terminal
from hsorch.cli.nodes import Pair, open_pair
from hsorch.cli.options import format_option, pair_argument
from hsorch.errors import ExitCode, HsorchError
from hsorch.node.operate import Tail
from hsorch.verbs import EventRecord, EventsQuery

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
FOLLOW_WAIT_MS = 1_000
"""How long a node holds a question open until something happens."""


def _moment(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    """`90s`, `15m`, `2h`, `3d` back from now, or RFC 3339, becomes RFC 3339 in UTC."""
    if not value:
        return ""
    if value[-1] in UNITS and value[:-1].isdigit():
        moment = datetime.now(UTC) - timedelta(seconds=int(value[:-1]) * UNITS[value[-1]])
    else:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise click.BadParameter(
                f"'{value}' is neither an age like 15m nor a time like 2026-01-31T08:00:00Z"
            ) from None
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


@click.command()
@pair_argument
@format_option("text", "json", "legacy")
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens, until Ctrl-C.")
@click.option(
    "--severity", type=click.Choice(["info", "warning", "alarm"]), default="info", help="At least this."
)
@click.option("--kind", default="", help="Only records of this kind.")
@click.option("--since", callback=_moment, metavar="TIME", default="", help="An age (15m, 2h) or a time.")
@click.option("-n", "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="At most.")
@click.pass_obj
def events(
    terminal: Terminal,
    manifest: str | None,
    here: bool,
    format_: str,
    follow: bool,
    severity: str,
    kind: str,
    since: str,
    limit: int,
) -> ExitCode:
    """The event log of both nodes, oldest first. json: one record a line; legacy: the old product's lines."""
    with open_pair(manifest, here=here) as pair:
        query = EventsQuery(cluster=pair.cluster, limit=limit, severity=severity, kind=kind)
        reader = _Reader(terminal, pair, query)
        line = _liner(format_)
        found = [record for record in reader.read() if record.time >= since]
        for record in found[-limit:]:
            terminal.print(line(record))
        while follow:
            for record in reader.wait():
                terminal.print(line(record))
            sys.stdout.flush()
    return ExitCode.OK


class _Reader:
    """Reads both logs and remembers how far it came in each."""

    def __init__(self, terminal: Terminal, pair: Pair, query: EventsQuery) -> None:
        self._terminal = terminal
        self._pair = pair
        self._query = query
        self._last = dict.fromkeys(pair.nodes, 0)
        self._silent: set[str] = set()

    def read(self) -> list[EventRecord]:
        """Records of both nodes. A node that can't be asked is told of; raises its error if none can."""
        answers = self._pair.ask_all("events", self._query, list[EventRecord])
        if all(isinstance(answer, HsorchError) for answer in answers.values()):
            raise next(answer for answer in answers.values() if isinstance(answer, HsorchError))
        return self._merged(answers)

    def wait(self) -> list[EventRecord]:
        """What came since the last time; waits a little when nothing did."""
        return self._merged(self._pair.ask_each("tail", self._tails(), list[EventRecord]))

    def _tails(self) -> dict[str, Tail]:
        query = self._query
        return {
            node: Tail(
                cluster=query.cluster,
                after=last,
                limit=query.limit,
                severity=query.severity,
                kind=query.kind,
                wait_ms=FOLLOW_WAIT_MS,
            )
            for node, last in self._last.items()
        }

    def _merged(self, answers: dict[str, list[EventRecord] | HsorchError]) -> list[EventRecord]:
        merged: list[EventRecord] = []
        for node, answer in answers.items():
            if isinstance(answer, HsorchError):
                if node not in self._silent:
                    self._terminal.tell(f"{node} can't be asked: [{answer.code}] {answer.message}")
                self._silent.add(node)
                continue
            self._silent.discard(node)
            merged += answer
            self._last[node] = max([self._last[node], *(record.id for record in answer)])
        return sorted(merged, key=lambda record: (record.time, record.node, record.id))


def _liner(format_: str) -> Callable[[EventRecord], str]:
    if format_ == "json":
        from hsorch.cli.render.pair_data import event_json

        return event_json
    if format_ == "legacy":
        from hsorch.node.events import legacy_line

        return legacy_line
    from hsorch.cli.render.status_text import event_line

    return event_line
