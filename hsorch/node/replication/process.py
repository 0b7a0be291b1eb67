"""The replicator's process: one engine behind a local socket, told by the agent what to be.

    python3 -m hsorch.node replicator CLUSTER

Orders may take their time, so each has a thread; questions are answered at once. Started and watched by the
guard (companion.py). What a role means is engine.py's business.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from typing import Protocol

import msgspec

from hsorch.errors import HsorchError, NodeError
from hsorch.node import control
from hsorch.node.loop import Loop
from hsorch.node.paths import Paths
from hsorch.node.system.host import host
from hsorch.verbs import DataOrder, DataReport

WAKE_S = 0.5


class Engine(Protocol):
    """What the process serves. Orders raise NodeError and are given one at a time."""

    def status(self) -> DataReport: ...
    def heed(self, epoch: tuple[int, int]) -> None: ...
    def source(self, order: DataOrder) -> None: ...
    def target(self, order: DataOrder) -> None: ...
    def release(self, order: DataOrder) -> None: ...
    def abort(self, order: DataOrder) -> None: ...
    def thaw(self, order: DataOrder) -> None: ...
    def close(self) -> None: ...


class Process:
    """Raises NodeError HS608: the socket cannot be had."""

    def __init__(self, paths: Paths, engine: Engine) -> None:
        self._engine = engine
        self._turn = threading.Lock()
        self._loop: Loop[None] = Loop()
        self._ending = False
        self._server = control.ControlServer(paths.replicator_control, self._loop, host(), self._serve)
        self._orders: dict[str, Callable[[DataOrder], None]] = {
            "source": engine.source,
            "target": engine.target,
            "release": engine.release,
            "thaw": engine.thaw,
        }

    def run(self) -> None:
        """Until end()."""
        while not self._ending:
            self._loop.wait(WAKE_S)
        self._server.close()
        self._engine.close()

    def end(self) -> None:
        self._ending = True
        self._loop.post(None)

    def _serve(self, request: control.Request, caller: control.Caller) -> None:
        try:
            order = msgspec.json.decode(request.input, type=DataOrder)
        except msgspec.DecodeError as error:
            caller.answer(control.failure(NodeError(f"no order: {error}", hint="hsorch plan", code="HS606")))
            return
        self._engine.heed(order.epoch)
        threading.Thread(target=self._obey, args=(request.verb, order, caller), daemon=True).start()

    def _obey(self, verb: str, order: DataOrder, caller: control.Caller) -> None:
        try:
            if verb == "abort":
                # Not behind an order that hangs: it is what ends that.
                self._engine.abort(order)
            elif verb in self._orders:
                with self._turn:
                    self._orders[verb](order)
            elif verb != "status":
                raise NodeError(f"unknown order {verb}", hint="hsorch plan tells of versions", code="HS606")
            caller.answer(control.success(self._engine.status()))
        except NodeError as error:
            caller.answer(control.failure(error))
        except OSError as error:
            text = f"{verb}: {error.strerror or error} ({error.filename or 'no file'})"
            caller.answer(control.failure(NodeError(text, hint="see to the disk it names", code="HS699")))


def main(argv: list[str]) -> int:
    if len(argv) != 1:
        sys.stderr.write("usage: hsorch.node replicator CLUSTER\n")
        return 64
    from hsorch.node.replication.engine import open_engine

    paths = Paths(argv[0])
    paths.run.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = host().lock(paths.replicator_pid)
    if lock is None:
        sys.stderr.write(f"a replicator of cluster {paths.cluster} runs already\n")
        return 1
    try:
        process = Process(paths, open_engine(paths))
    except HsorchError as error:
        sys.stderr.write(f"{error.code}: {error.message}\nhint: {error.hint}\n")
        return int(error.exit_code)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: process.end())
    process.run()
    return 0
