"""A replicator that only speaks: the real control socket in front of a story's answers."""

from __future__ import annotations

import threading

import msgspec

from hsorch.errors import RefusedError
from hsorch.node import control
from hsorch.node.loop import Loop
from hsorch.node.paths import Paths
from hsorch.node.replication.orders import Drained, ReplicationStatus, RoleInput
from hsorch.node.system.host import host


class ToldReplicator:
    """`report` is what it says; `told` is what it was ordered, in order; what is in `refuses` fails."""

    def __init__(self, paths: Paths, report: ReplicationStatus) -> None:
        self.report = report
        self.told: list[str] = []
        self.refuses: set[str] = set()
        self.drains = True
        self._loop: Loop[None] = Loop()
        self._open = True
        self._server = control.ControlServer(paths.replicator_control, self._loop, host(), self._serve)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        """Gone, as after a crash; once more does no harm."""
        if self._open:
            self._open = False
            self._thread.join()
            self._server.close()

    def _run(self) -> None:
        while self._open:
            self._loop.wait(0.02)

    def _serve(self, request: control.Request, caller: control.Caller) -> None:
        verb = request.verb
        if verb == "role":
            wanted = msgspec.json.decode(request.input, type=RoleInput)
            verb = f"{wanted.role}{' alone' if wanted.alone else ''}"
            self.report = msgspec.structs.replace(self.report, role=wanted.role)
        if verb != "status":
            self.told.append(verb)
        if verb in self.refuses:
            caller.answer(control.failure(RefusedError("not now", hint="later", code="HS688")))
            return
        if verb == "thaw":
            self.report = msgspec.structs.replace(self.report, guarded=False, frozen=0)
        caller.answer(control.success(Drained(ok=self.drains) if verb == "drain" else self.report))
