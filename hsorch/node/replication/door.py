"""The replicator process: `python3 -m hsorch.node replicator CLUSTER`, and the local door to it.

The agent drives it over a local socket: one JSON line in, one Reply out. What is done is replicator.py's
business.
"""

from __future__ import annotations

import contextlib
import resource
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from hsorch.errors import HsorchError, NodeError
from hsorch.node.paths import Paths
from hsorch.node.replication.orders import ChooseInput, ConfirmInput, DrainInput, EpochInput, RoleInput
from hsorch.node.replication.replicator import Replicator
from hsorch.node.replication.setup import Places, load
from hsorch.node.replication.survey import SurveyInput
from hsorch.verbs import Reply

LONGEST_LINE = 64 * 1024


class Nothing(msgspec.Struct, frozen=True, kw_only=True):
    """Input of verbs that need none."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    verb: str
    input: msgspec.Raw = msgspec.Raw(b"{}")


VERBS: dict[str, tuple[type[msgspec.Struct], Callable[[Replicator, Any], msgspec.Struct]]] = {
    "role": (RoleInput, Replicator.role),
    "status": (Nothing, lambda replicator, _: replicator.status()),
    "reload": (Nothing, lambda replicator, _: replicator.reload()),
    "authority": (EpochInput, Replicator.authorize),
    "drain": (DrainInput, Replicator.drain),
    "confirm": (ConfirmInput, Replicator.confirm),
    "thaw": (Nothing, lambda replicator, _: replicator.thaw()),
    "verify": (Nothing, lambda replicator, _: replicator.verify()),
    "survey": (SurveyInput, Replicator.survey),
    "follow": (Nothing, lambda replicator, _: replicator.follow()),
    "choose": (ChooseInput, Replicator.choose),
}
# Made here and not by the callers' threads: two that do it at once crash the interpreter (msgspec 0.22).
_REQUEST = msgspec.json.Decoder(Request)
_INPUTS = {kind: msgspec.json.Decoder(kind) for kind, _ in VERBS.values()}


def answer(replicator: Replicator, line: bytes) -> Reply:
    try:
        request = _REQUEST.decode(line)
        if request.verb not in VERBS:
            raise msgspec.ValidationError(f"there is no verb {request.verb!r}")
        kind, carry_out = VERBS[request.verb]
        given = _INPUTS[kind].decode(request.input)
    except msgspec.DecodeError as error:
        return Reply(ok=False, code="HS606", message=f"not a request: {error}", hint="use `hsorch node`")
    try:
        data = carry_out(replicator, given)
        return Reply(ok=True, data=msgspec.Raw(msgspec.json.encode(data)))
    except HsorchError as error:
        return Reply(ok=False, code=error.code, message=error.message, hint=error.hint, detail=error.detail)
    except Exception as error:  # told: without an answer it would seem not to run
        return Reply(
            ok=False,
            code="HS640",
            message=f"the replicator could not carry out '{request.verb}': {str(error) or repr(error)}",
            hint="see to the file or disk that it names, and ask again; the detail says where it happened",
            detail=traceback.format_exc(),
        )


def serve(door: socket.socket, replicator: Replicator, stopped: threading.Event) -> None:
    """A thread per caller, until `stopped`."""

    def talk(caller: socket.socket) -> None:
        with caller, contextlib.suppress(OSError):
            with caller.makefile("rb") as lines:
                reply = answer(replicator, lines.readline(LONGEST_LINE))
            caller.sendall(msgspec.json.encode(reply) + b"\n")

    door.settimeout(0.2)
    while not stopped.is_set():
        with contextlib.suppress(TimeoutError):
            caller, _ = door.accept()
            caller.settimeout(None)
            threading.Thread(target=talk, args=(caller,), daemon=True).start()


def allow_open_files() -> None:
    """Each file that an application has open in an ordered folder is open here, too: as many as the system
    lets a process have, where a service manager gives 1024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main(argv: list[str]) -> int:
    if len(argv) not in (1, 2):
        sys.stderr.write("usage: hsorch.node replicator CLUSTER [ROOT]\n")
        return 64
    paths = Paths(argv[0], Path(argv[1])) if len(argv) == 2 else Paths(argv[0])
    places = Places.of(paths)
    try:
        setup = load(places)
    except NodeError as error:
        sys.stderr.write(f"{error.code}: {error.message}\n")
        return 1
    allow_open_files()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stopped.set())
    boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    replicator = Replicator(places, setup, boot)
    places.run.mkdir(parents=True, exist_ok=True, mode=0o700)
    places.control.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.bind(str(places.control))
        places.control.chmod(0o600)
        door.listen(8)
        serve(door, replicator, stopped)
    replicator.stop()
    places.control.unlink(missing_ok=True)
    return 0
