"""Nodes that are a replicator process each, driven as the agent drives them, and an application beside."""

from __future__ import annotations

import contextlib
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.capture.group import clear_mounts
from hsorch.node.replication.setup import Setup
from tests.replicators.killed_at import Moment, command
from tests.replicators.process import Replicator

# `extra`: less than that, and a commit that ended by removing its journal may be undone by a crash. SQLite
# calls it a success also when it could not open the folder to flush that (unixDelete in os_unix.c), so that
# is asked once more.
COUNT = """
import os, sqlite3, sys
database = sqlite3.connect(sys.argv[1] + "/app.db", timeout=20)
database.execute("pragma synchronous=extra")
database.execute("create table if not exists t (n integer primary key, text text)")
for number in range(int(sys.argv[2]), int(sys.argv[3])):
    database.execute("insert into t values (?, ?)", (number, "x" * (number % 50 * 30)))
    database.commit()
    folder = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(folder)
    os.close(folder)
    print(number, flush=True)
"""


class Member(Replicator):
    """A node: its own root, and the folder that both nodes would call the same."""

    def __init__(self, home: Path, name: str, address: str) -> None:
        super().__init__(home / name, name, address)
        self.data = self.root / "data"
        self.data.mkdir(parents=True)

    def enroll(self, peer: Member, level: str, port: int, *, via: str = "", **fields: int) -> None:
        """via: an address before the peer's own (Link). fields: of the setup."""
        self.places.keys.peer.write_bytes(peer.places.keys.certificate.read_bytes())
        binding = Binding(path=str(self.data), kind="ordered", exclude=("*-shm",))
        setup = Setup(
            job="ab" * 16, node=self.name, bindings=(binding,), address=self.address,
            peer=via or peer.address, port=port, level=level, **fields,  # type: ignore[arg-type]
        )  # fmt: skip
        self.places.setup.write_bytes(msgspec.json.encode(setup))

    def start(self, *, dies_at: Moment | None = None) -> None:
        """dies_at: once arm() was called."""
        self.disarm()
        argv = [sys.executable, str(Path(__file__).with_name("one_machine.py")), "pair", str(self.root)]
        if dies_at is not None:
            argv = command("tests.replicators.one_machine", dies_at, "pair", self.root)
        self.process = subprocess.Popen(
            argv, cwd=Path(__file__).parents[2], stderr=(self.root / "err").open("ab")
        )
        until(self.answers)

    def end(self) -> None:
        super().end()
        clear_mounts([self.data])


def until(true: Callable[[], bool], seconds: float = 40) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


def free_port() -> int:
    """On every loopback address: none that the system gives to outgoing connections."""
    while True:
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("", port)):
            return port


def protected(a: Member, b: Member) -> bool:
    return bool(a.ask("status").get("guarded")) and bool(b.ask("status").get("consistent"))


def count(member: Member, first: int, last: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", COUNT, str(member.data), str(first), str(last)], stdout=subprocess.PIPE
    )


def rows(folder: Path) -> list[int]:
    text = (
        "import sqlite3, sys; d = sqlite3.connect(sys.argv[1] + '/app.db');"
        "assert d.execute('pragma integrity_check').fetchone() == ('ok',);"
        "print(*[n for (n,) in d.execute('select n from t order by n')])"
    )
    argv = [sys.executable, "-c", text, str(folder)]
    done = subprocess.run(argv, check=True, capture_output=True, timeout=30)
    return [int(word) for word in done.stdout.split()]


class Link:
    """Between a source and its standby: may be cut, also after so many bytes."""

    def __init__(self, address: str, port: int, to: str) -> None:
        self._to = (to, port)
        self._server = socket.create_server((address, port))
        self._budget = -1
        self._up = True
        self._changing = threading.Lock()
        """Held while a connection joins those that a cut ends, or they are ended."""
        self._open: list[socket.socket] = []
        self.carried = 0
        self.flips = False
        """The next bytes to the standby get one wrong bit."""
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_after(self, count: int) -> None:
        """The link goes down once so many bytes more went to the standby."""
        self._budget = count

    def flip_next(self) -> None:
        self.flips = True

    def cut(self) -> None:
        with self._changing:
            self._up = False
            while self._open:
                with contextlib.suppress(OSError):
                    self._open.pop().shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._budget, self._up = -1, True

    @property
    def up(self) -> bool:
        return self._up

    def close(self) -> None:
        self.cut()
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)  # wakes who waits in accept
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
                if not self._up:
                    near.close()
                    continue
                far = socket.create_connection(self._to, 5)
            except OSError:
                if self._server.fileno() < 0:
                    return
                near.close()
                continue
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._changing:
                if not self._up:  # cut since it was asked for
                    near.close()
                    far.close()
                    continue
                self._open += [near, far]
            threading.Thread(target=self._carry, args=(near, far, True), daemon=True).start()
            threading.Thread(target=self._carry, args=(far, near, False), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, counts: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(64 * 1024):
                if counts and self.flips and self._up:
                    data = data[:-1] + bytes([data[-1] ^ 1])
                    self.flips = False
                target.sendall(data)
                if not counts:
                    continue
                self.carried += len(data)
                if self._budget >= 0:
                    self._budget -= len(data)
                    if self._budget < 0:
                        self.cut()
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
