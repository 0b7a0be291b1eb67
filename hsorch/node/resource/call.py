"""One operation on one resource while it runs: what a kind of resource may use, and when it must stop.

A kind raises NodeError when the operation failed, TimeLimitError when its limit was reached, and returns a
Note otherwise. It changes the world only inside `with call.effect():`, so that a start which was overtaken
by a kill or a fence can never land its effect afterwards, nor undo what came after it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from hsorch.errors import NodeError
from hsorch.node.resource.records import Record, Records
from hsorch.node.system.base import Deadline, Launch, System
from hsorch.spec import AnyResource, Spec

_WAIT_FOR_EFFECT_S = 0.2
"""A fence waits this long for an effect in progress (normally below 5 ms) and then goes on regardless."""


class TimeLimitError(NodeError):
    """The operation reached its limit; what it had started for itself was killed."""

    code = "HS656"


class OvertakenError(NodeError):
    """A kill or a fence came while the operation was running."""

    code = "HS657"


@dataclass(frozen=True)
class Note:
    """What a successful operation has to say."""

    detail: str = ""
    output: str = ""


class Turn:
    """Says whose turn it is on one resource: each kill and each fence ends the turns before it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.number = 0

    def overtake(self) -> bool:
        """From now on no effect of an earlier turn begins. False: one in progress is too slow to wait for."""
        self.number += 1
        ended = self._lock.acquire(timeout=_WAIT_FOR_EFFECT_S)
        if ended:
            self._lock.release()
        return ended

    @contextmanager
    def effect(self, number: int, name: str) -> Iterator[None]:
        with self._lock:
            if number != self.number:
                raise OvertakenError(
                    f"{name}: overtaken by a kill", hint="none needed: this is how fencing works"
                )
            yield


@dataclass(frozen=True)
class Call:
    """Everything an operation may touch."""

    name: str
    spec: Spec
    me: str
    system: System
    records: Records
    deadline: Deadline
    turn: Turn
    number: int
    mark: str
    leased: Callable[[], bool]
    """False: the watchdog's instant has passed. After a freeze a start may be the first to wake up."""

    @contextmanager
    def effect(self) -> Iterator[None]:
        with self.turn.effect(self.number, self.name):
            if not self.leased():
                raise OvertakenError(
                    f"{self.name}: the lease ended before it could start",
                    hint="none needed: this is how fencing works",
                )
            yield

    @property
    def record(self) -> Record | None:
        return self.records.get(self.name)

    def nic(self, role: str) -> str:
        """Name of this node's NIC in a role."""
        return self.spec.node(self.me).nics[role].name

    def launch(self, argv: tuple[str, ...], operation: str, *, logged: bool = False) -> Launch:
        """A program on behalf of this resource."""
        facts = {
            "HSORCH_CLUSTER": self.spec.cluster,
            "HSORCH_NODE": self.me,
            "HSORCH_RESOURCE": self.name,
            "HSORCH_OPERATION": operation,
        }
        log = self.records.log(self.name) if logged else None
        return Launch(argv=argv, mark=self.mark, environment=facts, log=log)

    def gated(self, launch: Launch) -> Launch:
        """The same program, begun as an effect: never after a kill or a fence."""
        return replace(launch, gate=self.effect)

    def ran_out(self, what: str, output: str = "") -> TimeLimitError:
        return TimeLimitError(
            f"{self.name}: {what} did not end within its limit",
            hint="look at its output, or raise the limit of this resource",
            detail=output,
        )


R = TypeVar("R", bound=AnyResource, contravariant=True)


class Kind(Protocol[R]):
    """One kind of resource. All four are idempotent (REQ-D05); kill leaves nothing of it on this node."""

    def start(self, call: Call, resource: R) -> Note: ...
    def stop(self, call: Call, resource: R) -> Note: ...
    def kill(self, call: Call, resource: R) -> Note: ...
    def check(self, call: Call, resource: R) -> Note: ...
