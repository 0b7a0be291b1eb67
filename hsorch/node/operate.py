"""Verbs of the narrow door that look at or operate a running pair: status, explain, operate, events, tail.

status, explain and operate ask the agent over its control socket; events and tail read the event log from
disk, so that they answer when the agent is dead too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from hsorch.errors import NodeError
from hsorch.node import control, events
from hsorch.node.paths import Paths
from hsorch.verbs import EventRecord, EventsQuery, LimitReport, Operate, StatusReport

TAIL_POLL_S = 0.1

T = TypeVar("T")


class Ask(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Input of status and explain."""

    cluster: str


class Tail(EventsQuery, frozen=True, kw_only=True):
    """Input of tail: like events, but waits up to wait_ms for the first matching record."""

    wait_ms: int = 10_000


def status(stdin: bytes) -> StatusReport:
    ask = _parse(stdin, Ask)
    return control.ask(Paths(ask.cluster), "status", b"null", StatusReport)


def explain(stdin: bytes) -> tuple[LimitReport, ...]:
    """Every reason why this node would not take over, or the pair is not protected."""
    ask = _parse(stdin, Ask)
    return control.ask(Paths(ask.cluster), "explain", b"null", tuple[LimitReport, ...])


def operate(stdin: bytes) -> dict[str, str]:
    """Carry out an operator's verb; returns when it is done. Refusals carry the core's HS7xx code."""
    order = _parse(stdin, Operate)
    return control.ask(
        Paths(order.cluster),
        "operate",
        msgspec.json.encode(order),
        dict[str, str],
        timeout_s=order.timeout_ms / 1000,
    )


def read_events(stdin: bytes) -> list[EventRecord]:
    query = _parse(stdin, EventsQuery)
    return events.read(Paths(query.cluster).events, query)


def tail(stdin: bytes) -> list[EventRecord]:
    query = _parse(stdin, Tail)
    directory = Paths(query.cluster).events
    deadline = time.monotonic() + query.wait_ms / 1000
    while True:
        found = events.read(directory, query)
        if found or time.monotonic() >= deadline:
            return found
        time.sleep(TAIL_POLL_S)


VERBS: dict[str, Callable[[bytes], Any]] = {
    "status": status,
    "explain": explain,
    "operate": operate,
    "events": read_events,
    "tail": tail,
}


def _parse(stdin: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(stdin, type=kind)
    except msgspec.DecodeError as error:
        raise NodeError(
            f"the request is not a valid {kind.__name__}: {error}",
            hint="controller and node must run the same wire version; run `hsorch plan`",
            code="HS606",
        ) from error
