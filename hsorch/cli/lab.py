"""`hsorch lab`: the embedded pair. Words → one call of hsorch.lab → lines."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from hsorch.cli.console import Terminal
from hsorch.cli.options import DEFAULT_MANIFEST, format_option, manifest_argument
from hsorch.errors import LabError, UsageError

F = TypeVar("F", bound=Callable[..., Any])


@click.group()
def lab() -> None:
    """The embedded pair: two nodes, a client and a witness in namespaces on this machine."""


def cluster_option(function: F) -> F:
    """`--cluster NAME` as `cluster: str | None`."""
    return click.option("--cluster", metavar="NAME", help="Which lab, when several are up.")(function)


@lab.command()
@manifest_argument
@click.pass_obj
def up(terminal: Terminal, manifest: Path) -> None:
    """Make the lab that a manifest asks for and boot its machines. `hsorch apply` does this by itself."""
    from hsorch.lab import lifecycle

    spec = spec_of(manifest)
    state = lifecycle.up(spec, manifest.parent)
    terminal.tell(f"The lab of {state.cluster} is up: {', '.join(state.hosts)}.")


@lab.command()
@click.argument("cluster", required=False, metavar="[NAME]")
@click.option("--all", "every", is_flag=True, help="All labs of this user.")
@click.pass_obj
def down(terminal: Terminal, cluster: str | None, every: bool) -> None:
    """End a lab; nothing of it is left: processes, interfaces, disks, files."""
    from hsorch.lab import lifecycle
    from hsorch.plan import journal

    names = [state.cluster for state in lifecycle.labs()] if every else [cluster or _only_lab()]
    for name in names:
        was_up = lifecycle.down(name)
        if was_up:
            journal.forget(name)
        terminal.tell(f"The lab of {name} is down." if was_up else f"The lab of {name} was not up.")


@lab.command()
@click.argument("cluster", required=False, metavar="[NAME]")
@format_option("text", "json")
@click.pass_obj
def status(terminal: Terminal, cluster: str | None, format_: str) -> None:
    """The machines of all labs (or of one), whether they are on, and the faults that stand."""
    import msgspec

    from hsorch.lab import lifecycle

    labs = [lifecycle.one(cluster)] if cluster else lifecycle.labs()
    if format_ == "json":
        terminal.print(msgspec.json.encode(labs).decode())
        return
    if not labs:
        terminal.print("No lab is up.")
    for state in labs:
        terminal.print(f"{state.cluster}{' (user namespace)' if state.user_namespace else ''}")
        for host in state.hosts.values():
            terminal.print(f"  {host.name:<16} {host.kind:<8} {host.power:<7} {'  '.join(host.addresses)}")
        terminal.print(f"  faults: {'; '.join(state.faults) or 'none'}")


@lab.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@cluster_option
@click.argument("machine")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_(cluster: str | None, machine: str, command: tuple[str, ...]) -> int:
    """Run a program on a machine of the lab; its exit code is passed through."""
    from hsorch.lab import lifecycle

    argv = command[1:] if command[0] == "--" else command
    done = subprocess.run(lifecycle.command_inside(cluster or _only_lab(), machine, argv), check=False)
    # A program that a signal ended: as a shell reports it.
    return done.returncode if done.returncode >= 0 else 128 - done.returncode


@lab.command()
@cluster_option
@click.argument("machine")
@click.pass_obj
def boot(terminal: Terminal, cluster: str | None, machine: str) -> None:
    """Switch a machine on again after a crash or shutdown."""
    from hsorch.lab import lifecycle

    terminal.tell(f"{lifecycle.boot(cluster or _only_lab(), machine)} is on.")


@lab.command(context_settings={"ignore_unknown_options": True})
@cluster_option
@click.option("--for", "duration", metavar="TIME", help="Heal it after this time: 500ms, 10s, 1m.")
@click.option("--list", "wanted", is_flag=True, help="List the kinds of faults.")
@click.argument("kind", required=False)
@click.argument("arguments", nargs=-1)
@click.pass_obj
def fault(
    terminal: Terminal,
    cluster: str | None,
    duration: str | None,
    wanted: bool,
    kind: str | None,
    arguments: tuple[str, ...],
) -> None:
    """Break something: hsorch lab fault KIND [NODE] [ARGUMENTS] [--for 10s]."""
    from hsorch.lab import lifecycle
    from hsorch.lab.faults import KINDS

    if wanted or kind is None:
        for name, about in KINDS.items():
            terminal.print(f"{' '.join((name, *about.takes)):<32} {about.help}")
        return
    seconds = _seconds(duration) if duration else 0.0
    done = lifecycle.fault(cluster or _only_lab(), kind, arguments, for_s=seconds)
    if not KINDS[kind].standing:
        terminal.tell(f"Done: {done}.")
    elif seconds:
        terminal.tell(f"Stands for {duration}: {done}.")
    else:
        terminal.tell(f"Stands until healed: {done}.")


@lab.command()
@cluster_option
@click.pass_obj
def heal(terminal: Terminal, cluster: str | None) -> None:
    """Undo every fault and switch on what is off."""
    from hsorch.lab import lifecycle

    healed = lifecycle.heal(cluster or _only_lab())
    terminal.tell(f"Healed: {healed}." if healed else "Nothing was broken.")


@lab.command()
@cluster_option
@click.option("--url", help="What the client asks for; without it http://VIP:8080/.", metavar="URL")
@click.option("--for", "duration", default="10s", show_default=True, metavar="TIME", help="How long.")
@format_option("text", "json")
@click.pass_obj
def probe(terminal: Terminal, cluster: str | None, url: str | None, duration: str, format_: str) -> None:
    """The client's view: a request to the VIP each 10 ms; who answered, and the longest gap."""
    import msgspec

    from hsorch.lab.probe import Probe, default_url

    name = cluster or _only_lab()
    with Probe(name, url or default_url(name), _seconds(duration)) as running:
        report = running.wait()
    if format_ == "json":
        terminal.print(msgspec.json.encode(report).decode())
        return
    terminal.print(report.summary())


def spec_of(manifest: Path) -> Any:
    """The Spec of a manifest whose servers are all in the lab. Raises ManifestInvalid, UsageError HS905."""
    from hsorch.cli.nodes import load_cluster
    from hsorch.manifest.model import LabConnect
    from hsorch.plan.spec import compile_spec

    cluster = load_cluster(manifest)
    elsewhere = [server.name for server in cluster.servers if not isinstance(server.connect, LabConnect)]
    if elsewhere:
        raise UsageError(
            f"{manifest} is not about a lab: {', '.join(elsewhere)} are reached another way",
            hint="connect: {lab: {}} for both servers makes it one",
            code="HS810",
        )
    return compile_spec(cluster)


def _only_lab() -> str:
    """Raises LabError when it is not clear which lab is meant."""
    from hsorch.lab import lifecycle

    names = [state.cluster for state in lifecycle.labs()]
    if len(names) == 1:
        return names[0]
    if Path(DEFAULT_MANIFEST).exists():
        return str(spec_of(Path(DEFAULT_MANIFEST)).cluster)
    raise LabError(
        f"several labs are up: {', '.join(names)}" if names else "no lab is up",
        hint="say which: --cluster NAME" if names else "hsorch apply examples/lab/cluster.yaml makes one",
        code="HS801",
    )


def _seconds(text: str) -> float:
    for suffix, factor in (("ms", 0.001), ("s", 1.0), ("m", 60.0)):
        number = text.removesuffix(suffix)
        if number != text and number.replace(".", "", 1).isdigit():
            return float(number) * factor
    raise UsageError(f"'{text}' is no time", hint="write 500ms, 10s or 1m", code="HS811")
