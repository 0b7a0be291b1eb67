"""A program that the agent starts and supervises itself. It outlives the agent and is found again after."""

from __future__ import annotations

import time

from hsorch.errors import NodeError
from hsorch.node.resource import checks
from hsorch.node.resource.call import Call, Note
from hsorch.node.resource.probe import wait_until_it_answers
from hsorch.node.resource.records import Record
from hsorch.node.system.base import Launch, Running
from hsorch.spec import Process

_SETTLE_S = 0.02
"""A program that ends within this time (bad option, port in use) fails its start, not the first check."""
_LOOK_AGAIN_S = 0.005
_LOOK_AGAIN_AT_MOST_S = 0.05


class ProcessKind:
    """Implements hsorch.node.resource.call.Kind for Process."""

    def start(self, call: Call, resource: Process) -> Note:
        running = _running(call)
        if running is not None:
            detail = f"runs already as process {running.pid}"
        else:
            with call.effect():
                self.kill(call, resource)
                running = _spawn(call, resource)
            if resource.probe is None:
                time.sleep(min(_SETTLE_S, call.deadline.left()))
            detail = f"process {running.pid}"
        try:
            _must_live(call, running)
            if resource.probe is not None:
                detail += f", {wait_until_it_answers(call, resource.probe, resource.check_limit_ms)}"
                _must_live(call, running)
        except NodeError:
            with call.effect():
                self.kill(call, resource)
            raise
        return Note(detail)

    def stop(self, call: Call, resource: Process) -> Note:
        """TERM to all of it, then wait for all of it; what does not end is reported and left to kill."""
        known, processes, pause = _known(call), call.system.processes, _LOOK_AGAIN_S
        processes.terminate(call.mark, known)
        while left := processes.members(call.mark, known):
            if call.deadline.left() <= pause:
                raise call.ran_out(_names(left))
            time.sleep(pause)
            pause = min(pause * 1.5, _LOOK_AGAIN_AT_MOST_S)
        call.records.drop(call.name)
        return Note("ended")

    def kill(self, call: Call, resource: Process) -> Note:
        killed = call.system.processes.kill(call.mark, _known(call), call.deadline)
        if killed.left:
            raise call.ran_out(f"{killed.names()}, even killed,")
        call.records.drop(call.name)
        return Note("no process left")

    def check(self, call: Call, resource: Process) -> Note:
        running = _running(call)
        if running is None:
            raise _ended(call)
        detail = f"process {running.pid}"
        if resource.probe is not None:
            detail += f", {checks.perform(call, resource.probe)}"
        return Note(detail)


def _spawn(call: Call, resource: Process) -> Running:
    asked = call.launch(resource.argv, "start", logged=True)
    launch = Launch(
        argv=asked.argv,
        mark=asked.mark,
        directory=resource.directory,
        user=resource.user,
        environment={**asked.environment, **resource.environment},
        log=asked.log,
    )
    running = call.system.processes.start(launch)
    call.records.put(Record(name=call.name, kind="process", running=running))
    return running


def _known(call: Call) -> list[Running]:
    record = call.record
    return [record.running] if record is not None and record.running is not None else []


def _running(call: Call) -> Running | None:
    return next((r for r in _known(call) if call.system.processes.alive(r)), None)


def _names(left: dict[int, str]) -> str:
    return ", ".join(f"process {pid} ({command})" for pid, command in sorted(left.items()))


def _must_live(call: Call, running: Running) -> None:
    if not call.system.processes.alive(running):
        raise _ended(call)


def _ended(call: Call) -> NodeError:
    log = call.records.log(call.name)
    tail = log.read_bytes()[-2048:].decode(errors="replace") if log.exists() else ""
    return NodeError(
        f"{call.name} does not run",
        hint=f"its last output is in {log}",
        detail=tail,
        code="HS660",
    )
