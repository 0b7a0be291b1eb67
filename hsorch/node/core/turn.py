"""One call of `decide` while it is being worked out: the next state and the actions so far.

A Turn never leaves the core; what goes in and comes out of `decide` is immutable.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from hsorch.node.core.actions import Action, Answer, Arm, Disarm, Emit, Fence, Persist, Run, Severity
from hsorch.node.core.state import State
from hsorch.node.core.types import Durable, Instant, Operation, Span


class Turn:
    """Collects; done() orders: fence first, then what must be durable, then all that depends on it."""

    __slots__ = ("_actions", "_before", "_first", "_prove", "now", "state")

    def __init__(self, state: State, now: Instant) -> None:
        self.state = state
        self.now = now
        self._before: Durable = state.durable
        self._first: list[Action] = []
        self._actions: list[Action] = []
        self._prove = False

    def set(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)

    def lease(self, **changes: Any) -> None:
        self.state = replace(self.state, lease=replace(self.state.lease, **changes))

    def witness(self, **changes: Any) -> None:
        self.state = replace(self.state, witness=replace(self.state.witness, **changes))

    def group(self, **changes: Any) -> None:
        self.state = replace(self.state, group=replace(self.state.group, **changes))

    def save(self, **changes: Any) -> None:
        """Change the durable part; one Persist at the end of the turn covers all changes. While the disk
        refuses nothing durable changes."""
        if self.state.broken:
            return
        self.state = replace(self.state, durable=replace(self.state.durable, **changes))

    def revert(self) -> None:
        """The last Persist failed: the durable part is what it was, and there is nothing to write."""
        self._before = self.state.stored
        self.set(durable=self.state.stored)

    def prove_store(self) -> None:
        """Write the durable part even if unchanged: what follows needs a disk that works."""
        self._prove = True

    def do(self, action: Action) -> None:
        if isinstance(action, Arm):
            # It goes out first: an end of the watch that was decided before it must not come after it.
            self._actions = [earlier for earlier in self._actions if not isinstance(earlier, Disarm)]
        first = isinstance(action, Fence | Arm)
        (self._first if first else self._actions).append(action)

    def emit(self, severity: Severity, kind: str, message: str, code: str = "", **fields: Any) -> None:
        self.do(Emit(severity=severity, kind=kind, message=message, code=code, fields=fields))

    def answer(self, command: str, ok: bool, message: str, code: str = "", hint: str = "") -> None:
        self.do(Answer(id=command, ok=ok, message=message, code=code, hint=hint))

    def run(self, resource: str, operation: Operation, limit: Span) -> int:
        """Ask for one operation; returns the number of the call."""
        call = self.state.calls + 1
        self.set(calls=call)
        self.do(Run(call=call, resource=resource, operation=operation, limit=limit))
        return call

    def done(self) -> tuple[State, tuple[Action, ...]]:
        durable = self.state.durable
        if durable == self._before and not self._prove:
            return self.state, (*self._first, *self._actions)
        self.set(stored=self._before)
        return self.state, (*self._first, Persist(durable=durable), *self._actions)
