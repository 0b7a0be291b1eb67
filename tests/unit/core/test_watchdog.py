"""The watchdog is armed before the first effect under a lease, and stays so until the last one is gone."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from hsorch.node.core.actions import Action, Arm, Disarm, Run
from hsorch.node.core.types import Operation, Verb
from hsorch.spec import Script
from tests.unit.core.conftest import make_spec
from tests.unit.core.duo import Duo


def unwatched_starts(actions: Iterable[Action]) -> list[str]:
    """Resources whose start was asked for while the watchdog was not armed."""
    armed, found = False, []
    for action in actions:
        armed = isinstance(action, Arm) or (armed and not isinstance(action, Disarm))
        if isinstance(action, Run) and action.operation is Operation.START and not armed:
            found.append(action.resource)
    return found


def test_a_group_brought_out_and_in_again_starts_with_the_watchdog_armed() -> None:
    """The second order comes at the peer while the group still stops: off and on again in one step."""
    duo = Duo(make_spec()).boot().run(3_000)
    assert duo.active == "a"
    duo.order("a", Verb.BRING_OUT)
    duo.run(2)
    duo.order("b", Verb.BRING_IN)
    duo.run(100)
    assert duo.active == "a"
    assert unwatched_starts(duo.nodes["a"].actions) == []


def test_an_agent_that_restarts_as_exclusive_lets_the_traffic_pass_again() -> None:
    """It died between the record of its win and the end of the watch, or somebody flushed the firewall."""
    duo = Duo(make_spec()).boot().run(3_000)
    duo.partition()
    duo.run(3_000)
    assert duo.config("a") == "1.0 SOLO(a)"
    before = len(duo.nodes["a"].actions)
    duo.restart_agent("a")
    duo.run(3_000)
    assert duo.active == "a"
    assert any(isinstance(action, Disarm) for action in duo.nodes["a"].actions[before:])


def test_stops_that_are_owed_after_a_fence_may_take_longer_than_the_watchdog() -> None:
    """The lease ends in a cut from everything; the fence is verified, the stop script then runs."""
    spec = make_spec()
    release = Script(name="release", stop=("/bin/release",), run_stop_after_unclean=True)
    group = replace(spec.group, resources=(*spec.group.resources, release))
    duo = Duo(replace(spec, group=group)).boot().run(3_000)
    duo.partition()
    duo.witness_down = {"a", "b"}
    duo.run(3_000)
    actions = duo.nodes["a"].actions
    stopped = max(n for n, x in enumerate(actions) if isinstance(x, Run) and x.operation is Operation.STOP)
    last_word = [x for x in actions[:stopped] if isinstance(x, Arm | Disarm)][-1]
    assert isinstance(last_word, Disarm)
