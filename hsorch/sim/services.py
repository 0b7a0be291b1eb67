"""The effects of one node in the virtual world: addresses and programs that really run or do not.

Truth about effects lives here, whatever the core believes. An operation takes time, may fail, hang or
outlive its limit, and a fence ends all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hsorch.node.core.actions import Run
from hsorch.node.core.types import Operation, ResourceOutcome
from hsorch.sim.clock import MS, Timeline
from hsorch.spec import Data, Ip, Process, Resource, Service, Spec

_FENCED = "ended by a fence"
LATE = "bytes did not reach the peer"
_LOOK = 10 * MS
Done = Callable[[int, Run, ResourceOutcome, str], None]
"""Receives the asker's life, the action, its outcome and a detail."""


@dataclass(slots=True)
class Item:
    """One resource on one node. effect: it answers clients (an address, a program)."""

    name: str
    effect: bool
    address: bool
    running: bool = False
    answering: bool = True
    """False: running, but not doing its work (row 28)."""
    start_fails: bool = False
    stop_hangs: bool = False
    taken: bool = False
    """A third host answers the address (row 40)."""
    start_time: int = 20 * MS
    stop_time: int = 20 * MS
    data: bool = False
    """The group's data: what becomes of them is the replicator's business."""


@dataclass(frozen=True, slots=True)
class _Call:
    """One operation under way. life: of the services when it began."""

    life: int
    asker: int
    action: Run
    done: Done

    def end(self, outcome: ResourceOutcome, detail: str = "") -> None:
        self.done(self.asker, self.action, outcome, detail)


class Services:
    """Carries out Run and Fence; calls `changed` whenever an effect appears or disappears."""

    def __init__(
        self,
        spec: Spec,
        timeline: Timeline,
        changed: Callable[[], None],
        data: Callable[[Operation], str] = lambda order: "",
    ) -> None:
        """data: tells the replicator; returns what is wrong, or nothing."""
        self.items = {r.name: _item(r) for r in spec.group.resources}
        self._timeline = timeline
        self._changed = changed
        self._data = data
        self._life = 0
        """Operations begun before the last fence, power loss or death of the agent do nothing any more."""

    @property
    def effects(self) -> bool:
        return any(i.running for i in self.items.values() if i.effect)

    @property
    def serving(self) -> bool:
        """Every effect is up and does its work: a client gets its answer."""
        return all(i.running and i.answering for i in self.items.values() if i.effect)

    def run(self, action: Run, done: Done, asker: int) -> None:
        """asker: handed back with the result, so that a later life of the agent does not get it."""
        item = self.items[action.resource]
        call = _Call(self._life, asker, action, done)
        match action.operation:
            case Operation.START:
                self._begin(call, item.start_time, self._start)
            case Operation.STOP if item.stop_hangs:
                self._timeline.after(action.limit, self._give_up, call)
            case Operation.STOP if item.data:
                self._drain(call, action.limit // 2)
            case Operation.STOP:
                self._begin(call, item.stop_time, self._stop)
            case Operation.KILL:
                self._begin(call, 2 * MS, self._stop)
            case Operation.CHECK:
                self._begin(call, MS, self._check)

    def drop(self) -> None:
        """Everything is gone at once: power loss, or the end of a fence."""
        self._life += 1
        for item in self.items.values():
            item.running = False
            if item.data:
                self._data(Operation.KILL)
        self._changed()

    def drop_addresses(self) -> None:
        """First half of a fence: clients no longer reach this node."""
        for item in self.items.values():
            if item.address:
                item.running = False
        self._changed()

    def cancel(self) -> None:
        """Whoever waited for an operation is gone (the agent died): results go nowhere, effects stay."""
        self._life += 1

    def fail(self, name: str) -> None:
        """A program dies by itself."""
        self.items[name].running = False
        self._changed()

    def repair(self) -> None:
        """Nothing hangs or fails any more; what is down stays down."""
        for item in self.items.values():
            item.answering, item.start_fails, item.stop_hangs, item.taken = True, False, False, False
        self._changed()

    # ------------------------------------------------------------------------------------- operations

    def _begin(self, call: _Call, takes: int, finish: Callable[[_Call], None]) -> None:
        if takes > call.action.limit:
            self._timeline.after(call.action.limit, self._give_up, call)
        else:
            self._timeline.after(takes, finish, call)

    def _give_up(self, call: _Call) -> None:
        in_time = call.life == self._life
        call.end(
            ResourceOutcome.TIMEOUT if in_time else ResourceOutcome.FAILED,
            f"no end within {call.action.limit // MS} ms" if in_time else _FENCED,
        )

    def _start(self, call: _Call) -> None:
        if call.life != self._life:
            call.end(ResourceOutcome.FAILED, _FENCED)
            return
        item = self.items[call.action.resource]
        if item.start_fails or item.taken:
            why = "another host answers this address" if item.taken else "exit status 1"
            call.end(ResourceOutcome.FAILED, why)
            return
        if item.data and (wrong := self._data(Operation.START)):
            call.end(ResourceOutcome.FAILED, wrong)
            return
        if not item.running:
            item.running = True
            item.answering = True
            self._changed()
        call.end(ResourceOutcome.OK)

    def _drain(self, call: _Call, left: int) -> None:
        """Looks again and again until the standby has everything, or the time is over."""
        wrong = "" if call.life != self._life else self._data(Operation.STOP)
        if wrong == LATE and left > 0:
            self._timeline.after(_LOOK, self._drain, call, left - _LOOK)
        elif wrong:
            call.end(ResourceOutcome.FAILED, wrong)
        else:
            self._timeline.after(MS, self._stop, call)

    def _stop(self, call: _Call) -> None:
        if call.life != self._life:
            call.end(ResourceOutcome.FAILED, _FENCED)
            return
        item = self.items[call.action.resource]
        if item.data and call.action.operation is Operation.KILL:
            self._data(Operation.KILL)
        if item.running:
            item.running = False
            self._changed()
        call.end(ResourceOutcome.OK)

    def _check(self, call: _Call) -> None:
        if call.life != self._life:
            call.end(ResourceOutcome.FAILED, _FENCED)
            return
        item = self.items[call.action.resource]
        good = (item.running and item.answering) if item.effect else True
        if item.data:
            good = not self._data(Operation.CHECK)
        call.end(ResourceOutcome.OK if good else ResourceOutcome.FAILED, "" if good else "no answer")


def _item(resource: Resource) -> Item:
    address = isinstance(resource, Ip)
    program = isinstance(resource, Service | Process)
    if address:
        return Item(resource.name, True, True, start_time=2 * MS, stop_time=MS)
    return Item(resource.name, program, False, data=isinstance(resource, Data))
