"""A replicator process of a test: asked through its door as the agent asks, killed as nobody should."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

from hsorch.node.paths import Paths
from hsorch.node.replication.setup import Places
from hsorch.node.replication.tls import make_key


class Replicator:
    """Not started; `process` belongs to who starts it. Its state lies below root."""

    def __init__(self, root: Path, name: str, address: str) -> None:
        self.root, self.name, self.address = root, name, address
        self.places = Places.of(Paths("pair", root))
        self.places.home.mkdir(parents=True)
        make_key(self.places.keys.certificate, self.places.keys.key, name)
        self.process: subprocess.Popen[bytes] | None = None

    def arm(self) -> None:
        (self.root / "armed").touch()

    def disarm(self) -> None:
        (self.root / "armed").unlink(missing_ok=True)

    def died(self) -> bool:
        """By its own hand, as it was told to."""
        assert self.process is not None
        return self.process.poll() == -signal.SIGKILL

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

    def troubles(self) -> set[str]:
        return {trouble["code"] for trouble in self.ask("status")["troubles"]}

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(20)

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
