"""Two replicators on one machine that bind the same paths: each sees its own folders there.

Every replicator runs in a mount namespace of its own, where its folders lie over the common paths.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.setup import Setup
from tests.replicators.killed_at import Moment, command
from tests.replicators.members import free_port, until
from tests.replicators.process import Replicator

PROJECT = Path(__file__).parents[2]


class Node(Replicator):
    """Its mounts end with its namespace. folders: name → what lies at home/common/name for this node."""

    def __init__(
        self, home: Path, name: str, address: str, folders: tuple[str, ...], *, space: str = ""
    ) -> None:
        """space: the network namespace that it runs in."""
        super().__init__(home / name, name, address)
        self.home, self._space = home, space
        self.folders = {folder: self.root / folder for folder in folders}
        for folder, own in self.folders.items():
            own.mkdir(parents=True)
            (home / "common" / folder).mkdir(parents=True, exist_ok=True)

    def enroll(self, peer: Node, port: int, bindings: tuple[Binding, ...], **fields: Any) -> None:
        self.places.keys.peer.write_bytes(peer.places.keys.certificate.read_bytes())
        setup = Setup(
            job="ab" * 16, node=self.name, bindings=bindings, port=port,
            **{"address": self.address, "peer": peer.address, **fields},
        )  # fmt: skip
        self.places.setup.write_bytes(msgspec.json.encode(setup))

    def start(self, *, dies_at: Moment | None = None) -> None:
        """Its folders are mounted where both nodes say they are. dies_at: once arm() was called."""
        self.disarm()
        mounts = [
            f"mount --bind {shlex.quote(str(own))} {shlex.quote(str(self.home / 'common' / folder))}"
            for folder, own in self.folders.items()
        ]
        run = shlex.join(
            [sys.executable, "-m", "hsorch.node", "replicator", "pair", str(self.root)]
            if dies_at is None
            else command("hsorch.node.replication.door", dies_at, "pair", self.root)
        )
        script = " && ".join([*mounts, f"exec {run}"])
        there = ["nsenter", f"--net=/run/netns/{self._space}"] if self._space else []
        self.process = subprocess.Popen(
            [*there, "unshare", "--mount", "--propagation", "private", "sh", "-c", script],
            cwd=PROJECT, stderr=(self.root / "err").open("ab"),
        )  # fmt: skip
        until(self.answers)

    def run(self, *argv: str, timeout: float = 30) -> subprocess.CompletedProcess[str]:
        """A program of this node: it sees the folders as the application does."""
        assert self.process is not None
        inside = ["nsenter", "--mount", "-t", str(self.process.pid), *argv]
        return subprocess.run(inside, capture_output=True, text=True, timeout=timeout, check=False)

    def binding(self, folder: str) -> dict[str, Any]:
        """As status shows it."""
        path = str(self.home / "common" / folder)
        return next(b for b in self.ask("status")["bindings"] if b["path"] == path)

    def held(self, folder: str) -> int:
        return int(self.binding(folder).get("held", 0))


@dataclass
class Pair:
    """Driven as two agents do it."""

    a: Node
    b: Node
    home: Path
    port: int

    def bind(self, *bindings: Binding, nodes: tuple[Node, ...] = (), **fields: Any) -> None:
        """What apply does: the installer writes the setup, the agent says so."""
        for node in nodes or (self.a, self.b):
            other = self.b if node is self.a else self.a
            node.enroll(other, self.port, bindings, **fields)
            if node.process is not None:
                node.ask("reload")

    def ordered(self, folder: str, **fields: Any) -> Binding:
        return Binding(path=str(self.home / "common" / folder), kind="ordered", **fields)

    def watched(self, folder: str, **fields: Any) -> Binding:
        return Binding(path=str(self.home / "common" / folder), kind="watched", **fields)

    def bring_in(self, source: Node, target: Node) -> None:
        if target.ask("status")["role"] != "target":
            target.ask("role", role="target")
        source.ask("role", role="source")
        until(lambda: bool(source.ask("status").get("level")))
        until(lambda: bool(target.ask("status").get("consistent")))

    def bring_out(self, source: Node) -> None:
        assert source.ask("drain", limit_s=30)["ok"]
        source.ask("role", role="none")

    def write(self, node: Node, name: str, text: str) -> None:
        """As the application does: through whatever is mounted there."""
        done = node.run("sh", "-c", f"printf %s '{text}' > {self.home / 'common' / name}")
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        self.a.start()
        self.b.start()


@contextmanager
def pair_of(home: Path, folders: tuple[str, ...]) -> Iterator[Pair]:
    """Not bound, not started. Skips, with the reason, where this machine allows no such world."""
    if why := may_mount():
        pytest.skip(f"no mount namespaces on this machine: {why}")
    made = Pair(
        Node(home, "a", "127.0.0.1", folders), Node(home, "b", "127.0.0.2", folders), home, free_port()
    )
    try:
        yield made
    finally:
        made.a.end()
        made.b.end()


def kept(node: Node) -> set[bytes]:
    """Contents in its quarantine."""
    return {path.read_bytes() for path in node.places.quarantine.rglob("*") if path.name.isdigit()}


def may_mount() -> str:
    """Why this machine allows no such world; empty: it does."""
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr.strip() if done.returncode else "" if os.geteuid() == 0 else "not root"
