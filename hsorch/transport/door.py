"""The narrow door seen from outside: run `hsorch-node VERB` on a node, JSON in, one Reply out.

Not here: what verbs there are (hsorch.node) and when to call them (hsorch.plan, hsorch.cli).
"""

from __future__ import annotations

import threading
from typing import TypeVar

import msgspec

from hsorch.errors import HsorchError, NodeError, RefusedError, TransportError
from hsorch.transport.base import Completed, Transport
from hsorch.verbs import Reply

RUNTIMES = "/var/lib/hsorch/runtime"
SHELL_NOT_FOUND = (126, 127)
REFUSALS = ("HS43", "HS609", "HS7")
"""Beginnings of the codes by which a node says no without having changed anything."""

_parsing = threading.Lock()

T = TypeVar("T")


def ask(
    transport: Transport,
    node: str,
    verb: str,
    order: msgspec.Struct,
    kind: type[T],
    *,
    timeout: float = 30.0,
    runtime: str = "current",
) -> T:
    """Ask one verb; the answer is of `kind`. timeout in seconds.

    Raises TransportError (HS505: no runtime there), RefusedError, or NodeError with the node's own words.
    """
    argv = [f"{RUNTIMES}/{runtime}/hsorch-node", verb]
    try:
        done = transport.run(argv, msgspec.json.encode(order), timeout)
    except TransportError as error:
        if error.code == "HS504":
            raise no_runtime(node) from error
        raise
    return decode(node, verb, done, kind)


def decode(node: str, verb: str, done: Completed, kind: type[T]) -> T:
    """The data of a Reply. Raises what the Reply says went wrong on the node."""
    try:
        reply = parse(done.stdout, Reply)
        if reply.ok:
            return parse(reply.data, kind)
    except msgspec.DecodeError as error:
        if done.returncode in SHELL_NOT_FOUND:
            raise no_runtime(node) from error
        raise NodeError(
            f"{node} gave no proper answer to {verb} (exit code {done.returncode})",
            hint="the runtime there may be of another version or damaged: hsorch apply installs it anew",
            detail=done.stderr.decode(errors="replace").strip()[-2000:] or str(error),
            code="HS506",
        ) from error
    raise failure(node, reply)


def parse(data: bytes | msgspec.Raw, kind: type[T]) -> T:
    """One thread at a time: nodes are asked at once, and two threads inside msgspec 0.22, which works out a
    type at its first use, crashed the interpreter. Raises msgspec.DecodeError."""
    with _parsing:
        return msgspec.json.decode(data, type=kind)


def failure(node: str, reply: Reply) -> HsorchError:
    """The node's refusal or failure as an error of ours, with the node's name before its words."""
    kind = RefusedError if reply.code.startswith(REFUSALS) else NodeError
    return kind(f"{node}: {reply.message}", hint=reply.hint, detail=reply.detail, code=reply.code)


def no_runtime(node: str) -> TransportError:
    return TransportError(
        f"the hsorch runtime is not installed on {node}",
        hint="run `hsorch apply` first: it installs the runtime on both nodes",
        code="HS505",
    )
