"""Two replicators on one machine that bind the same paths: each sees its own folders there.

Every replicator runs in a mount namespace of its own, where its folders lie over the common paths.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hsorch.node.paths import Paths
from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.setup import Places, Setup
from hsorch.node.replication.tls import make_key
from tests.replicators.killed_at import Moment, command
from tests.replicators.members import free_port, until

PROJECT = Path(__file__).parents[2]


class Node:
    """folders: name → what lies at home/common/name for this node."""

    def __init__(
        self, home: Path, name: str, address: str, folders: tuple[str, ...], *, space: str = ""
    ) -> None:
        """space: the network namespace that it runs in."""
        self.name, self.home, self.address, self._space = name, home, address, space
        self.root = home / name
        self.folders = {folder: self.root / folder for folder in folders}
        for folder, own in self.folders.items():
            own.mkdir(parents=True)
            (home / "common" / folder).mkdir(parents=True, exist_ok=True)
        self.places = Places.of(Paths("pair", self.root))
        self.places.home.mkdir(parents=True)
        make_key(self.places.keys.certificate, self.places.keys.key, name)
        self.process: subprocess.Popen[bytes] | None = None

    def enroll(self, peer: Node, port: int, bindings: tuple[Binding, ...], **fields: Any) -> None:
        self.places.keys.peer.write_bytes(peer.places.keys.certificate.read_bytes())
        setup = Setup(
            job="ab" * 16, node=self.name, bindings=bindings, port=port,
            **{"address": self.address, "peer": peer.address, **fields},
        )  # fmt: skip
        self.places.setup.write_bytes(msgspec.json.encode(setup))

    def start(self, *, dies_at: Moment | None = None) -> None:
        """Its folders are mounted where both nodes say they are. dies_at: once arm() was called."""
        (self.root / "armed").unlink(missing_ok=True)
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

    def arm(self) -> None:
        (self.root / "armed").touch()

    def died(self) -> bool:
        """By its own hand, as it was told to."""
        assert self.process is not None
        return self.process.poll() == -signal.SIGKILL

    def run(self, *argv: str, timeout: float = 30) -> subprocess.CompletedProcess[str]:
        """A program of this node: it sees the folders as the application does."""
        assert self.process is not None
        inside = ["nsenter", "--mount", "-t", str(self.process.pid), *argv]
        return subprocess.run(inside, capture_output=True, text=True, timeout=timeout, check=False)

    def answers(self) -> bool:
        try:
            return bool(self.ask("status"))
        except OSError:
            return False

    def request(self, verb: str, **given: object) -> dict[str, Any]:
        """The whole Reply."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
            door.connect(str(self.places.control))
            door.sendall(json.dumps({"verb": verb, "input": given}).encode() + b"\n")
            with door.makefile("rb") as lines:
                reply: dict[str, Any] = json.loads(lines.readline())
        return reply

    def ask(self, verb: str, **given: object) -> dict[str, Any]:
        reply = self.request(verb, **given)
        assert reply["ok"], reply
        data: dict[str, Any] = reply["data"]
        return data

    def binding(self, folder: str) -> dict[str, Any]:
        """As status shows it."""
        path = str(self.home / "common" / folder)
        return next(b for b in self.ask("status")["bindings"] if b["path"] == path)

    def held(self, folder: str) -> int:
        return int(self.binding(folder).get("held", 0))

    def troubles(self) -> set[str]:
        return {trouble["code"] for trouble in self.ask("status")["troubles"]}

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(20)

    def end(self) -> None:
        """Its mounts end with its namespace."""
        if self.process is not None and self.process.poll() is None:
            self.kill()


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
