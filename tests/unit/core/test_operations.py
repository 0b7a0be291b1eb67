"""Operators' verbs and the resource group, as the operator sees them."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from hsorch.node.core.actions import Disarm, Run
from hsorch.node.core.decide import limits
from hsorch.node.core.report import protected
from hsorch.node.core.shown import ResourceStatus
from hsorch.node.core.types import GuardState, Instant, NicChanged, Operation, Reconfigured, Verb
from hsorch.spec import Process
from tests.unit.core.conftest import make_spec
from tests.unit.core.duo import Duo, Node


def refused(duo: Duo, node: str, order: str, code: str) -> None:
    answer = duo.answer(node, order)
    assert answer is not None
    assert not answer.ok
    assert answer.code == code
    assert answer.hint


def done(duo: Duo, node: str, order: str) -> None:
    answer = duo.answer(node, order)
    assert answer is not None
    assert answer.ok, answer


def operations(node: Node, since: int = 0) -> list[str]:
    runs = [a for a in node.actions[since:] if isinstance(a, Run) and a.operation is not Operation.CHECK]
    return [f"{a.operation.value} {a.resource}" for a in runs]


def codes(duo: Duo, node: str) -> set[str]:
    return {limit.code for limit in limits(duo.state(node), Instant(duo.now))}


def test_bring_out_stops_in_reverse_order_and_bring_in_starts_again(pair: Duo) -> None:
    seen = len(pair.nodes["a"].actions)
    order = pair.order("b", Verb.BRING_OUT)
    pair.run(500)
    done(pair, "b", order)
    assert operations(pair.nodes["a"], seen) == ["stop app", "stop vip"]
    assert pair.active == ""
    order = pair.order("a", Verb.BRING_IN)
    pair.run(500)
    done(pair, "a", order)
    assert operations(pair.nodes["a"], seen)[2:] == ["start vip", "start app"]
    assert pair.active == "a"


@pytest.mark.parametrize("out_ms", range(1_000, 2_000, 50))
def test_a_bring_in_soon_after_a_bring_out_begins_with_a_lease_of_its_own(pair: Duo, out_ms: int) -> None:
    """The rest of the old one would end while the group starts: nobody asked for more meanwhile."""
    config = pair.config("a")
    pair.order("a", Verb.BRING_OUT)
    pair.run(out_ms)
    pair.order("a", Verb.BRING_IN)
    pair.run(5_000)
    assert pair.active == "a"
    assert pair.config("a") == config
    assert not pair.nodes["a"].told("fence_begin")


def test_bring_out_works_with_the_peer_gone(pair: Duo) -> None:
    pair.crash("b")
    order = pair.order("a", Verb.BRING_OUT)
    pair.run(2_000)
    done(pair, "a", order)
    assert pair.active == ""


def test_switch_from_either_node_needs_no_wait_and_no_witness(pair: Duo) -> None:
    pair.witness_down = {"a", "b"}
    for node, target in (("a", "b"), ("a", "a"), ("b", "b")):
        order = pair.order(node, Verb.SWITCH)
        pair.run(100)
        assert pair.active == target
        pair.run(400)
        done(pair, node, order)
        pair.run(1_500)
    assert not pair.register


def test_a_switch_ordered_on_both_nodes_moves_the_group_once(pair: Duo) -> None:
    orders = pair.order("a", Verb.SWITCH), pair.order("b", Verb.SWITCH)
    pair.run(3_000)
    assert pair.active == "b"
    done(pair, "a", orders[0])
    done(pair, "b", orders[1])
    assert operations(pair.nodes["b"]) == ["start vip", "start app"]


@pytest.mark.parametrize("late", [0, 1, 2, 5, 8, 11, 12, 13, 14, 15, 20, 21, 22, 23, 30])
@pytest.mark.parametrize(("first", "second"), [("a", "b"), ("b", "a")])
def test_of_two_switches_in_a_row_both_are_answered_soon(
    first: str, second: str, late: float, pair: Duo
) -> None:
    orders = [(first, pair.order(first, Verb.SWITCH))]
    pair.run(late)
    orders.append((second, pair.order(second, Verb.SWITCH)))
    pair.run(2_000)
    answers = [pair.answer(node, order) for node, order in orders]
    assert all(answer is not None for answer in answers), answers
    assert pair.active in ("a", "b")


def test_a_switch_with_the_peer_out_of_sight_is_refused(pair: Duo) -> None:
    pair.crash("b")
    pair.run(2_000)
    refused(pair, "a", pair.order("a", Verb.SWITCH), "HS703")


def test_a_switch_to_a_node_that_cannot_take_the_group_is_refused(pair: Duo) -> None:
    pair.feed("b", NicChanged(nic="service", up=False))
    pair.run(500)
    refused(pair, "a", pair.order("a", Verb.SWITCH), "HS704")
    refused(pair, "b", pair.order("b", Verb.SWITCH), "HS704")
    assert "HS727" in codes(pair, "b")
    assert "HS745" in codes(pair, "a")


def test_a_switch_that_loses_its_target_keeps_the_group(pair: Duo) -> None:
    order = pair.order("a", Verb.SWITCH)
    pair.crash("b")
    pair.run(8_000)
    assert pair.active == "a"
    assert pair.answer("a", order) is None or not pair.nodes["a"].answers[order].ok


@pytest.mark.parametrize("node", ["a", "b"])
def test_a_switch_that_ends_with_the_group_failed_on_both_nodes_is_answered_soon(
    node: str, pair: Duo
) -> None:
    order = pair.order(node, Verb.SWITCH, "b")
    for failing in pair.nodes.values():
        failing.fails.add(("app", Operation.START))
    pair.run(9_000)
    answer = pair.answer(node, order)
    assert answer is not None
    assert not answer.ok
    assert "app" in answer.message


def test_a_bring_in_that_fails_on_both_nodes_is_answered_soon(pair: Duo) -> None:
    pair.order("a", Verb.BRING_OUT)
    pair.run(2_000)
    for failing in pair.nodes.values():
        failing.fails.add(("app", Operation.START))
    order = pair.order("a", Verb.BRING_IN)
    pair.run(9_000)
    refused(pair, "a", order, "HS713")


def test_why_a_group_failed_is_told_by_the_resource_that_failed(pair: Duo) -> None:
    for failing in pair.nodes.values():
        failing.fails.add(("app", Operation.START))
    pair.nodes["a"].effects.discard("app")
    pair.run(9_000)
    shown = limits(pair.state("a"), Instant(pair.now))
    told = [limit.message for limit in shown if limit.code == "HS713"]
    assert told
    assert "app: " in told[0]
    assert "vip" not in told[0]


def test_set_active_chooses_the_node_of_a_group_that_is_out(pair: Duo) -> None:
    refused(pair, "a", pair.order("a", Verb.SET_ACTIVE, "b"), "HS707")
    pair.order("a", Verb.BRING_OUT)
    pair.run(500)
    refused(pair, "a", pair.order("a", Verb.SWITCH), "HS702")
    refused(pair, "a", pair.order("a", Verb.SET_ACTIVE, "c"), "HS706")
    order = pair.order("b", Verb.SET_ACTIVE, "b")
    pair.run(500)
    done(pair, "b", order)
    pair.order("a", Verb.BRING_IN)
    pair.run(500)
    assert pair.active == "b"


def test_maintenance_leaves_resources_alone_and_no_link_can_force_a_fence(pair: Duo) -> None:
    done(pair, "b", pair.order("b", Verb.MAINTENANCE_ON))
    pair.run(500)
    assert pair.config("a") == "0.1 SOLO(a)"
    pair.partition()
    pair.witness_down = {"a", "b"}
    pair.nodes["a"].effects.discard("app")
    seen = len(pair.nodes["a"].actions)
    pair.run(20_000)
    assert operations(pair.nodes["a"], seen) == []
    assert pair.nodes["a"].effects == {"vip"}
    refused(pair, "a", pair.order("a", Verb.SWITCH), "HS722")
    pair.heal()
    pair.run(8_000)
    pair.order("a", Verb.MAINTENANCE_OFF)
    pair.run(8_000)
    assert pair.active == "a"
    assert protected(pair.state("a"), Instant(pair.now))


def test_force_is_refused_while_the_other_node_is_active(pair: Duo) -> None:
    refused(pair, "b", pair.order("b", Verb.TAKEOVER), "HS708")


def test_without_a_witness_a_crash_needs_the_operator_whose_word_is_recorded(lonely_pair: Duo) -> None:
    duo = lonely_pair
    assert duo.config("b") == "0.1 SOLO(a)"
    assert {"HS739", "HS733"} <= codes(duo, "b")
    duo.crash("a")
    duo.run(10_000)
    assert duo.active == ""
    order = duo.order("b", Verb.TAKEOVER)
    duo.run(3_000)
    done(duo, "b", order)
    assert duo.config("b") == "1.0 SOLO(b)"
    assert duo.nodes["b"].told("takeover_forced")
    duo.boot("a")
    duo.run(3_000)
    assert duo.active == "b"
    assert duo.config("a") == "1.0 SOLO(b)"


def test_a_clean_shutdown_of_the_active_hands_over_at_once(pair: Duo) -> None:
    pair.order("a", Verb.SHUTDOWN)
    pair.run(150)
    assert pair.active == "b"
    pair.run(1_000)
    assert pair.nodes["a"].left
    assert pair.config("b") == "0.3 SOLO(b)", "the leaving node gave up its vote"
    assert not pair.register


def test_a_standby_that_leaves_gives_up_its_vote_first(pair: Duo) -> None:
    pair.order("b", Verb.SHUTDOWN)
    pair.run(1_000)
    assert pair.nodes["b"].left
    assert pair.config("a") == "0.1 SOLO(a)"
    assert pair.active == "a"


def test_a_failed_program_is_restarted_here_before_it_is_moved(pair: Duo) -> None:
    seen = len(pair.nodes["a"].actions)
    pair.nodes["a"].effects.discard("app")
    pair.run(3_000)
    assert operations(pair.nodes["a"], seen) == ["stop app", "start app"]
    assert pair.active == "a"
    pair.nodes["a"].effects.discard("app")
    pair.run(3_000)
    assert pair.active == "b"


def test_a_start_that_fails_on_both_nodes_does_not_play_ping_pong(pair: Duo) -> None:
    for node in pair.nodes.values():
        node.fails.add(("app", Operation.START))
    pair.nodes["a"].effects.discard("app")
    pair.run(50_000)
    moves = sum(len(n.told("handed_over")) for n in pair.nodes.values())
    assert moves <= 1
    for node in pair.nodes.values():
        node.fails.clear()
    pair.run(80_000)
    assert pair.active != ""


def test_a_failed_start_rolls_back_what_it_started(pair: Duo) -> None:
    pair.nodes["b"].fails.add(("app", Operation.START))
    pair.order("a", Verb.SWITCH)
    pair.run(5_000)
    assert pair.active == "a"
    assert not pair.nodes["b"].effects


def test_a_stop_that_hangs_is_killed_then_fenced(pair: Duo) -> None:
    pair.nodes["a"].fails |= {("app", Operation.STOP), ("app", Operation.KILL)}
    pair.order("a", Verb.SWITCH)
    pair.run(1_000)
    assert operations(pair.nodes["a"])[-2:] == ["stop app", "kill app"]
    assert pair.nodes["a"].told("fence_begin")
    assert pair.active == "b"


def test_the_watchdog_is_disarmed_only_after_the_effects_are_verified_gone(pair: Duo) -> None:
    node = pair.nodes["a"]
    node.fence_works = False
    pair.crash("b")
    pair.witness_down = {"a"}
    seen = len(node.actions)
    pair.run(1_800)
    assert node.told("fence_failed")
    assert Disarm() not in node.actions[seen:]
    node.fence_works = True
    pair.run(1_000)
    assert Disarm() in node.actions[seen:]


def test_an_isolated_active_hands_over_in_order(guarded_pair: Duo) -> None:
    guarded_pair.nodes["a"].isolated = True
    guarded_pair.run(5_000)
    assert guarded_pair.active == "b"
    assert guarded_pair.config("b").endswith("PAIR(b)")


def test_an_isolated_standby_never_takes_over(guarded_pair: Duo) -> None:
    guarded_pair.nodes["b"].isolated = True
    guarded_pair.run(5_000)
    guarded_pair.crash("a")
    guarded_pair.run(10_000)
    assert guarded_pair.active == ""
    assert guarded_pair.nodes["b"].told("refused_takeover")
    assert "HS726" in codes(guarded_pair, "b")


def test_a_lost_service_link_moves_the_group_without_a_wait(pair: Duo) -> None:
    pair.feed("a", NicChanged(nic="service", up=False))
    pair.run(100)
    assert pair.active == "b"


def test_a_lost_watchdog_is_an_alarm_not_a_move(pair: Duo) -> None:
    pair.feed("a", GuardState(alive=False))
    pair.run(1_000)
    assert pair.nodes["a"].told("guard_lost")
    assert pair.active == "a"


def test_a_new_resource_is_started_while_the_group_is_in(pair: Duo) -> None:
    old = make_spec()
    more = Process(name="extra", argv=("/bin/extra",), depends_on=("vip",))
    new = replace(old, revision=1, group=replace(old.group, resources=(*old.group.resources, more)))
    pair.spec = new
    for name in "ab":
        pair.feed(name, Reconfigured(spec=new))
    pair.run(500)
    assert pair.nodes["a"].effects == {"vip", "app", "extra"}
    assert pair.state("a").group.members[-1].status is ResourceStatus.RUNNING


def test_a_second_verb_waits_for_the_first(pair: Duo) -> None:
    pair.order("a", Verb.SWITCH)
    refused(pair, "a", pair.order("a", Verb.SWITCH), "HS701")


def test_a_nic_that_is_told_again_as_it_was_is_no_news(pair: Duo) -> None:
    for up in (True, False, False, True, True):
        pair.feed("b", NicChanged(nic="service", up=up))
    assert [told.message for told in pair.nodes["b"].told("nic_changed")] == [
        "NIC service is down",
        "NIC service is up",
    ]
