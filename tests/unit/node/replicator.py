"""A replicator that only speaks: the real control socket in front of a story's answers."""

from __future__ import annotations

import threading

import msgspec

from hsorch.errors import NodeError
from hsorch.node import control
from hsorch.node.loop import Loop
from hsorch.node.paths import Paths
from hsorch.node.system.host import host
from hsorch.verbs import DataOrder, DataReport


class ToldReplicator:
    """`report` is what it says; `orders` is what it was told, in order; a verb in `refuses` fails."""

    def __init__(self, paths: Paths, report: DataReport) -> None:
        self.report = report
        self.orders: list[tuple[str, DataOrder]] = []
        self.refuses: set[str] = set()
        self.asked = threading.Event()
        self._loop: Loop[None] = Loop()
        self._open = True
        self._server = control.ControlServer(paths.replicator_control, self._loop, host(), self._serve)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        """Gone, as after a crash; once more does no harm."""
        if not self._open:
            return
        self._open = False
        self._thread.join()
        self._server.close()

    def told(self, verb: str) -> list[DataOrder]:
        return [order for said, order in self.orders if said == verb]

    def _run(self) -> None:
        while self._open:
            self._loop.wait(0.02)

    def _serve(self, request: control.Request, caller: control.Caller) -> None:
        self.asked.set()
        if request.verb != "status":
            self.orders.append((request.verb, msgspec.json.decode(request.input, type=DataOrder)))
        if request.verb in self.refuses:
            caller.answer(control.failure(NodeError("not now", hint="later", code="HS690")))
            return
        if request.verb == "thaw":
            self.report = msgspec.structs.replace(self.report, guarded=False, frozen=0)
        elif request.verb in ("source", "target"):
            self.report = msgspec.structs.replace(self.report, role=request.verb)
        caller.answer(control.success(self.report))
