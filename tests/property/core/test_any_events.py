"""Whatever arrives, in whatever order: the core never raises and never promises before it is durable."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hsorch.node.core.actions import Action, Arm, AskWitness, Fence, Persist, Run, Send
from hsorch.node.core.decide import begin, decide, limits, wake_at
from hsorch.node.core.report import active, lease_left_ms, protected, role, up, witness_state
from hsorch.node.core.state import State
from hsorch.node.core.types import (
    Beat,
    Command,
    Config,
    Desired,
    Durable,
    Epoch,
    Event,
    Fenced,
    GuardState,
    Instant,
    Intent,
    IsolationResult,
    NicChanged,
    Operation,
    Persisted,
    Received,
    Reconfigured,
    Rejected,
    ResourceOutcome,
    ResourceResult,
    Role,
    StoreProbed,
    Tick,
    Verb,
    WitnessAnswer,
    WitnessOutcome,
)
from hsorch.spec import WIRE, Isolation
from tests.unit.core.conftest import make_spec

MS = 1_000_000
SPECS = (
    make_spec(isolation=Isolation(addresses=("10.77.0.1",))),
    make_spec(witness=False, lease_ms=900),
    make_spec(on_resource_error="alarm", witness_lost="require_both"),
)
names = st.sampled_from("ab")
small = st.integers(0, 4)
configs = st.builds(
    Config, epoch=st.builds(Epoch, st.integers(-1, 4), small), holder=names, solo=st.booleans()
)
intents = st.builds(
    Intent, version=small, by=names, desired=st.sampled_from(Desired), maintenance=st.booleans()
)
beats = st.builds(
    Beat,
    wire=st.just(WIRE),
    cluster=st.just("orders"),
    sender=st.just("b"),
    boot=st.sampled_from(["b-1", "b-2"]),
    incarnation=st.integers(1, 3),
    seq=st.integers(1, 60),
    echo_incarnation=st.sampled_from([1, 1, 1, 0]),
    echo_seq=st.integers(0, 8),
    config=configs,
    role=st.sampled_from(Role),
    acting=st.booleans(),
    proposed=st.booleans(),
    renew=st.booleans(),
    grants=st.integers(0, 20),
    intent=intents,
    leaving=st.booleans(),
    want=st.sampled_from(["", "", "switch"]),
    release=st.sampled_from(["", "switch", "app failed"]),
    witness_ok=st.booleans(),
    can_take=st.booleans(),
)
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(Tick, wall=st.integers(0, 10**13), boottime=st.integers(0, 10**11)),
    st.builds(Received, link=st.sampled_from(["direct", "lan", "unknown"]), beat=beats),
    st.builds(Received, link=st.just("direct"), beat=beats),
    st.builds(Rejected, link=st.sampled_from(["direct", "x"]), why=st.just("wrong key")),
    st.builds(
        WitnessAnswer,
        request=small,
        major=st.integers(0, 5),
        outcome=st.sampled_from(WitnessOutcome),
        owner=st.sampled_from(["", "a", "b"]),
        witness_id=st.sampled_from(["", "w1", "w2"]),
    ),
    st.builds(
        ResourceResult,
        call=st.integers(0, 12),
        resource=st.sampled_from(["vip", "app"]),
        operation=st.sampled_from(Operation),
        outcome=st.sampled_from(ResourceOutcome),
    ),
    st.builds(Fenced, ok=st.booleans()),
    st.builds(Fenced, ok=st.just(True)),
    st.builds(Persisted, ok=st.booleans()),
    st.builds(StoreProbed, ok=st.booleans()),
    st.builds(NicChanged, nic=st.sampled_from(["service", "heartbeat"]), up=st.booleans()),
    st.builds(IsolationResult, answered=st.integers(0, 1), asked=st.just(1)),
    st.builds(GuardState, alive=st.booleans()),
    st.builds(
        Command,
        id=st.just("op"),
        verb=st.sampled_from([v for v in Verb if v is not Verb.SHUTDOWN]),
        actor=st.just("ops"),
        target=st.sampled_from(["", "a", "b", "c"]),
    ),
    st.builds(Command, id=st.just("op"), verb=st.just(Verb.SHUTDOWN), actor=st.just("ops")),
    st.builds(Reconfigured, spec=st.sampled_from(SPECS)),
)
durables = st.one_of(
    st.none(),
    st.builds(
        Durable,
        config=configs,
        intent=intents,
        boot=st.sampled_from(["a-1", "a-0"]),
        unclean=st.sampled_from([(), ("vip", "app")]),
        evidence=st.booleans(),
        failovers=st.sampled_from([(), (1, 2, 3, 4)]),
    ),
)
steps = st.lists(st.tuples(st.integers(0, 2_000), events), max_size=60)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(spec=st.sampled_from(SPECS), durable=durables, forgotten=st.booleans(), steps=steps)
def test_nothing_that_can_arrive_breaks_a_promise(
    spec: object, durable: Durable | None, forgotten: bool, steps: list[tuple[int, Event]]
) -> None:
    now = Instant(1_000 * MS)
    state, actions = begin(spec, "a", durable, "a-1", 1, now, 0, forgotten)  # type: ignore[arg-type]
    stored = check(state, actions, None)
    for delay, event in steps:
        now = Instant(now + delay * MS)
        state, actions = decide(state, event, now)
        failed = isinstance(event, Persisted) and not event.ok
        stored = check(state, actions, state.stored if failed else stored)
        assert state.left or wake_at(state) > now
        look(state, now)


def check(state: State, actions: tuple[Action, ...], stored: Durable | None) -> Durable | None:
    """The order of one list of actions; returns what is on the disk afterwards."""
    persists = [i for i, a in enumerate(actions) if isinstance(a, Persist)]
    assert len(persists) <= 1
    for i, action in enumerate(actions):
        if isinstance(action, Persist):
            stored = action.durable
            assert all(isinstance(a, Fence | Arm) for a in actions[:i]), (
                "something came before it was durable"
            )
        elif isinstance(action, Send):
            assert stored is not None
            assert action.beat.config == stored.config
            assert action.beat.intent == stored.intent
        elif isinstance(action, AskWitness) and action.create:
            assert not state.broken
        elif isinstance(action, Run) and action.operation is Operation.START:
            assert state.durable.config.holder == "a", "a start without a right"
            assert "app" in state.durable.unclean or state.broken
    return stored


def look(state: State, now: Instant) -> None:
    """Whoever asks gets an answer."""
    for limit in limits(state, now):
        assert limit.code.startswith("HS7")
        assert limit.message
        assert limit.hint
    assert isinstance(role(state, now), Role)
    assert isinstance(up(state, now), bool)
    assert isinstance(protected(state, now), bool)
    assert active(state, now) in {"", "a", "b"}
    assert lease_left_ms(state, now) >= 0
    assert witness_state(state)
