"""The process that holds a lab: `python3 -m hsorch.lab.chassis`, an Order on stdin, a Reply on stdout.

It enters namespaces of its own and is process 1 in there, so its death, however it comes, ends every machine,
mount and interface of the lab. Afterwards it serves requests on the lab's socket, one at a time.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from hsorch.errors import HsorchError, LabError
from hsorch.lab import kernel
from hsorch.lab.faults import Fault, parse
from hsorch.lab.inject import Undo, inject
from hsorch.lab.rack import Order, Rack
from hsorch.verbs import Reply

SOCKET = "control.sock"
_SPACES = (
    kernel.CLONE_NEWNS | kernel.CLONE_NEWNET | kernel.CLONE_NEWPID | kernel.CLONE_NEWUTS | kernel.CLONE_NEWIPC
)


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One line on the socket. fault: kind and arguments; boot: a machine; heal: nothing."""

    verb: Literal["fault", "heal", "boot"]
    arguments: tuple[str, ...] = ()
    for_s: float = 0.0
    """Heal the fault by itself after so many seconds; 0: when told."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    fault: Fault
    lift: Undo
    until: float
    """Of the monotonic clock, in seconds; infinite: until healed."""


class Chassis:
    def __init__(self, rack: Rack) -> None:
        self._rack = rack
        self._standing: list[Standing] = []
        self._verbs: dict[str, Callable[[Request], str]] = {
            "fault": self._fault,
            "heal": self._heal,
            "boot": self._boot,
        }

    def serve(self, listener: socket.socket) -> None:
        """Until the process is killed."""
        with selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            selector.register(_wake_on_child(), selectors.EVENT_READ)
            while True:
                for key, _ in selector.select(self._wait_s()):
                    if key.fileobj is listener:
                        self._answer(listener.accept()[0])
                    elif isinstance(key.fileobj, socket.socket):
                        key.fileobj.recv(4096)
                self._rack.bury()
                self._lift_due()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):  # a client that left needs no answer
            connection.settimeout(2.0)
            with connection.makefile("rb") as lines:
                line = lines.readline()
            connection.sendall(msgspec.json.encode(self._carry_out(line)) + b"\n")

    def _carry_out(self, line: bytes) -> Reply:
        try:
            request = msgspec.json.decode(line, type=Request)
            text = self._verbs[request.verb](request)
        except HsorchError as error:
            return _refusal(error)
        except (msgspec.DecodeError, OSError) as error:
            return _refusal(LabError(f"the lab could not do it: {error}", hint="hsorch lab down, then up"))
        finally:
            self._rack.publish()
        return Reply(ok=True, data=msgspec.Raw(msgspec.json.encode(text)))

    def _fault(self, request: Request) -> str:
        kind, *arguments = request.arguments
        fault = parse(kind, arguments, self._rack.topology)
        lift = inject(self._rack, fault)
        if fault in self._rack.faults:
            until = time.monotonic() + request.for_s if request.for_s else float("inf")
            self._standing.append(Standing(fault=fault, lift=lift, until=until))
        return str(fault)

    def _heal(self, _: Request) -> str:
        """Everything: what stands is lifted, newest first, and every machine is on."""
        healed = [str(standing.fault) for standing in self._standing]
        for standing in reversed(self._standing):
            self._lift(standing)
        for machine in self._rack.topology.machines:
            self._rack.boot(machine.name)
        return ", ".join(healed)

    def _boot(self, request: Request) -> str:
        (word,) = request.arguments
        machine = next((m for m in self._rack.topology.machines if word in (m.name, m.alias)), None)
        if machine is None:
            names = ", ".join(m.name for m in self._rack.topology.machines)
            raise LabError(f"'{word}' is no machine of the lab", hint=f"one of: {names}", code="HS804")
        for standing in [s for s in self._standing if _keeps_off(s.fault, machine.name)]:
            self._lift(standing)
        self._rack.boot(machine.name)
        return machine.name

    def _lift(self, standing: Standing) -> None:
        self._standing.remove(standing)
        standing.lift()

    def _lift_due(self) -> None:
        due = [standing for standing in self._standing if standing.until <= time.monotonic()]
        for standing in due:
            try:
                self._lift(standing)
            except LabError as error:
                sys.stderr.write(f"{standing.fault}: not healed: {error.message}\n")
            self._rack.publish()

    def _wait_s(self) -> float | None:
        first = min((standing.until for standing in self._standing), default=float("inf"))
        return None if first == float("inf") else max(0.0, first - time.monotonic())


def main() -> int:
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    answer = _take_standard_streams()
    try:
        user_namespace = _enter_namespaces()
    except OSError as error:
        _tell(answer, _refusal(_forbidden(error)))
        return 1
    if os.fork():
        return 0
    try:
        chassis, listener = _build(order, user_namespace=user_namespace)
    except (HsorchError, OSError) as error:
        known = error if isinstance(error, HsorchError) else _forbidden(error)
        _tell(answer, _refusal(known))
        return 1
    _tell(answer, Reply(ok=True))
    chassis.serve(listener)
    return 0


def _build(order: Order, *, user_namespace: bool) -> tuple[Chassis, socket.socket]:
    os.setsid()
    os.umask(0o022)
    kernel.mount("none", Path("/"), flags=kernel.MS_REC | kernel.MS_PRIVATE)
    rack = Rack(order, user_namespace=user_namespace)
    rack.power_up()
    listener = socket.socket(socket.AF_UNIX)
    os.chdir(order.state)  # the name of a socket is short (108 bytes), that of a folder may not be
    listener.bind(SOCKET)
    Path(SOCKET).chmod(0o600)
    listener.listen(16)
    rack.publish()
    return Chassis(rack), listener


def _enter_namespaces() -> bool:
    """True: a user namespace was needed. Raises OSError when the kernel allows neither way."""
    uid, gid = os.geteuid(), os.getegid()
    try:
        kernel.unshare(_SPACES)
    except PermissionError:
        kernel.unshare(_SPACES | kernel.CLONE_NEWUSER)
        kernel.map_me_to_root(uid, gid)
        return True
    return False


def _forbidden(error: OSError) -> LabError:
    return LabError(
        f"this system does not let hsorch make a lab: {error}",
        hint="run it as root, or allow user namespaces: "
        "sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000; "
        "on Ubuntu 23.10 and newer also kernel.apparmor_restrict_unprivileged_userns=0; "
        "in a container: --privileged",
        code="HS802",
    )


def _wake_on_child() -> socket.socket:
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    # The pair lives as long as the process: the descriptor outlives the object.
    signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
    return reader


def _keeps_off(fault: Fault, machine: str) -> bool:
    if fault.kind == "witness-down":
        return machine == "witness"
    return fault.kind in ("crash", "shutdown", "freeze") and fault.node == machine


def _refusal(error: HsorchError) -> Reply:
    return Reply(ok=False, code=error.code, message=error.message, hint=error.hint, detail=error.detail)


def _take_standard_streams() -> int:
    """Where the answer goes. Whatever is started from now on reads nothing and writes to the lab's log."""
    answer = os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    return answer


def _tell(answer: int, reply: Reply) -> None:
    os.write(answer, msgspec.json.encode(reply) + b"\n")
    os.close(answer)


if __name__ == "__main__":
    sys.exit(main())
