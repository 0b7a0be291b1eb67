"""`hsorch init`: write a commented manifest from a few answers, and check it as validate does."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Interface
from pathlib import Path

import click

from hsorch.cli.console import Terminal
from hsorch.cli.options import DEFAULT_MANIFEST
from hsorch.cli.render.report import Checked, Report
from hsorch.cli.render.validate_text import text
from hsorch.errors import ExitCode, UsageError
from hsorch.manifest.diagnostics import Severity
from hsorch.manifest.load import load


@dataclass(frozen=True)
class Answers:
    """What a manifest can't do without. Addresses are CIDR text as typed."""

    cluster: str
    connect: str
    """lab or ssh."""
    nodes: tuple[str, str]
    service: tuple[str, str]
    heartbeat: tuple[str, str]
    vip: str
    unit: str


@click.command()
@click.argument("manifest", default=DEFAULT_MANIFEST, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--cluster", default="pair-1", show_default=True, help="Name of the pair.")
@click.option(
    "--connect",
    type=click.Choice(["lab", "ssh"]),
    default="lab",
    show_default=True,
    help="Nodes in the lab of this machine, or servers reached by SSH.",
)
@click.option("--nodes", nargs=2, default=("node-a", "node-b"), show_default=True, help="The two servers.")
@click.option(
    "--service",
    nargs=2,
    default=("10.77.0.11/24", "10.77.0.12/24"),
    show_default=True,
    help="Their addresses.",
)
@click.option(
    "--heartbeat",
    nargs=2,
    default=("10.77.1.1/30", "10.77.1.2/30"),
    show_default=True,
    help="Their addresses on the direct cable.",
)
@click.option("--vip", default="10.77.0.10/24", show_default=True, help="The address that clients use.")
@click.option("--unit", default="nginx", show_default=True, help="systemd unit to protect (ssh).")
@click.option("--ask/--no-ask", default=None, help="Ask for each value; the default on a terminal.")
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
@click.pass_obj
def init(
    terminal: Terminal,
    manifest: Path,
    cluster: str,
    connect: str,
    nodes: tuple[str, str],
    service: tuple[str, str],
    heartbeat: tuple[str, str],
    vip: str,
    unit: str,
    ask: bool | None,
    force: bool,
) -> ExitCode:
    """Write a commented manifest, cluster.yaml by default, from a few answers or options."""
    if manifest.exists() and not force:
        raise UsageError(
            f"{manifest} is there already",
            hint="name another file, or add --force to overwrite it",
            code="HS905",
        )
    answers = Answers(cluster, connect, nodes, service, heartbeat, vip, unit)
    if terminal.interactive if ask is None else ask:
        answers = _ask(answers)
    try:
        manifest.write_text(manifest_text(answers), encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{manifest} can't be written: {error.strerror}",
            hint="name a file in a folder of yours",
            code="HS905",
        ) from error
    report = Report((Checked(str(manifest), load(manifest)),))
    if report.count(Severity.ERROR):
        terminal.print(text(report))
        terminal.tell(f"{manifest} is written, but with these answers it needs your hand")
        return ExitCode.INVALID
    terminal.tell(f"{manifest} is written. Next: hsorch validate {manifest}, then hsorch plan {manifest}")
    return ExitCode.OK


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{path} can't be written: {error.strerror}",
            hint="name a file in a folder of yours",
            code="HS905",
        ) from error


def manifest_text(answers: Answers) -> str:
    """The manifest, with the reason of each choice beside it."""
    (first, second), (one, two) = answers.nodes, answers.service
    direct = answers.heartbeat
    return f"""\
# A hot-standby pair. Reference of all keys: docs/reference/manifest.md
version: 1
cluster: {answers.cluster}

servers:
  {first}:
    connect: {_connect(answers, one)}
    nics:
      service: {{name: eth0, address: {one}}}  # carries the VIP; clients come here
      heartbeat: {{name: eth1, address: {direct[0]}}}  # direct cable to the other server
  {second}:
    connect: {_connect(answers, two)}
    nics:
      service: {{name: eth0, address: {two}}}
      heartbeat: {{name: eth1, address: {direct[1]}}}

preferred: {first}  # active at first

# Heartbeats run on every link. Two links over disjoint networks are the norm:
# one cable may then fail without anybody noticing.
links:
  direct: {{nic: heartbeat, port: 3000}}
  lan: {{nic: service, port: 3000}}

{_witness(answers)}

group:
  name: {answers.cluster}
  desired_state: in  # the first apply starts the group
  vip: {{address: {answers.vip}, nic: service}}
{_workload(answers)}
policy:
  timing: default  # fast: detects within half a second, on a quiet network
  on_resource_error: failover
"""


def _connect(answers: Answers, address: str) -> str:
    if answers.connect == "lab":
        return "{lab: {}}"
    host = address.partition("/")[0]
    return f"{{ssh: {{host: {host}, user: root, known_hosts: ./known_hosts}}}}"


def _witness(answers: Answers) -> str:
    if answers.connect == "lab":
        return """\
# The third vote: the lab makes this machine too, on a network of its own.
witness:
  http:
    url: http://10.78.0.5:7350
    token: {file: /var/lib/hsorch/witness.token}"""
    return f"""\
# The third vote. Without one, a takeover after a crash needs an operator. Better is one of:
#   witness: {{share: /mnt/witness/{answers.cluster}}}   a folder of one file server, mounted on both
#   witness: {{http: {{url: "http://192.0.2.9:7350", token: {{file: /etc/hsorch/witness-token}}}}}}
witness: none"""


def _workload(answers: Answers) -> str:
    if answers.connect == "ssh":
        return f'  services:\n    {answers.unit}: {{probe: {{http: "http://{{vip}}/", timeout: 5s}}}}\n'
    return (
        "  processes:\n"
        "    web:\n"
        '      command: [/usr/bin/python3, -m, http.server, "8080"]\n'
        '      probe: {http: "http://{vip}:8080/", timeout: 5s}\n'
    )


def _ask(given: Answers) -> Answers:
    """Each question shows what is written when the answer is empty."""
    cluster = click.prompt("Name of the pair", default=given.cluster, err=True)
    connect = click.prompt(
        "Try it in the lab on this machine, or reach two servers by SSH?",
        type=click.Choice(["lab", "ssh"]),
        default=given.connect,
        err=True,
    )
    nodes = _ask_two("Host name", given.nodes, ("first", "second"))
    service = _ask_two("Service address", given.service, nodes, cidr=True)
    heartbeat = _ask_two("Heartbeat address (direct cable)", given.heartbeat, nodes, cidr=True)
    vip = click.prompt("VIP, the address that clients use", default=given.vip, value_proc=_cidr, err=True)
    unit = given.unit
    if connect == "ssh":
        unit = click.prompt("systemd unit to protect", default=given.unit, err=True)
    return Answers(cluster, connect, nodes, service, heartbeat, vip, unit)


def _ask_two(
    question: str, given: tuple[str, str], whose: tuple[str, str], *, cidr: bool = False
) -> tuple[str, str]:
    first, second = (
        click.prompt(f"{question} of {who}", default=value, value_proc=_cidr if cidr else None, err=True)
        for who, value in zip(whose, given, strict=True)
    )
    return first, second


def _cidr(text: str) -> str:
    """click asks again after a UsageError."""
    try:
        if "/" in text:
            return str(IPv4Interface(text))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    raise click.UsageError(f"'{text}' has no prefix length; write it like 10.77.0.11/24")
