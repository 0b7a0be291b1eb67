"""Start, stop and check scripts: bounded, output captured, exit code judged by policy (REQ-D33, D35)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath

from hsorch.errors import NodeError
from hsorch.node.resource.call import Call, Note
from hsorch.node.resource.records import Record
from hsorch.spec import Script


class ScriptKind:
    """Implements hsorch.node.resource.call.Kind for Script."""

    def start(self, call: Call, resource: Script) -> Note:
        if not resource.start:
            return Note("no start script")
        with call.effect():
            call.records.put(Record(name=call.name, kind="script"))
        return _run(call, resource, resource.start, "start")

    def stop(self, call: Call, resource: Script) -> Note:
        """Without a stop script, what the start script left running is ended instead."""
        if not resource.stop:
            return self.kill(call, resource)
        note = _run(call, resource, resource.stop, "stop")
        call.records.drop(call.name)
        return note

    def kill(self, call: Call, resource: Script) -> Note:
        """End what its scripts left running. The stop script is not run: it may be what hangs."""
        killed = call.system.processes.kill(call.mark, [], call.deadline)
        if killed.left:
            raise call.ran_out(f"{killed.names()}, even killed,")
        call.records.drop(call.name)
        return Note("no process left")

    def check(self, call: Call, resource: Script) -> Note:
        return _run(call, resource, resource.check, "check") if resource.check else Note("no check script")


def _run(call: Call, resource: Script, argv: tuple[str, ...], slot: str) -> Note:
    try:
        return _judge(call, argv, slot)
    except NodeError as error:
        if resource.required or error.code == "HS657":
            raise
        return Note(f"warning, advisory: {error.message}", error.detail)


def _judge(call: Call, argv: tuple[str, ...], slot: str) -> Note:
    asked = call.launch(argv, slot, logged=slot != "check")
    home = str(PurePosixPath(argv[0]).parent) if argv[0].startswith("/") else ""
    launch = call.gated(replace(asked, directory=home))
    done = call.system.processes.execute(launch, call.deadline)
    if done.code is None:
        raise call.ran_out(f"its {slot} script {argv[0]}", done.output)
    if done.code != 0:
        raise NodeError(
            f"{call.name}: its {slot} script {argv[0]} ended with {done.code}",
            hint="its output says why; a script that may fail is `advisory`",
            detail=done.output,
            code="HS661",
        )
    return Note(f"{slot} script ended with 0", done.output)
