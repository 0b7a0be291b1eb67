"""Carries out the core's actions, in order: disk, links, witness, resources, watchdogs, log, answers.

Nothing is decided here. What takes time runs in a thread of its own and comes back through the loop as the
core's event; only Persist blocks, because nothing may happen before it is on disk (docs/decisions/0007).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hsorch.errors import RefusedError
from hsorch.node import clock, control
from hsorch.node.core import facts
from hsorch.node.core.actions import (
    Action,
    Answer,
    Arm,
    AskWitness,
    Disarm,
    Emit,
    Exit,
    Fence,
    Persist,
    ProbeIsolation,
    ProbeStore,
    Run,
    Send,
    Severity,
)
from hsorch.node.core.state import State
from hsorch.node.core.types import (
    Event,
    Fenced,
    IsolationResult,
    Operation,
    ResourceOutcome,
    ResourceResult,
    WitnessAnswer,
    WitnessOutcome,
)
from hsorch.node.data import DataDriver, Door
from hsorch.node.events import EventLog
from hsorch.node.link.links import Links
from hsorch.node.loop import Loop
from hsorch.node.resource.runner import Runner
from hsorch.node.store import Store
from hsorch.node.system.base import System
from hsorch.node.watch import Watch
from hsorch.node.watchdogs import Watchdogs
from hsorch.node.witness.base import Register
from hsorch.node.witness.isolation import service_nic
from hsorch.spec import Spec
from hsorch.verbs import Operate

MOST_HANGING = 4
"""Questions to a witness that hang in the operating system; more are not started."""


Note = Callable[[Operate, str, str], None]
"""Takes (order, user, outcome) down in the audit log."""


@dataclass
class World:
    """What the actions act on. The agent replaces links, register and data when a new spec needs it."""

    spec: Spec
    me: str
    store: Store
    links: Links
    register: Register | None
    runner: Runner
    system: System
    watchdogs: Watchdogs
    watch: Watch
    log: EventLog
    loop: Loop[Event]
    door: Door
    """To the replicator."""
    data: DataDriver | None = None
    """None: nothing is replicated."""


@dataclass(frozen=True)
class _Question:
    """One that the witness has not answered. why: what the core hears if it does not until then."""

    ask: AskWitness
    until: int
    why: str


class Performer:
    def __init__(self, world: World) -> None:
        self._world = world
        self._questions: dict[int, _Question] = {}
        self._hanging = 0
        self._orders: dict[str, tuple[Operate, control.Caller, Note]] = {}
        self.exiting = False
        self._do: dict[type, Callable[..., None]] = {
            ProbeStore: self._probe_store,
            Send: self._send,
            AskWitness: self._ask_witness,
            Run: self._run,
            Fence: self._fence,
            Arm: self._arm,
            ProbeIsolation: self._probe_isolation,
            Emit: self._emit,
            Answer: self._answer,
            Exit: self._exit,
        }

    def carry_out(self, actions: Sequence[Action], state: State) -> Event | None:
        """state: after these actions. Returns what the core must hear before anything else, if anything."""
        heard: Event | None = None
        for action in actions:
            if isinstance(action, Persist):
                done = self._world.store.save(action.durable)
                if not done.ok:
                    return done
                if state.broken:
                    heard = done
            elif isinstance(action, Disarm):
                self._disarm(effects=facts.acting(state) and not state.group.fenced)
            else:
                self._do[type(action)](action)
        return heard

    def expect(self, order: Operate, caller: control.Caller, note: Note) -> None:
        """This caller waits for the Answer to its order, and note for how it ended."""
        self._orders[order.id] = (order, caller, note)

    # ------------------------------------------------------------------ the disk

    def _probe_store(self, _: ProbeStore) -> None:
        self._world.loop.work("store", self._world.store.probe)

    # ------------------------------------------------------------------ the peer

    def _send(self, action: Send) -> None:
        self._world.links.send(action.beat, action.links, clock.now)

    # --------------------------------------------------------------- the witness

    def _ask_witness(self, ask: AskWitness) -> None:
        register, me = self._world.register, self._world.me
        if register is None or self._hanging >= MOST_HANGING:
            why = "no witness is set up" if register is None else "earlier questions still hang"
            self._questions[ask.request] = _Question(ask, clock.now(), why)
            return
        why = f"no answer within {ask.limit // clock.MILLISECOND} ms"
        self._questions[ask.request] = _Question(ask, clock.now() + ask.limit, why)
        self._hanging += 1
        limit_s = ask.limit / clock.SECOND

        def question() -> Event:
            if ask.create:
                answer = register.create(ask.major, me, limit_s)
            else:
                answer = register.read(ask.major, limit_s)
            return WitnessAnswer(
                request=ask.request,
                major=ask.major,
                outcome=answer.outcome,
                owner=answer.owner,
                witness_id=answer.witness_id,
                detail=answer.detail,
            )

        self._world.loop.work("witness", question)

    def answered_in_time(self, answer: WitnessAnswer) -> bool:
        """Take note of an answer from a worker; False: the core was told long ago that there was none."""
        self._hanging = max(0, self._hanging - 1)
        return self._questions.pop(answer.request, None) is not None

    def overdue(self, now: int) -> list[WitnessAnswer]:
        """Questions whose time ran out become "not confirmed"."""
        late = [question for question in self._questions.values() if question.until <= now]
        for question in late:
            del self._questions[question.ask.request]
        return [
            WitnessAnswer(
                request=question.ask.request,
                major=question.ask.major,
                outcome=WitnessOutcome.FAILED,
                detail=question.why,
            )
            for question in late
        ]

    def next_due(self, default: int) -> int:
        return min((question.until for question in self._questions.values()), default=default)

    # ------------------------------------------------------------- the resources

    def _run(self, run: Run) -> None:
        world = self._world
        job = world.runner.prepare(run.resource, run.operation)

        def call() -> Event:
            began = clock.now()
            result = job(run.limit / clock.SECOND)
            took_ms = (clock.now() - began) // clock.MILLISECOND
            if run.operation is not Operation.CHECK or result.outcome is not ResourceOutcome.OK:
                good = result.outcome is ResourceOutcome.OK
                world.log.add(
                    Severity.INFO if good else Severity.WARNING,
                    "resource_call",
                    f"{run.operation} of {run.resource}: {result.outcome} in {took_ms} ms"
                    + (f": {result.detail}" if result.detail else ""),
                    code=result.code,
                    resource=run.resource,
                    fields={"operation": run.operation, "took_ms": took_ms, "output": result.output},
                )
            return ResourceResult(
                call=run.call,
                resource=run.resource,
                operation=run.operation,
                outcome=result.outcome,
                detail=result.detail,
            )

        world.loop.work(f"{run.operation} {run.resource}", call)

    def _fence(self, fence: Fence) -> None:
        world = self._world

        def work() -> Event:
            ok, detail = world.runner.fence(fence.reason)
            severity, code = (Severity.INFO, "") if ok else (Severity.ALARM, "HS665")
            world.log.add(severity, "fence_result", detail, code=code)
            return Fenced(ok=ok, detail=detail)

        world.loop.work("fence", work)

    def _probe_isolation(self, _: ProbeIsolation) -> None:
        world = self._world
        isolation = world.spec.policy.isolation
        nic = service_nic(world.spec, world.me)

        def work() -> Event:
            try:
                answered = world.system.ping(isolation.addresses, nic, isolation.timeout_ms / 1000)
            except OSError:
                # The NIC is not there, or we may not ask: nobody has answered.
                answered = frozenset()
            return IsolationResult(answered=len(answered), asked=len(isolation.addresses))

        world.loop.work("isolation", work)

    # -------------------------------------------------------------- the watchdogs

    def _arm(self, arm: Arm) -> None:
        self._world.watchdogs.arm(arm.until)

    def _disarm(self, *, effects: bool) -> None:
        """With effects on (SOLO) the kernel passes their traffic without end, otherwise none."""
        if effects:
            self._world.watchdogs.release()
        else:
            self._world.watchdogs.block()

    # ------------------------------------------------------------------ operators

    def _emit(self, emit: Emit) -> None:
        fields = dict(emit.fields)
        resource, operation = str(fields.pop("resource", "")), str(fields.pop("operation_id", ""))
        self._world.log.add(
            emit.severity,
            emit.kind,
            emit.message,
            code=emit.code,
            resource=resource,
            operation_id=operation,
            fields=fields,
        )

    def _answer(self, answer: Answer) -> None:
        severity = Severity.INFO if answer.ok else Severity.WARNING
        self._world.log.add(
            severity, "operation_end", answer.message, code=answer.code, operation_id=answer.id
        )
        waiting = self._orders.pop(answer.id, None)
        if waiting is None:
            return
        order, caller, note = waiting
        code = answer.code or RefusedError.code
        note(order, caller.user, "done" if answer.ok else code)
        if answer.ok:
            caller.answer(control.success({"message": answer.message}))
        else:
            caller.answer(control.failure(RefusedError(answer.message, hint=answer.hint, code=code)))

    def _exit(self, _: Exit) -> None:
        self._world.watchdogs.remove()
        self._world.watch.left = True
        self.exiting = True
