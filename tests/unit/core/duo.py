"""A tiny world for the core's own tests: two real cores, one clock, wires that can be cut, one register.

It carries actions out at once and in order, and asserts at every step what must never be broken: at most
one node with effects, and nothing sent that is not durable. The full world is hsorch/sim.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import Any

from msgspec.structs import replace

from hsorch.node.core.actions import (
    Action,
    Answer,
    AskWitness,
    Emit,
    Exit,
    Fence,
    Persist,
    ProbeIsolation,
    ProbeStore,
    Run,
    Send,
)
from hsorch.node.core.decide import begin, decide, wake_at
from hsorch.node.core.state import State
from hsorch.node.core.types import (
    Beat,
    Command,
    Durable,
    Event,
    Fenced,
    Instant,
    IsolationResult,
    Operation,
    Persisted,
    Received,
    ResourceOutcome,
    ResourceResult,
    StoreProbed,
    Tick,
    Verb,
    WitnessAnswer,
    WitnessOutcome,
)
from hsorch.spec import Spec

MS = 1_000_000
PEER = {"a": "b", "b": "a"}


class Node:
    """One machine: what is on its disk, what runs on it, what its agent said."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.state: State | None = None
        self.durable: Durable | None = None
        self.boots = 0
        self.runs = 0
        self.effects: set[str] = set()
        self.disk_full = False
        self.disk_hangs = False
        self.fence_works = True
        self.fails: set[tuple[str, Operation]] = set()
        self.isolated = False
        self.left = False
        self.frozen_until = 0
        self.events: list[Emit] = []
        self.answers: dict[str, Answer] = {}
        self.actions: list[Action] = []

    def told(self, kind: str) -> list[Emit]:
        return [e for e in self.events if e.kind == kind]


class Duo:
    """Times are milliseconds of one perfect clock; a frame takes 1 ms, a resource 5 ms, a fence 10 ms."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.now = 1_000 * MS
        self.nodes = {"a": Node("a"), "b": Node("b")}
        self.cut: set[tuple[str, str]] = set()
        """(sender, receiver) that hear nothing."""
        self.register: dict[int, str] = {}
        self.register_id = "w1"
        self.witness_down: set[str] = set()
        self.lose_reply = False
        self.forced = False
        """An operator forced a takeover against a living node: two actives are the price."""
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()

    # ------------------------------------------------------------------------------------ what tests do

    def boot(self, *names: str, forgotten: bool = False) -> Duo:
        """Power on: the machine is new, the disk is what it was."""
        for name in names or ("a", "b"):
            node = self.nodes[name]
            node.boots += 1
            node.effects.clear()
            self._start(node, forgotten)
        return self

    def restart_agent(self, name: str) -> None:
        """Only the agent: effects and boot id stay."""
        self._start(self.nodes[name], False)

    def crash(self, name: str) -> None:
        self.nodes[name].state = None
        self.nodes[name].effects.clear()

    def freeze(self, ms: float, *names: str) -> None:
        """The agent gets no processor for so long; what comes for it waits."""
        for name in names:
            self.nodes[name].frozen_until = self.now + int(ms * MS)

    def partition(self) -> None:
        self.cut = {("a", "b"), ("b", "a")}

    def heal(self) -> None:
        self.cut.clear()
        self.witness_down.clear()

    def order(self, name: str, verb: Verb, target: str = "") -> str:
        identity = f"op-{next(self._order)}"
        self.feed(name, Command(id=identity, verb=verb, actor="ops", target=target))
        return identity

    def answer(self, name: str, order: str) -> Answer | None:
        return self.nodes[name].answers.get(order)

    def feed(self, name: str, event: Event) -> None:
        node = self.nodes[name]
        if self.now < node.frozen_until:
            self._at(node.frozen_until + 1, lambda: self.feed(name, event))
        elif node.state is not None:
            node.state, actions = decide(node.state, event, Instant(self.now))
            self._carry_out(node, actions)

    def run(self, ms: float) -> Duo:
        """Let time pass."""
        end = self.now + int(ms * MS)
        while True:
            due = min((self._due(n) for n in self.nodes.values() if n.state), default=Instant(end))
            queued = self._queue[0][0] if self._queue else end
            if min(due, queued) >= end:
                self.now = end
                return self
            if queued < due:  # as the agent does: first of all the time
                self.now = max(self.now, queued)
                heapq.heappop(self._queue)[2]()
            else:
                self.now = max(self.now, due)
                for node in self.nodes.values():
                    if node.state is not None and self._due(node) <= self.now:
                        self.feed(node.name, Tick(wall=self.now, boottime=self.now))

    def config(self, name: str) -> str:
        """`1.0 SOLO(b)`, as that node holds it."""
        config = self.state(name).durable.config
        kind = "SOLO" if config.solo else "PAIR"
        return f"{config.epoch.major}.{config.epoch.minor} {kind}({config.holder})"

    def state(self, name: str) -> State:
        state = self.nodes[name].state
        assert state is not None, f"{name} is down"
        return state

    @property
    def active(self) -> str:
        """Name of the node where the whole group runs; empty: none."""
        whole = {r.name for r in self.spec.group.resources}
        return next((n.name for n in self.nodes.values() if n.effects == whole), "")

    # --------------------------------------------------------------------------------------- the world

    def _start(self, node: Node, forgotten: bool) -> None:
        node.runs += 1
        node.left = False
        node.state, actions = begin(
            self.spec,
            node.name,
            None if forgotten else node.durable,
            f"{node.name}-{node.boots}",
            node.runs,
            Instant(self.now),
            self.now,
            forgotten,
        )
        self._carry_out(node, actions)

    def _due(self, node: Node) -> int:
        assert node.state is not None
        return max(wake_at(node.state), node.frozen_until)

    def _later(self, ms: float, node: Node, event: Event) -> None:
        run = node.runs
        self._at(self.now + int(ms * MS), lambda: self.feed(node.name, event) if node.runs == run else None)

    def _at(self, when: int, what: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (when, next(self._order), what))

    def _carry_out(self, node: Node, actions: tuple[Action, ...]) -> None:
        node.actions.extend(actions)
        for action in actions:
            if isinstance(action, Persist) and node.disk_full:
                self.feed(node.name, Persisted(ok=False, detail="no space left on device"))
                return
            self._do(node, action)
            if isinstance(action, Persist) and node.state is not None and node.state.broken:
                self._later(0, node, Persisted(ok=True))
        acting = [n.name for n in self.nodes.values() if n.effects]
        assert self.forced or len(acting) <= 1, f"two nodes with effects: {acting}"

    def _do(self, node: Node, action: Any) -> None:
        match action:
            case Persist(durable=durable):
                node.durable = durable
            case ProbeStore() if not node.disk_hangs:
                self._later(5, node, StoreProbed(ok=not node.disk_full, detail="no space left on device"))
            case Send(beat=beat):
                assert node.durable is not None
                assert beat.config == node.durable.config, "sent before it was durable"
                self._send(node, beat)
            case Run():
                self._run(node, action)
            case Fence():
                if node.fence_works:
                    node.effects.clear()
                self._later(10, node, Fenced(ok=node.fence_works))
            case AskWitness():
                self._ask(node, action)
            case Emit():
                node.events.append(action)
            case Answer(id=identity):
                node.answers[identity] = action
            case ProbeIsolation():
                self._later(2, node, IsolationResult(answered=0 if node.isolated else 1, asked=1))
            case Exit():
                node.state, node.left = None, True

    def _send(self, node: Node, beat: Beat) -> None:
        if (node.name, PEER[node.name]) in self.cut:
            return
        for link in self.spec.links:
            event = Received(link=link.name, beat=beat)
            self._at(self.now + MS, lambda e=event: self.feed(PEER[node.name], e))  # type: ignore[misc]

    def _run(self, node: Node, action: Run) -> None:
        operation, name = action.operation, action.resource
        failed = (name, operation) in node.fails
        if operation is Operation.START and not failed:
            node.effects.add(name)
        elif operation in (Operation.STOP, Operation.KILL) and not failed:
            node.effects.discard(name)
        elif operation is Operation.CHECK:
            failed = failed or name not in node.effects
        outcome = ResourceOutcome.FAILED if failed else ResourceOutcome.OK
        self._later(
            5,
            node,
            ResourceResult(
                call=action.call,
                resource=name,
                operation=operation,
                outcome=outcome,
                detail="as the test wants",
            ),
        )

    def _ask(self, node: Node, action: AskWitness) -> None:
        reply = WitnessAnswer(request=action.request, major=action.major, outcome=WitnessOutcome.FAILED)
        if node.name in self.witness_down:
            self._later(100, node, reply)
            return
        outcome = WitnessOutcome.EXISTS if action.major in self.register else WitnessOutcome.ABSENT
        if action.create and outcome is WitnessOutcome.ABSENT:
            self.register[action.major] = node.name
            outcome = WitnessOutcome.CREATED
        if not self.lose_reply:
            owner = self.register.get(action.major, "")
            self._later(2, node, replace(reply, outcome=outcome, owner=owner, witness_id=self.register_id))
        else:
            self._later(100, node, reply)
