"""Actions are carried out in order, and what does not answer becomes an answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace

from hsorch.node import clock, events
from hsorch.node.core.actions import Arm, AskWitness, Disarm, Emit, Persist, Run, Severity
from hsorch.node.core.decide import begin, decide
from hsorch.node.core.state import Phase, State
from hsorch.node.core.types import (
    Config,
    Durable,
    Epoch,
    Event,
    Fenced,
    Instant,
    Operation,
    Persisted,
    ResourceOutcome,
    ResourceResult,
    Span,
    WitnessAnswer,
    WitnessOutcome,
)
from hsorch.node.events import EventLog
from hsorch.node.loop import Loop
from hsorch.node.perform import MOST_HANGING, Performer, World
from hsorch.node.resource.runner import Result
from hsorch.node.store import Store
from hsorch.node.watch import Watch
from hsorch.node.watchdogs import Watchdogs
from hsorch.node.witness.base import Answer
from hsorch.spec import Spec
from hsorch.verbs import EventsQuery

LIMIT = Span(50 * clock.MILLISECOND)


@dataclass
class HangingShare:
    """A register whose file system hangs until it is let go."""

    go_on: threading.Event = field(default_factory=threading.Event)
    entered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def create(self, major: int, node: str, limit_s: float) -> Answer:
        self.entered.release()
        self.go_on.wait(30)
        return Answer(WitnessOutcome.CREATED, owner=node, witness_id="w")

    def read(self, major: int, limit_s: float) -> Answer:
        return self.create(major, "", limit_s)


@dataclass
class Switch:
    """A dead-man switch that writes down what it was told."""

    told: list[str] = field(default_factory=list)

    def install(self, addresses: Sequence[str]) -> str:
        return ""

    def arm(self, until_ns: int) -> bool:
        self.told.append("arm")
        return True

    def open(self) -> bool:
        self.told.append("open")
        return True

    def block(self) -> bool:
        self.told.append("block")
        return True


class Resources:
    def prepare(self, name: str, operation: Operation) -> Callable[[float], Result]:
        return lambda _: Result(ResourceOutcome.FAILED, "no such file", "sh: not found", "HS655")


@dataclass
class Stage:
    world: World
    performer: Performer
    state: State
    share: HangingShare
    switch: Switch
    directory: Path

    def perform(self, *actions: Any) -> Event | None:
        return self.performer.carry_out(actions, self.state)

    def kinds(self) -> list[str]:
        records = events.read(self.directory / "events", EventsQuery(cluster="plant"))
        return [record.kind for record in records]


@pytest.fixture
def stage(spec: Spec, tmp_path: Path) -> Iterator[Stage]:
    share, switch = HangingShare(), Switch()
    watch, log = Watch(tmp_path / "watch", "boot-1"), EventLog(tmp_path / "events", node="a", group="g")
    world = World(
        spec=spec,
        me="a",
        store=Store(tmp_path / "state.json", tmp_path / "incarnation"),
        links=cast(Any, None),
        register=share,
        runner=cast(Any, Resources()),
        system=cast(Any, None),
        watchdogs=Watchdogs(watch, cast(Any, switch), ["10.0.0.9"], log),
        watch=watch,
        log=log,
        loop=Loop(),
        door=cast(Any, None),
    )
    state, _ = begin(spec, "a", None, "boot-1", 1, Instant(1), 1)
    state, _ = decide(state, Fenced(ok=True), Instant(2))
    yield Stage(world, Performer(world), state, share, switch, tmp_path)
    share.go_on.set()


def durable(minor: int) -> Durable:
    return Durable(config=Config(epoch=Epoch(1, minor), holder="a"))


def emit(kind: str) -> Emit:
    return Emit(severity=Severity.INFO, kind=kind, message=kind)


def ask(request: int) -> AskWitness:
    return AskWitness(request=request, major=1, create=True, limit=LIMIT)


def test_what_follows_a_failed_write_is_not_done(stage: Stage) -> None:
    (stage.directory / "state.json").mkdir()
    heard = stage.perform(emit("before"), Persist(durable=durable(1)), emit("after"))
    assert isinstance(heard, Persisted)
    assert not heard.ok
    assert stage.kinds() == ["before"]


def test_a_write_that_succeeds_is_told_only_while_the_disk_is_held_for_broken(stage: Stage) -> None:
    stage.state = replace(stage.state, broken=True)
    assert stage.perform(Persist(durable=durable(2)), emit("after")) == Persisted(ok=True)
    stage.state = replace(stage.state, broken=False)
    assert stage.perform(Persist(durable=durable(3))) is None
    assert stage.kinds() == ["after"]


def test_a_witness_that_hangs_confirms_nothing_after_its_limit(stage: Stage) -> None:
    asked = clock.now()
    stage.perform(ask(7))
    assert stage.performer.overdue(asked) == []
    (answer,) = stage.performer.overdue(asked + 2 * LIMIT + clock.SECOND)
    assert (answer.request, answer.outcome) == (7, WitnessOutcome.FAILED)


def test_an_answer_after_its_limit_is_not_told_a_second_time(stage: Stage) -> None:
    stage.perform(ask(7))
    stage.performer.overdue(clock.now() + clock.SECOND)
    stage.share.go_on.set()
    late: list[Event] = []
    while not late:
        late = stage.world.loop.wait(0.5)
    assert isinstance(late[0], WitnessAnswer)
    assert not stage.performer.answered_in_time(late[0])


def test_questions_that_hang_for_ever_do_not_pile_up(stage: Stage) -> None:
    for request in range(MOST_HANGING + 3):
        stage.perform(ask(request))
    refused = stage.performer.overdue(clock.now())
    assert [answer.request for answer in refused] == list(range(MOST_HANGING, MOST_HANGING + 3))
    for _ in range(MOST_HANGING):
        assert stage.share.entered.acquire(timeout=5)
    assert not stage.share.entered.acquire(blocking=False)


def test_the_output_of_a_failed_call_is_in_the_event_log(stage: Stage) -> None:
    stage.perform(Run(call=3, resource="app", operation=Operation.CHECK, limit=LIMIT))
    posted: list[Event] = []
    while not posted:
        posted = stage.world.loop.wait(0.5)
    assert posted == [
        ResourceResult(
            call=3,
            resource="app",
            operation=Operation.CHECK,
            outcome=ResourceOutcome.FAILED,
            detail="no such file",
        )
    ]
    (record,) = events.read(stage.directory / "events", EventsQuery(cluster="plant"))
    assert (record.resource, record.code, record.fields["output"]) == ("app", "HS655", "sh: not found")


def test_guard_and_kernel_are_armed_together(stage: Stage) -> None:
    stage.perform(Arm(until=Instant(77)))
    assert stage.world.watch.until == 77
    assert stage.switch.told == ["arm"]


def test_disarming_an_idle_node_leaves_its_traffic_blocked(stage: Stage) -> None:
    stage.perform(Arm(until=Instant(77)), Disarm())
    assert stage.world.watch.until == 0
    assert stage.switch.told == ["arm", "block"]


def test_effects_that_need_no_lease_pass_without_end(stage: Stage) -> None:
    running = replace(stage.state, group=replace(stage.state.group, phase=Phase.ON))
    stage.performer.carry_out([Arm(until=Instant(77)), Disarm()], running)
    assert stage.world.watch.until == 0
    assert stage.switch.told == ["arm", "open"]


def test_stops_that_are_owed_after_a_fence_let_nothing_pass(stage: Stage) -> None:
    fenced = replace(stage.state, group=replace(stage.state.group, phase=Phase.STOPPING, fenced=True))
    stage.performer.carry_out([Disarm()], fenced)
    assert stage.switch.told == ["block"]
