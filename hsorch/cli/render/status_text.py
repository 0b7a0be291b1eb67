"""The status of a pair on one screen: two lights, both nodes side by side, limits, last events."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click
from rich.cells import cell_len

from hsorch.cli.pairview import NodeView, PairView
from hsorch.cli.render.data_text import data_rows
from hsorch.errors import HsorchError
from hsorch.verbs import EventRecord, LinkReport, StatusReport

EVENTS_SHOWN = 6
GAP = 3
STATUS_COLORS = {"running": "green", "failed": "red", "starting": "yellow", "stopping": "yellow"}
SEVERITY_COLORS = {"warning": "yellow", "alarm": "red"}


def status_text(view: PairView) -> str:
    """All sections, parted by empty lines; a section without content is left out."""
    sections = [
        _lights(view), _nodes(view), _links(view), _data(view), _resources(view), _limits(view), _events(view)
    ]  # fmt: skip
    return "\n\n".join(section for section in sections if section)


def one_line(view: PairView) -> str:
    """`plant-7: UP, PROTECTED, active on a`, for the end of an operation."""
    up, protected = ("UP" if view.up else "DOWN"), ("PROTECTED" if view.protected else "NOT PROTECTED")
    return f"{view.cluster}: {up}, {protected}, {_whereabouts(view)}"


def event_line(event: EventRecord) -> str:
    """`time node severity kind message [code]`."""
    severity = click.style(f"{event.severity:<7}", fg=SEVERITY_COLORS.get(event.severity))
    code = f" [{event.code}]" if event.code else ""
    return f"{event.time}  {event.node}  {severity}  {event.kind}: {event.message}{code}"


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Cells under each other, as wide as the widest; styles do not count."""
    widths = [max(cell_len(click.unstyle(row[at])) for row in rows) for at in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell + " " * (width - cell_len(click.unstyle(cell)))
            for cell, width in zip(row, widths, strict=True)
        ]
        lines.append((" " * GAP).join(cells).rstrip())
    return "\n".join(lines)


def _lights(view: PairView) -> str:
    if len(view.active) > 1:
        return click.style(
            f"{view.cluster}   CONFLICT: {' and '.join(view.active)} are both named as active",
            fg="red",
            bold=True,
        )
    up = _light("UP", "DOWN", view.up)
    protected = _light("PROTECTED", "NOT PROTECTED", view.protected)
    return f"{click.style(view.cluster, bold=True)}   {up}   {protected}   {_whereabouts(view)}"


def _light(on: str, off: str, lit: bool) -> str:
    return (
        click.style(f"● {on}", fg="green", bold=True) if lit else click.style(f"○ {off}", fg="red", bold=True)
    )


def _whereabouts(view: PairView) -> str:
    where = f"active on {' and '.join(view.active)}" if view.active else "active nowhere"
    if not view.active and any(report.desired == "out" for report in view.reports):
        where = "out, as wished"
    if any(report.maintenance for report in view.reports):
        where += ", maintenance"
    return where


def _nodes(view: PairView) -> str:
    rows = [
        ["", *(click.style(node.name, bold=True) for node in view.nodes)],
        ["role", *(_role(node) for node in view.nodes)],
        ["epoch", *(_of(node, lambda r: f"{r.epoch_major}.{r.epoch_minor}") for node in view.nodes)],
        ["lease", *(_of(node, _lease) for node in view.nodes)],
        ["revision", *(_of(node, lambda r: f"{r.revision} ({r.digest[:8]})") for node in view.nodes)],
        ["witness", *(_of(node, lambda r: _good(r.witness, r.witness == "ok")) for node in view.nodes)],
        ["fenced by", *(_of(node, _fencing) for node in view.nodes)],
        ["runtime", *(_of(node, lambda r: f"{r.version} (wire {r.wire})") for node in view.nodes)],
    ]
    if any(report.last_outage_ms >= 0 for report in view.reports):
        rows.append(["last move", *(_of(node, _outage) for node in view.nodes)])
    text = columns(rows)
    return "\n".join([text, *(_failure(node.name, node.error) for node in view.nodes if node.error)])


def _failure(name: str, error: HsorchError) -> str:
    return f"{name}: {click.style(error.code, fg='red')} {error.message}\n    help: {error.hint}"


def _of(node: NodeView, cell: Callable[[StatusReport], str]) -> str:
    return cell(node.report) if node.report is not None else "-"


def _role(node: NodeView) -> str:
    if node.report is None:
        return click.style("no answer", fg="red")
    report = node.report
    color = "green" if report.role in ("active", "active-solo", "standby", "idle") else "yellow"
    notes = [
        word for word, said in (("data behind", report.stale), ("peer unseen", not report.peer_seen)) if said
    ]
    return click.style(report.role, fg=color) + (f" ({', '.join(notes)})" if notes else "")


def _lease(report: StatusReport) -> str:
    if not report.lease_left_ms:
        return "none runs"
    verb = "holds" if report.role.startswith("active") else "waits"
    return f"{verb} {report.lease_left_ms} ms"


def _fencing(report: StatusReport) -> str:
    return report.assurance if report.guard_alive else click.style("nothing: the guard is dead", fg="red")


def _outage(report: StatusReport) -> str:
    return f"{report.last_outage_ms} ms" if report.last_outage_ms >= 0 else "-"


def _good(text: str, good: bool) -> str:
    return click.style(text, fg="green" if good else "yellow")


def _links(view: PairView) -> str:
    names = dict.fromkeys(link.name for report in view.reports for link in report.links)
    if not names:
        return ""
    rows = [[click.style("links", bold=True), *(node.name for node in view.nodes)]]
    rows += [[name, *(_link(node, name) for node in view.nodes)] for name in names]
    return columns(rows)


def _link(node: NodeView, name: str) -> str:
    found = [link for link in node.report.links if link.name == name] if node.report else []
    return _link_cell(found[0]) if found else "-"


def _link_cell(link: LinkReport) -> str:
    state = click.style("up", fg="green") if link.up else click.style("down", fg="red")
    seen = link.received + link.lost
    loss = f", {100 * link.lost / seen:.1f} % lost" if link.lost and seen else ""
    rejected = f", {link.rejected} rejected" if link.rejected else ""
    trip = f" {link.rtt_us / 1000:.1f} ms" if link.up and link.rtt_us else ""
    return f"{state}{trip}{loss}{rejected}"


def _data(view: PairView) -> str:
    rows = data_rows(view)
    return columns(rows) if rows else ""


def _resources(view: PairView) -> str:
    names = dict.fromkeys(resource.name for report in view.reports for resource in report.resources)
    if not names:
        return ""
    rows = [[click.style("resources", bold=True), *(node.name for node in view.nodes)]]
    rows += [[name, *(_resource(node, name) for node in view.nodes)] for name in names]
    return columns(rows)


def _resource(node: NodeView, name: str) -> str:
    for resource in node.report.resources if node.report else ():
        if resource.name == name:
            state = click.style(resource.status, fg=STATUS_COLORS.get(resource.status))
            # What a stopped resource said last is of no use any more.
            shows = resource.detail and resource.status != "stopped"
            return f"{state}: {resource.detail}" if shows else state
    return "-"


def _limits(view: PairView) -> str:
    lines = [
        f"  {report.node}: {click.style(limit.code, fg='yellow')} {limit.message}\n      help: {limit.hint}"
        for report in view.reports
        for limit in report.limits
    ]
    title = "before a takeover" if view.protected else "in the way of a takeover"
    return "\n".join([click.style(title, bold=True), *lines]) if lines else ""


def _events(view: PairView) -> str:
    shown = view.events[-EVENTS_SHOWN:]
    lines = [f"  {event_line(event)}" for event in shown]
    return "\n".join([click.style("last events", bold=True), *lines]) if lines else ""
