"""Carry out a fault on a rack, and undo it. One pair of functions per kind; wires only need a rewiring."""

from __future__ import annotations

import shlex
from collections.abc import Callable

import msgspec

from hsorch.errors import LabError
from hsorch.lab.faults import KINDS, Fault
from hsorch.lab.rack import Rack

Undo = Callable[[], None]


def inject(rack: Rack, fault: Fault) -> Undo:
    """Raises LabError when it cannot be done; then nothing is changed. A momentary fault has no undo."""
    act = _ACTS.get(fault.kind, _rewire)
    if not KINDS[fault.kind].standing:
        act(rack, fault)
        return _nothing
    # Standing before it is done: a machine that boots from now on finds the wires as the fault wants them.
    rack.faults.append(fault)
    try:
        undo = act(rack, fault)
    except LabError:
        rack.faults.remove(fault)
        raise

    def lift() -> None:
        rack.faults.remove(fault)
        undo()

    return lift


def _nothing() -> None:
    """A momentary fault is over when it is done."""


def _rewire(rack: Rack, _: Fault) -> Undo:
    rack.rewire()
    return rack.rewire


def _crash(rack: Rack, fault: Fault) -> Undo:
    rack.power_off(fault.node)
    return lambda: rack.boot(fault.node)


def _shut_down(rack: Rack, fault: Fault) -> Undo:
    rack.begin_shutdown(fault.node)
    return lambda: _restart(rack, fault.node)


def _reboot(rack: Rack, fault: Fault) -> Undo:
    _restart(rack, fault.node)
    return _nothing


def _restart(rack: Rack, node: str) -> None:
    rack.power_off(node)
    rack.boot(node)


def _freeze(rack: Rack, fault: Fault) -> Undo:
    rack.set_frozen(fault.node, True)
    return lambda: rack.set_frozen(fault.node, False) if rack.is_on(fault.node) else None


def _witness_down(rack: Rack, _: Fault) -> Undo:
    if rack.topology.share:
        return _lose_share(rack, *(node.name for node in rack.topology.nodes))
    rack.power_off("witness")
    return lambda: rack.boot("witness")


def _witness_cut(rack: Rack, fault: Fault) -> Undo:
    if rack.topology.share:
        return _lose_share(rack, fault.node)
    return _rewire(rack, fault)


def _lose_share(rack: Rack, *nodes: str) -> Undo:
    """What a node sees when a file server is gone and its share is not mounted: an empty folder."""
    share = rack.topology.share
    boots = {node: rack.boot_id(node) for node in filter(rack.is_on, nodes)}
    for node in boots:
        rack.run(node, ["mount", "-n", "-t", "tmpfs", "-o", "ro", "none", share])

    def lift() -> None:
        # A machine that was booted since has its share back already.
        for node in [node for node, boot in boots.items() if rack.boot_id(node) == boot]:
            rack.run(node, ["umount", "-n", share])

    return lift


def _disk_full(rack: Rack, fault: Fault) -> Undo:
    rack.disks.fill(fault.node)
    return lambda: rack.disks.empty(fault.node)


def _clock_step(rack: Rack, fault: Fault) -> Undo:
    if not rack.order.clock_library:
        raise LabError(
            "the wall clocks of this lab cannot be stepped: no C compiler was there when it was made",
            hint="apt-get install gcc libc6-dev, then hsorch lab down and apply again",
            code="HS808",
        )
    rack.step_clock(fault.node, fault.amount)
    return lambda: rack.step_clock(fault.node, -fault.amount)


def _signal_process(name: str, number: str) -> Callable[[Rack, Fault], Undo]:
    """A signal to the guard or the agent; the undo lets exactly that process go on, if it is still there."""

    def act(rack: Rack, fault: Fault) -> Undo:
        path = shlex.quote(f"/run/hsorch/{rack.topology.cluster}/{name}.pid")
        pid = rack.run(fault.node, ["sh", "-c", f"read pid <{path} && kill -s {number} $pid && echo $pid"])
        return lambda: _go_on(rack, fault.node, [pid.strip()])

    return act


def _signal_service(number: str) -> Callable[[Rack, Fault], Undo]:
    def act(rack: Rack, fault: Fault) -> Undo:
        sessions = [f"-{pid}" for pid in _running(rack, fault)]
        rack.run(fault.node, ["sh", "-c", f"kill -s {number} -- {' '.join(sessions)}"])
        return lambda: _go_on(rack, fault.node, sessions)

    return act


def _go_on(rack: Rack, node: str, targets: list[str]) -> None:
    if rack.is_on(node):
        rack.run(node, ["sh", "-c", f"kill -s CONT -- {' '.join(targets)} 2>/dev/null; true"])


def _running(rack: Rack, fault: Fault) -> list[int]:
    """First processes of the resources on a node, from the records that its runtime keeps in /run."""
    folder = shlex.quote(f"/run/hsorch/{rack.topology.cluster}/resources")
    text = rack.run(
        fault.node, ["sh", "-c", f"for f in {folder}/*.json; do [ -e $f ] && cat $f; echo; done; true"]
    )
    records = [msgspec.json.decode(line, type=_Record) for line in text.splitlines() if line]
    found = [r.running.pid for r in records if r.running and fault.resource in ("", r.name)]
    if not found:
        raise LabError(
            f"no process of {fault.resource or 'any resource'} runs on {fault.node}",
            hint="the active node runs them: hsorch status",
            code="HS806",
        )
    return found


class _Process(msgspec.Struct, frozen=True):
    pid: int


class _Record(msgspec.Struct, frozen=True):
    """The part of hsorch.node.resource.records.Record that is needed here."""

    name: str
    running: _Process | None = None


_ACTS: dict[str, Callable[[Rack, Fault], Undo]] = {
    "crash": _crash,
    "reboot": _reboot,
    "shutdown": _shut_down,
    "freeze": _freeze,
    "agent-kill": _signal_process("agent", "KILL"),
    "agent-freeze": _signal_process("agent", "STOP"),
    "guard-kill": _signal_process("guard", "KILL"),
    "guard-freeze": _signal_process("guard", "STOP"),
    "service-kill": _signal_service("KILL"),
    "service-hang": _signal_service("STOP"),
    "witness-down": _witness_down,
    "witness-cut": _witness_cut,
    "disk-full": _disk_full,
    "clock-step": _clock_step,
}
"""Kinds that are not here are faults of wires."""
