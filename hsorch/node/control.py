"""The agent's local door: a Unix socket, one JSON line in, one Reply line out, then closed.

Server: belongs to the agent's loop, never blocks, answers now or later (an operation ends when the core
says so). Client: `ask`, for the verbs of hsorch.node.operate. Only root and the agent's own user may come in.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from hsorch.errors import NodeError, RefusedError
from hsorch.node.loop import Loop
from hsorch.node.paths import Paths
from hsorch.node.system.host import Host
from hsorch.verbs import Reply

T = TypeVar("T")

LONGEST_LINE = 256 * 1024
MOST_CLIENTS = 32
ANSWER_WITHIN_S = 5.0
SLOW_CLIENT_S = 0.1
CONNECT_AGAIN_S = 0.01


class Request(msgspec.Struct, frozen=True, kw_only=True):
    verb: str
    input: msgspec.Raw = msgspec.Raw(b"null")


@dataclass
class Caller:
    """One client, and whether it still listens."""

    connection: socket.socket
    user: str
    refusal: RefusedError | None = None
    """Told only once the request was read: closing before would reset the connection and lose the text."""
    data: bytes = b""

    def answer(self, reply: Reply) -> None:
        """Send and close; a client that went away is no fault of ours."""
        with contextlib.suppress(OSError):
            self.connection.settimeout(SLOW_CLIENT_S)
            self.connection.sendall(msgspec.json.encode(reply) + b"\n")
        self.connection.close()


Handler = Callable[[Request, Caller], None]
"""Must call caller.answer once, now or later."""


class ControlServer:
    """Raises NodeError HS608 when the socket belongs to another user or cannot be made."""

    def __init__(self, path: Path, loop: Loop[Any], host: Host, handler: Handler) -> None:
        self._path = path
        self._loop = loop
        self._host = host
        self._handler = handler
        self._callers: dict[int, Caller] = {}
        self._socket = _listen(path)
        loop.watch(self._socket.fileno(), self._accept)

    def close(self) -> None:
        self._loop.unwatch(self._socket.fileno())
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        try:
            connection, _ = self._socket.accept()
        except OSError:
            return
        connection.setblocking(False)
        user_id, pid = self._host.peer(connection)
        caller = Caller(connection, user=f"uid {user_id} (pid {pid})")
        if not self._host.may_operate(user_id):
            caller.refusal = RefusedError("only root may do this", hint="use sudo", code="HS609")
        if len(self._callers) >= MOST_CLIENTS:
            # The one that has been silent for longest: a client that leaks connections locks nobody out.
            silent = next(iter(self._callers))
            self._loop.unwatch(silent)
            self._callers.pop(silent).connection.close()
        descriptor = connection.fileno()
        self._callers[descriptor] = caller
        self._loop.watch(descriptor, lambda: self._read(descriptor))

    def _read(self, descriptor: int) -> None:
        caller = self._callers.get(descriptor)
        if caller is None:
            return  # dropped a moment ago, when it began to speak
        try:
            part = caller.connection.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            part = b""
        caller.data += part
        line, newline, _ = caller.data.partition(b"\n")
        if part and not newline and len(caller.data) <= LONGEST_LINE:
            return
        del self._callers[descriptor]
        self._loop.unwatch(descriptor)
        if not newline:
            caller.connection.close()
            return
        if caller.refusal is not None:
            caller.answer(failure(caller.refusal))
            return
        try:
            request = msgspec.json.decode(line, type=Request)
        except msgspec.DecodeError as error:
            caller.answer(
                failure(NodeError(f"not a request: {error}", hint="use `hsorch node`", code="HS606"))
            )
            return
        self._handler(request, caller)


def success(data: Any) -> Reply:
    return Reply(ok=True, data=msgspec.Raw(msgspec.json.encode(data)))


def failure(error: NodeError | RefusedError) -> Reply:
    return Reply(ok=False, code=error.code, message=error.message, hint=error.hint, detail=error.detail)


def ask(paths: Paths, verb: str, body: bytes, kind: type[T], timeout_s: float = ANSWER_WITHIN_S) -> T:
    """One request to the running agent.

    Raises NodeError HS601 (not running), HS602 (no answer in time), HS608 (no permission), or what the agent
    refused with.
    """
    absent = NodeError(
        f"the agent of cluster {paths.cluster} does not run on this machine",
        hint="start it: hsorch apply; if it ends at once, see runtime.log or the journal of its unit",
        code="HS601",
    )
    return _ask(paths.control, "agent", absent, verb, body, kind, timeout_s)


def ask_replicator(paths: Paths, verb: str, body: bytes, kind: type[T], timeout_s: float) -> T:
    """The same to the replicator. Raises NodeError HS615 (not running), HS602, HS608, or its refusal."""
    absent = NodeError(
        f"the replicator of cluster {paths.cluster} does not run on this machine",
        hint="the guard starts it again by itself; if it ends at once, see runtime.log or the unit's journal",
        code="HS615",
    )
    return _ask(paths.replicator_control, "replicator", absent, verb, body, kind, timeout_s)


def _ask(
    path: Path, who: str, absent: NodeError, verb: str, body: bytes, kind: type[T], timeout_s: float
) -> T:
    line = msgspec.json.encode(Request(verb=verb, input=msgspec.Raw(body))) + b"\n"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        try:
            _connect(connection, path, timeout_s)
            connection.sendall(line)
            answer = b"".join(iter(lambda: connection.recv(65_536), b""))
        except (FileNotFoundError, ConnectionError) as error:
            raise absent from error
        except PermissionError as error:
            raise NodeError(
                f"no permission to talk to the {who} at {path}", hint="use sudo", code="HS608"
            ) from error
        except TimeoutError as error:
            raise NodeError(
                f"the {who} at {path} gave no answer to {verb} within {timeout_s:g} s",
                hint="look at `hsorch status` and `hsorch events`: the operation may still go on",
                code="HS602",
            ) from error
    if not answer.endswith(b"\n"):  # it died, or gave up, while it was asked
        raise absent
    reply = msgspec.json.decode(answer, type=Reply)
    if reply.ok:
        return msgspec.json.decode(reply.data, type=kind)
    error_type = RefusedError if reply.code.startswith("HS7") or reply.code == "HS609" else NodeError
    raise error_type(reply.message, hint=reply.hint, detail=reply.detail, code=reply.code)


def _connect(connection: socket.socket, path: Path, timeout_s: float) -> None:
    """A queue that is full for a moment refuses at once; a timeout of the socket does not cover that."""
    until = time.monotonic() + timeout_s
    while True:
        try:
            connection.connect(str(path))
            return
        except BlockingIOError:
            if time.monotonic() >= until:
                raise TimeoutError from None
            time.sleep(CONNECT_AGAIN_S)


def _listen(path: Path) -> socket.socket:
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.setblocking(False)
    try:
        # A socket file without its agent: the pid file's lock says that we are the only one.
        path.unlink(missing_ok=True)
        server.bind(str(path))
        # Nobody can connect before it listens. Not by umask: that would be every thread's.
        path.chmod(0o600)
        server.listen(MOST_CLIENTS)
    except OSError as error:
        server.close()
        raise NodeError(
            f"cannot make the control socket {path}: {error.strerror}",
            hint="run the agent as root, or remove what another user left there",
            code="HS608",
        ) from error
    return server
