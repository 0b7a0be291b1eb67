"""`hsorch verify` and `hsorch release-deletions`: words to the source of the data, and how it goes on."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator

import click

from hsorch.cli.console import Terminal
from hsorch.cli.nodes import Pair, look, open_pair
from hsorch.cli.options import approve, confirm_option, format_option, pair_argument
from hsorch.cli.pairview import PairView
from hsorch.cli.render.data_text import progress_line, size
from hsorch.errors import ExitCode, NodeError, RefusedError, UsageError
from hsorch.node.operate_data import DataOrder
from hsorch.node.replication.orders import ReplicationStatus
from hsorch.plan.actor import actor
from hsorch.verbs import DataReport

EVERY_S = 1.0
BEGINS_WITHIN_S = 15.0


@click.command()
@pair_argument
@click.option("--no-wait", is_flag=True, help="Only begin; hsorch status shows how far it is.")
@format_option("text", "json")
@click.pass_obj
def verify(terminal: Terminal, manifest: str | None, here: bool, no_wait: bool, format_: str) -> ExitCode:
    """Compare the data of both nodes now, and repair what differs on the standby.

    The application goes on meanwhile. Exit code 0 when both were equal, 2 when something was repaired.
    """
    with open_pair(manifest, here=here) as pair:
        before = look(pair)
        source = _source(before)
        last = _stamps(_report(before, source))
        order = _order(pair)
        pair.ask(source, "verify", order, ReplicationStatus)
        if no_wait:
            begun = f"{source} compares its data with the other node's; hsorch status shows it."
            terminal.print(_begun(pair, order, source=source) if format_ == "json" else begun)
            return ExitCode.OK
        end = _wait(terminal, pair, source, last)
        differs = end.differing_bytes > 0 or end.differing_names > 0
        if format_ == "json":
            value = {
                "format_version": "1.0",
                "cluster": pair.cluster,
                "checked_bytes": end.checked_bytes,
                "differing_bytes": end.differing_bytes,
                "differing_names": end.differing_names,
                "verified": end.verified,
            }
            terminal.print(json.dumps(value))
        else:
            names = f", {end.differing_names} names were put right" if end.differing_names else ""
            said = f"{size(end.differing_bytes)} differed and was sent anew{names}" if differs else "equal"
            terminal.print(f"{pair.cluster}: {size(end.checked_bytes)} compared at {end.verified}: {said}")
        return ExitCode.CHANGES if differs else ExitCode.OK


@click.command()
@click.option("--path", default="", metavar="FOLDER", help="Only of this bound folder.")
@confirm_option
@pair_argument
@format_option("text", "json")
@click.pass_obj
def release_deletions(
    terminal: Terminal, path: str, confirm: str | None, manifest: str | None, here: bool, format_: str
) -> ExitCode:
    """Let deletions through that were held back because they were so many (a formatted disk?).

    The standby deletes them, too, and keeps none. There is no --yes here: the cluster's name is asked for.
    """
    with open_pair(manifest, here=here) as pair:
        view = look(pair)
        source = _source(view)
        bound = _report(view, source).bindings
        _must_be_bound(pair, path, [b.path for b in bound])
        held = [b for b in bound if b.held and path in ("", b.path)]
        order, files = _order(pair, path), sum(b.held for b in held)
        if not held:
            none = f"{source} holds no deletions back" + (f" of {path}" if path else "")
            terminal.print(_begun(pair, order, source=source, files=0) if format_ == "json" else none)
            return ExitCode.OK
        lines = [f"{b.path}: {b.held} files that are gone on {source} are still on the standby" for b in held]
        approve(
            terminal,
            f"Delete {files} files on the standby?",
            word=pair.cluster,
            stakes=lines,
            confirm=confirm,
        )
        pair.ask(source, "release-deletions", order, ReplicationStatus)
        done = f"{source} lets the deletions through; hsorch status shows it."
        terminal.print(_begun(pair, order, source=source, files=files) if format_ == "json" else done)
        return ExitCode.OK


def _must_be_bound(pair: Pair, path: str, bound: list[str]) -> None:
    if path and path not in bound:
        raise UsageError(
            f"{pair.cluster} binds no folder {path}",
            hint=f"its folders are {', '.join(sorted(bound))}",
            code="HS917",
        )


def _begun(pair: Pair, order: DataOrder, **more: str | int) -> str:
    value = {"format_version": "1.0", "cluster": pair.cluster, "operation_id": order.id}
    return json.dumps(value | more)


def _stamps(data: DataReport) -> dict[str, str]:
    """When the ordered folders as a whole ("") and each folder were last compared."""
    return {"": data.verified, **{binding.path: binding.verified for binding in data.bindings}}


def _wait(terminal: Terminal, pair: Pair, source: str, last: dict[str, str]) -> DataReport:
    """Until comparisons of all that are younger than `last` are through, a line of progress each second.

    Raises NodeError HS634: it would delete too much. HS943: it ended, or never began.
    """
    begun = time.monotonic()
    for data in _looks(pair, source):
        now = _stamps(data)
        if all(now[name] != last.get(name) for name in now):
            return data
        if data.phase in ("verify", "mirror"):  # a resync goes first, or takes its place
            begun = time.monotonic()
            terminal.tell(progress_line(data))
        elif time.monotonic() - begun > BEGINS_WITHIN_S:
            raise _ended(data, source)
    raise AssertionError("looks never end")


def _ended(data: DataReport, source: str) -> NodeError:
    held = ", ".join(f"{b.held} files of {b.path}" for b in data.bindings if b.held)
    if held:
        return NodeError(
            f"the comparison waits for a word: {held} are gone on {source}, and the standby has them",
            hint="is the disk whole? If they are meant to be gone: hsorch release-deletions",
            code="HS634",
        )
    return NodeError(
        f"the comparison did not come to its end: the replication is '{data.phase}' now",
        hint="hsorch explain tells what is in the way; hsorch verify begins again",
        code="HS943",
    )


def _looks(pair: Pair, source: str) -> Iterator[DataReport]:
    while True:
        yield _report(look(pair), source)
        time.sleep(EVERY_S)


def _source(view: PairView) -> str:
    """Raises RefusedError HS942: nobody is the source, so nothing flows."""
    view.require_one()
    for report in view.reports:
        if report.data is not None and report.data.role == "source":
            return report.node
    raise RefusedError(
        f"no node of {view.cluster} that answers is the source of its data",
        hint="the group must run: hsorch bring-in; with --here: run it on the active node",
        code="HS942",
    )


def _report(view: PairView, source: str) -> DataReport:
    """Raises NodeError HS942: the source cannot be asked any more."""
    found = next((r.data for r in view.reports if r.node == source and r.data is not None), None)
    if found is None:
        raise NodeError(
            f"{source} does not say how its data are any more",
            hint="hsorch status; what was begun goes on by itself",
            code="HS942",
        )
    return found


def _order(pair: Pair, path: str = "") -> DataOrder:
    return DataOrder(cluster=pair.cluster, actor=actor(), id=secrets.token_hex(8), path=path)
