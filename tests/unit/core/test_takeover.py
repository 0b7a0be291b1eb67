"""What happens when a node, a link or the witness is lost: stories of the lease and the register."""

from __future__ import annotations

import pytest

from hsorch.node.core import rules
from hsorch.node.core.actions import Send
from hsorch.node.core.report import protected, role
from hsorch.node.core.types import Instant, Persisted, Role, Tick, Verb
from hsorch.spec import Spec
from tests.unit.core.conftest import make_spec
from tests.unit.core.duo import MS, Duo


def wait_ms(duo: Duo) -> float:
    return rules.standby_wait(duo.state("b").timing) / MS


def test_a_fresh_pair_starts_on_the_preferred_node_and_is_protected(pair: Duo) -> None:
    assert pair.config("a") == pair.config("b") == "0.0 PAIR(a)"
    assert protected(pair.state("b"), Instant(pair.now))
    assert role(pair.state("b"), Instant(pair.now)) is Role.STANDBY


def test_after_a_crash_the_standby_waits_out_its_last_grant_then_takes_over(pair: Duo) -> None:
    pair.crash("a")
    pair.run(wait_ms(pair) - 250)
    assert pair.active == "", "nobody may act before the wait is over"
    pair.run(300)
    assert pair.active == "b"
    assert pair.config("b") == "1.0 SOLO(b)"


def test_a_grant_to_an_earlier_run_is_not_told_to_the_next(pair: Duo) -> None:
    pair.restart_agent("a")
    run, told = pair.state("a").durable.incarnation, len(pair.nodes["b"].actions)
    pair.run(300)
    beats = [a.beat for a in pair.nodes["b"].actions[told:] if isinstance(a, Send)]
    first = next(beat for beat in beats if beat.echo_incarnation == run)
    assert first.grants == 0, "seq numbers begin anew: the old number would name another beat"


def test_a_pure_link_cut_costs_nothing(pair: Duo) -> None:
    pair.partition()
    for _ in range(60):
        pair.run(100)
        assert pair.active == "a"
    assert pair.config("a") == "1.0 SOLO(a)"
    assert pair.config("b") == "1.0 SOLO(a)"
    assert pair.state("b").durable.stale


@pytest.mark.parametrize("frozen", ["a", "b", "ab"])
@pytest.mark.parametrize("phase", [0, 1, 2, 5, 100, 199])
def test_a_pause_of_a_node_is_no_silence_of_its_peer(spec: Spec, frozen: str, phase: int) -> None:
    """Whoever got no processor for a while reads what came meanwhile, and asks, before it takes the peer's
    vote: a crash a moment later is survived."""
    for ms in range(100, 1_200, 50):
        pair = Duo(spec).boot().run(3_000 + phase)
        pair.freeze(ms, *frozen)
        pair.run(ms + 600)
        assert pair.config("a") == pair.config("b")
        if ms < (750 if frozen == "b" else 1_100):  # for the other one it was silent; the lease was over
            assert pair.config("a") == "0.0 PAIR(a)", ms
        pair.run(3_000)
        assert pair.active == "a"


def test_a_holder_that_wakes_shortly_before_its_lease_ends_asks_at_once(pair: Duo) -> None:
    """The service comes before the pair."""
    pair.crash("b")
    pair.freeze(1_250, "a")
    pair.run(6_000)
    assert pair.config("a") == "1.0 SOLO(a)"
    assert pair.nodes["a"].told("fence_begin") == []


def test_a_standby_that_is_late_again_and_again_takes_over_nevertheless(pair: Duo) -> None:
    """It gets a twentieth of a processor."""
    pair.crash("a")
    for _ in range(12):
        pair.freeze(450, "b")
        pair.run(475)
    assert pair.active == "b"


def test_a_silence_that_goes_on_after_a_pause_is_one(pair: Duo) -> None:
    pair.freeze(900, "b")
    pair.run(400)
    pair.crash("a")
    pair.run(3_000)
    assert pair.active == "b"


def test_when_the_link_heals_the_holder_opens_the_pair_and_the_peer_is_standby_again(pair: Duo) -> None:
    pair.partition()
    pair.run(4_000)
    pair.heal()
    pair.run(3_000)
    assert pair.config("a") == pair.config("b") == "1.2 PAIR(a)"
    assert protected(pair.state("a"), Instant(pair.now))


def test_an_active_cut_from_everything_is_off_before_the_standby_acts(pair: Duo) -> None:
    pair.partition()
    pair.witness_down = {"a"}
    pair.run(1_700)
    assert not pair.nodes["a"].effects, "the lease is over"
    pair.run(600)
    assert pair.active == "b"


def test_who_has_fenced_itself_says_so_until_it_has_a_lease_again(pair: Duo) -> None:
    pair.partition()
    pair.witness_down = {"a", "b"}
    pair.run(6_000)
    assert pair.state("a").role is Role.FENCED
    pair.cut.clear()
    pair.run(3_000)
    assert pair.state("a").role is Role.ACTIVE


def test_the_loss_of_the_witness_alone_changes_nothing_then_the_standby_gives_up_its_vote(pair: Duo) -> None:
    pair.witness_down = {"a", "b"}
    pair.run(8_000)
    assert pair.config("a") == "0.0 PAIR(a)"
    pair.run(20_000)
    assert pair.config("a") == pair.config("b") == "0.1 SOLO(a)"
    pair.crash("b")
    pair.run(10_000)
    assert pair.active == "a", "the loss of the standby is survived without a witness"


def test_with_require_both_the_standby_keeps_its_vote(pair: Duo) -> None:
    duo = Duo(make_spec(witness_lost="require_both")).boot().run(3_000)
    duo.witness_down = {"a", "b"}
    duo.run(30_000)
    assert duo.config("a") == "0.0 PAIR(a)"


def test_witness_and_peer_lost_in_the_same_instant_is_an_outage_by_design(pair: Duo) -> None:
    pair.partition()
    pair.witness_down = {"a", "b"}
    pair.run(6_000)
    assert pair.active == ""
    assert pair.state("b").witness.proposed
    pair.heal()
    pair.run(5_000)
    assert pair.active != ""


def test_both_alive_and_the_witness_dead_for_good_the_pair_leaves_the_open_question_behind(pair: Duo) -> None:
    pair.partition()
    pair.witness_down = {"a", "b"}
    pair.run(6_000)
    pair.cut.clear()
    pair.run(6_000)
    assert pair.active == "a"
    assert pair.state("a").durable.config.epoch.major == 2
    assert pair.state("b").durable.evidence


def test_a_node_that_lost_its_reply_and_its_memory_retires_the_register_it_owns(pair: Duo) -> None:
    pair.partition()
    pair.witness_down = {"a"}
    pair.lose_reply = True
    pair.run(2_500)
    assert pair.register == {1: "b"}
    pair.crash("b")
    pair.lose_reply = False
    pair.heal()
    pair.boot("b")
    pair.run(12_000)
    assert pair.active != ""
    assert pair.state("a").durable.config == pair.state("b").durable.config
    assert protected(pair.state("a"), Instant(pair.now))


def test_a_deaf_holder_gets_no_grants(pair: Duo) -> None:
    """Its beats arrive, ours do not: granting would keep the standby waiting for nothing."""
    pair.cut = {("b", "a")}
    pair.witness_down = {"a"}
    pair.run(6_000)
    assert pair.active == "b"


def test_a_fast_reboot_of_the_active_is_noticed_and_handed_over_without_a_wait(pair: Duo) -> None:
    pair.crash("a")
    pair.run(300)
    pair.boot("a")
    pair.run(300)
    assert pair.active == "b"
    assert pair.config("b") == "0.2 PAIR(b)"
    assert not pair.register, "no witness was needed"


def test_a_restarted_agent_goes_on_with_what_runs(pair: Duo) -> None:
    for _ in range(3):
        pair.restart_agent("a")
        for _ in range(20):
            pair.run(50)
            assert pair.active == "a"
    assert pair.config("a") == "0.0 PAIR(a)"


def test_a_restarted_agent_that_cannot_prove_its_lease_fences(pair: Duo) -> None:
    pair.partition()
    pair.witness_down = {"a"}
    pair.restart_agent("a")
    pair.run(1_200)
    assert not pair.nodes["a"].effects


def test_an_exclusive_node_starts_alone_after_its_own_reboot(pair: Duo) -> None:
    pair.crash("b")
    pair.run(3_000)
    assert pair.config("a") == "1.0 SOLO(a)"
    pair.crash("a")
    pair.run(100)
    pair.witness_down = {"a"}
    pair.boot("a")
    pair.run(1_500)
    assert pair.active == "a"


def test_two_cold_nodes_that_see_nobody_do_not_start(pair: Duo) -> None:
    pair.crash("a")
    pair.crash("b")
    pair.partition()
    pair.witness_down = {"a", "b"}
    pair.boot()
    pair.run(30_000)
    assert pair.active == ""
    pair.witness_down = set()
    pair.run(5_000)
    assert pair.active in {"a", "b"}


def test_a_torn_state_file_means_no_right_until_the_peer_tells(pair: Duo) -> None:
    pair.crash("a")
    pair.run(3_000)
    pair.partition()
    pair.boot("a", forgotten=True)
    pair.run(8_000)
    assert pair.config("a") == "-1.0 SOLO(b)"
    assert role(pair.state("a"), Instant(pair.now)) is Role.OBSERVER
    pair.heal()
    pair.run(3_000)
    assert pair.config("a") == pair.config("b") == "1.2 PAIR(b)"


def test_a_node_set_back_to_an_old_image_fences_and_learns(pair: Duo) -> None:
    old = pair.state("a")
    pair.run(5_000)
    pair.partition()
    pair.run(4_000)
    pair.nodes["a"].state, pair.nodes["a"].durable = old, old.durable
    pair.heal()
    pair.run(4_000)
    assert pair.nodes["a"].told("set_back")
    assert pair.active != ""
    assert pair.state("a").durable.config == pair.state("b").durable.config


def test_a_suspended_machine_fences_before_anything_else(pair: Duo) -> None:
    hour = 3_600_000 * MS
    pair.feed("a", Tick(wall=pair.now + hour, boottime=pair.now + hour))
    assert not pair.nodes["a"].effects
    assert pair.nodes["a"].told("clock_jump")


def test_a_starved_agent_that_reads_its_clocks_late_is_not_taken_for_suspended(pair: Duo) -> None:
    pair.feed("a", Tick(wall=pair.now, boottime=pair.now - 150 * MS))
    pair.run(500)
    assert pair.active == "a"
    assert not pair.nodes["a"].told("clock_jump")


def test_a_mere_clock_step_is_not_felt(pair: Duo) -> None:
    for step in (3_600_000 * MS, -3_600_000 * MS):
        pair.feed("a", Tick(wall=pair.now + step, boottime=pair.now))
        for _ in range(30):
            pair.run(100)
            assert pair.active == "a"


def test_a_replaced_witness_is_adopted_while_the_pair_is_healthy(pair: Duo) -> None:
    pair.register_id = "w2"
    pair.register.clear()
    pair.run(12_000)
    assert pair.active == "a"
    assert pair.config("a") == "0.0 PAIR(a)"
    assert {pair.state(n).durable.witness_id for n in "ab"} == {"w2"}
    assert pair.nodes["a"].told("witness_replaced")


def test_a_replaced_witness_confirms_nothing_in_a_crisis(pair: Duo) -> None:
    pair.crash("a")
    pair.register_id = "w2"
    pair.run(10_000)
    assert pair.active == ""


def test_a_full_disk_makes_the_active_give_up_and_the_standby_take_over(pair: Duo) -> None:
    pair.nodes["a"].disk_full = True
    pair.feed("a", Persisted(ok=False, detail="no space"))
    pair.run(6_000)
    assert pair.active == "b"


def test_too_many_takeovers_in_a_window_need_an_operator() -> None:
    duo = Duo(make_spec(max_failovers=1)).boot().run(3_000)
    for survivor, gone in (("b", "a"), ("a", "b"), ("b", "a")):
        if duo.active != gone:
            break
        duo.crash(gone)
        duo.run(3_000)
        if duo.active != survivor:
            break
        duo.boot(gone)
        duo.run(8_000)
    assert duo.active == ""
    assert duo.nodes["b"].told("flapping") or duo.nodes["a"].told("flapping")


def test_a_conflict_made_by_force_is_settled_by_policy(pair: Duo) -> None:
    pair.partition()
    pair.witness_down = {"b"}
    pair.run(4_000)
    pair.forced = True
    order = pair.order("b", Verb.TAKEOVER)
    pair.run(3_000)
    answer = pair.answer("b", order)
    assert answer is not None
    assert answer.ok
    assert pair.config("a") == "1.0 SOLO(a)"
    assert pair.config("b") == "1.0 SOLO(b)"
    pair.heal()
    pair.run(8_000)
    assert pair.nodes["b"].told("conflict")
    assert not pair.nodes["b"].effects
    assert pair.active == "a"
    assert pair.config("a") == pair.config("b") == "1.2 PAIR(a)"
