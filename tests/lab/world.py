"""Labs for tests: a bare one (machines without hsorch) and a pair (applied and protected).

Everything goes through what users have: the command line, and the client of the lab.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from hsorch.errors import HsorchError
from hsorch.lab import lifecycle
from hsorch.lab.probe import Probe, default_url
from hsorch.node.operate import Ask
from hsorch.transport import door
from hsorch.transport.lab import LabTransport
from hsorch.verbs import EventRecord, EventsQuery, StatusReport

EXAMPLES = Path(__file__).parents[2] / "examples" / "lab"
KNOCK = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], 9), 1.0)
except ConnectionRefusedError:
    print("refused")
except OSError:
    print("nothing")
"""
HSORCH = [sys.executable, "-m", "hsorch.cli.main"]

T = TypeVar("T")


def hsorch(*arguments: str, timeout: float = 120.0, check: bool = True) -> subprocess.CompletedProcess[str]:
    """The command line, in a process of its own."""
    command = [*HSORCH, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired as late:
        said = b"".join(part for part in (late.stdout, late.stderr) if isinstance(part, bytes)).decode()
        raise AssertionError(f"hsorch {' '.join(arguments)} → nothing within {timeout:g} s\n{said}") from None
    if check and done.returncode != 0:
        raise AssertionError(f"hsorch {' '.join(arguments)} → {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def until(what: str, probe: Callable[[], T | None], limit_s: float = 20.0) -> T:
    """First true value of probe; the limit is generous, a slow machine must not fail a test."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        value = probe()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"within {limit_s:g} s not: {what}")


def copy_example(folder: Path, cluster: str, example: str = "cluster.yaml") -> Path:
    """A manifest of the examples under a name of its own, with the programs beside it."""
    text = (EXAMPLES / example).read_text()
    name = next(line for line in text.splitlines() if line.startswith("cluster:"))
    manifest = folder / "cluster.yaml"
    manifest.write_text(text.replace(name, f"cluster: {cluster}"))
    for name in ("app.py", "customer.py", "database.sh", "database.sql"):
        shutil.copy(EXAMPLES / name, folder)
    return manifest


@dataclass(frozen=True)
class Lab:
    """A lab that is up."""

    cluster: str
    manifest: Path

    def exec(self, machine: str, *argv: str, timeout: float = 20.0) -> subprocess.CompletedProcess[str]:
        command = lifecycle.command_inside(self.cluster, machine, argv)
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)

    def fault(self, kind: str, *arguments: str, for_s: float = 0.0) -> None:
        lifecycle.fault(self.cluster, kind, arguments, for_s=for_s)

    def heal(self) -> None:
        lifecycle.heal(self.cluster)

    def hears(self, machine: str, address: str) -> bool:
        """The machine gets an answer from the address: a refusal of a port where nobody listens is one."""
        return self.exec(machine, "python3", "-c", KNOCK, address).stdout == "refused\n"

    def probe(self) -> Probe:
        return Probe(self.cluster, default_url(self.cluster))


@dataclass(frozen=True)
class Pair(Lab):
    """A lab whose two nodes protect the example application."""

    nodes: tuple[str, str] = ("node-a", "node-b")

    def status(self, node: str) -> StatusReport | None:
        """None: the node cannot be asked."""
        transport = LabTransport(self.cluster, node)
        with suppress(HsorchError):
            return door.ask(transport, node, "status", Ask(cluster=self.cluster), StatusReport, timeout=10.0)
        return None

    def other(self, node: str) -> str:
        return next(name for name in self.nodes if name != node)

    @property
    def active(self) -> str:
        """The node with the group, as that node says itself; empty: none."""
        reports = (self.status(node) for node in self.nodes)
        return next((r.node for r in reports if r is not None and r.active == r.node), "")

    def vip_holders(self) -> list[str]:
        """Nodes whose NIC has the VIP: what counts, whatever anybody says."""
        vip = lifecycle.one(self.cluster).vip
        return [node for node in self.nodes if f" {vip}/" in self.exec(node, "ip", "-o", "addr").stdout]

    def events(self, node: str, after: int = 0) -> list[EventRecord]:
        query = EventsQuery(cluster=self.cluster, after=after, limit=1000)
        transport = LabTransport(self.cluster, node)
        return door.ask(transport, node, "events", query, list[EventRecord], timeout=10.0)

    def wait_active(self, node: str, limit_s: float = 20.0) -> None:
        self._until(f"{node} is active", lambda: self.active == node, limit_s)

    def wait_protected(self, limit_s: float = 40.0) -> None:
        """Both nodes say that a crash would be survived now."""

        def protected() -> bool:
            reports = [self.status(node) for node in self.nodes]
            return all(report is not None and report.up and report.protected for report in reports)

        self._until("the pair is protected", protected, limit_s)

    def _until(self, what: str, probe: Callable[[], bool], limit_s: float) -> None:
        try:
            until(what, probe, limit_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.describe()}") from None

    def describe(self) -> str:
        """For a failing test: how both nodes see it, and what they did last."""
        lines = []
        for node in self.nodes:
            report = self.status(node)
            if report is None:
                lines.append(f"{node}: no answer")
                continue
            lines.append(f"{node}: {report.role} {report.epoch_major}.{report.epoch_minor}")
            lines += [f"  {limit.code} {limit.message}" for limit in report.limits]
            lines += [f"  {event.time} {event.kind}: {event.message}" for event in report.events]
        return "\n".join(lines)

    def apply(self, protected_within_s: float = 40.0) -> None:
        try:
            hsorch("apply", str(self.manifest), "--yes")
        except AssertionError as failed:
            raise AssertionError(f"{failed}\n{self.describe()}") from None
        self.wait_protected(protected_within_s)

    def reset(self, active: str = "node-a") -> None:
        """As after apply: nothing broken, protected, this node active."""
        self.heal()
        self.wait_protected()
        if self.active != active:
            hsorch("switch", str(self.manifest), "--yes")
            self.wait_active(active)
            self.wait_protected()


def applied(
    folder: Path,
    change: Callable[[str], str] = lambda text: text,
    example: str = "cluster.yaml",
    *,
    protected_within_s: float = 40.0,
) -> Iterator[Pair]:
    """A pair of its own, down at the end. change(): the text of the example into that of its manifest."""
    name = fresh_name()
    made = Pair(name, copy_example(folder, name, example))
    made.manifest.write_text(change(made.manifest.read_text()))
    try:
        made.apply(protected_within_s)
        yield made
    finally:
        lifecycle.down(name)


def with_policy(line: str) -> Callable[[str], str]:
    """One more line of the policy."""
    return lambda text: text.replace("policy:\n", f"policy:\n  {line}\n")


def fresh_name() -> str:
    """Of a cluster: tests may run side by side, also twice on one machine."""
    return f"test-{os.getpid()}-{time.monotonic_ns() % 1_000_000}"
