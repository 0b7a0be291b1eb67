"""Two nodes meet: who is behind, who went on alone, and when only an operator can say."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hsorch.node.replication.generations import (
    MIRRORED,
    Fork,
    Lineage,
    Meeting,
    adopted,
    begin,
    counterpart,
    go_on_alone,
    meet,
    reached,
    rejected,
    resync_began,
    resynced,
    selected,
)

FIRST = reached(begin(1), 100)


def test_two_new_nodes_wait_for_a_direction() -> None:
    assert meet(Lineage(), Lineage()).meeting is Meeting.FIRST


def test_a_new_peer_gets_everything() -> None:
    assert meet(FIRST, Lineage()).meeting is Meeting.SEND_ALL


def test_a_peer_that_was_away_gets_what_the_bitmap_says() -> None:
    alone = reached(go_on_alone(FIRST, 2, 100), 500)
    assert meet(alone, FIRST) == counterpart(meet(FIRST, alone))
    assert meet(alone, FIRST).meeting is Meeting.SEND_DIRTY
    assert meet(alone, FIRST).rolled_back == 0


def test_an_old_active_with_an_unsent_tail_is_rolled_back_to_the_fork() -> None:
    old_active = reached(FIRST, 140)
    taken_over = go_on_alone(FIRST, 2, 100)
    verdict = meet(old_active, taken_over)
    assert verdict.meeting is Meeting.RECEIVE_DIRTY
    assert (verdict.fork, verdict.rolled_back) == (100, 40)


def test_both_went_on_alone_and_nobody_guesses() -> None:
    one, other = go_on_alone(FIRST, 2, 100), go_on_alone(FIRST, 3, 90)
    assert meet(one, other).meeting is Meeting.DIVERGED
    assert meet(one, other).fork == 90


def test_divergence_after_one_side_took_over_twice_is_still_seen() -> None:
    one = go_on_alone(resynced(go_on_alone(FIRST, 2, 100)), 4, 300)
    assert meet(one, go_on_alone(FIRST, 3, 100)).meeting is Meeting.DIVERGED


def test_data_of_another_origin_are_refused() -> None:
    assert meet(FIRST, begin(71)).meeting is Meeting.UNRELATED


def test_an_interrupted_resync_goes_on_with_the_bitmap() -> None:
    sender = go_on_alone(FIRST, 2, 100)
    verdict = meet(sender, resync_began(reached(FIRST, 140), sender))
    assert verdict.meeting is Meeting.SEND_DIRTY
    assert verdict.rolled_back == 0, "what was there went into the quarantine when the resync began"


def test_a_resync_begun_from_other_data_is_compared_whole() -> None:
    sender = go_on_alone(FIRST, 2, 100)
    strange = resync_began(FIRST, begin(72))
    assert meet(sender, strange).meeting is Meeting.SEND_VERIFY


def test_an_unfinished_image_is_never_sent() -> None:
    newer = msgspec.structs.replace(go_on_alone(FIRST, 2, 100), receiving=9)
    assert meet(newer, FIRST).meeting is Meeting.UNUSABLE


def test_a_crashed_source_compares_what_it_wrote_last() -> None:
    crashed = msgspec.structs.replace(FIRST, unsure_from=90)
    ahead = reached(FIRST, 160)
    assert meet(crashed, ahead).meeting is Meeting.SEND_HOT
    assert meet(crashed, ahead).since == 90, "lsns from there on may stand for other writes by now"


def test_who_went_on_alone_compares_what_either_wrote_since() -> None:
    alone = reached(go_on_alone(FIRST, 2, 100), 500)
    assert meet(alone, FIRST).since == 100
    assert meet(alone, reached(FIRST, 60)).since == 60, "it was behind before"
    power_cut = msgspec.structs.replace(FIRST, end=60, unsure_from=60)
    assert meet(alone, power_cut).since == 100, "what it lost of its own, it knows itself"
    unsure_too = msgspec.structs.replace(alone, unsure_from=80)
    assert meet(unsure_too, FIRST).since == 80


def test_a_standby_behind_an_older_fork_is_compared_everywhere() -> None:
    twice = go_on_alone(resynced(go_on_alone(FIRST, 2, 100)), 4, 300)
    assert meet(twice, FIRST).since is None


def test_after_the_resync_both_hold_one_generation() -> None:
    sender = reached(go_on_alone(FIRST, 2, 100), 200)
    assert meet(resynced(sender), adopted(sender, 200)).meeting is Meeting.STREAM


def test_the_operators_choice_makes_the_other_side_follow() -> None:
    one, other = go_on_alone(FIRST, 2, 100), reached(go_on_alone(FIRST, 3, 100), 170)
    winner = selected(one, 4)
    assert meet(winner, rejected(other, winner)).meeting in (Meeting.SEND_VERIFY, Meeting.SEND_DIRTY)
    assert meet(winner, other).meeting is Meeting.DIVERGED, "the loser must have agreed"


names = st.sampled_from([1, 2, 3, 4])
forks = st.builds(Fork, generation=names, lsn=st.integers(0, 9))
lineages = st.builds(
    Lineage,
    current=st.sampled_from([0, 1, 2, 3, 4]),
    base=st.none() | forks,
    history=st.lists(forks, max_size=3).map(tuple),
    end=st.integers(0, 9),
    receiving=st.sampled_from([0, "", 2]),
    unsure_from=st.integers(0, 9),
)


@given(lineages, lineages)
@settings(max_examples=2000, deadline=None)
def test_both_nodes_come_to_the_same_conclusion(one: Lineage, other: Lineage) -> None:
    """Except where no real pair of nodes can be: each an ancestor of the other."""
    a = {f.generation for f in one.ancestors()}
    b = {f.generation for f in other.ancestors()}
    if other.current in a and one.current in b and one.current != other.current:
        return
    mine, theirs = meet(one, other), meet(other, one)
    assert mine.meeting is counterpart(theirs).meeting
    assert mine.rolled_back == theirs.rolled_back
    assert mine.since == theirs.since


class Pair(RuleBasedStateMachine):
    """Two nodes with real lists of writes: a resync may only drop what the verdict called rolled back."""

    def __init__(self) -> None:
        super().__init__()
        self.lineage = [begin(1000), adopted(begin(1000), 0)]
        self.writes: list[list[int]] = [[], []]
        self.active: set[int] = {0}
        self.linked = True
        self.count = 1000

    def fresh(self) -> int:
        self.count += 1
        return self.count

    @rule(node=st.integers(0, 1), acked=st.booleans())
    def write(self, node: int, acked: bool) -> None:
        if node not in self.active:
            return
        if not self.linked and acked:
            self.lineage[node] = go_on_alone(self.lineage[node], self.fresh(), self.fork(node))
        self.writes[node].append(self.fresh())
        self.lineage[node] = reached(self.lineage[node], len(self.writes[node]))
        if self.linked:
            self.writes[1 - node] = list(self.writes[node])
            self.lineage[1 - node] = reached(self.lineage[1 - node], len(self.writes[node]))

    def fork(self, node: int) -> int:
        both = zip(*self.writes, strict=False)
        return next((i for i, (x, y) in enumerate(both) if x != y), min(map(len, self.writes)))

    @rule()
    def cut(self) -> None:
        self.linked = False

    @precondition(lambda self: not self.linked)
    @rule(node=st.integers(0, 1))
    def take_over(self, node: int) -> None:
        if node not in self.active:
            self.lineage[node] = go_on_alone(self.lineage[node], self.fresh(), len(self.writes[node]))
            self.active.add(node)

    @precondition(lambda self: not self.linked)
    @rule(node=st.integers(0, 1))
    def die(self, node: int) -> None:
        self.active.discard(node)

    @precondition(lambda self: not self.linked and len(self.active) <= 1)
    @rule()
    def heal(self) -> None:
        verdict = meet(*self.lineage)
        common = self.fork(0)
        if verdict.meeting is Meeting.DIVERGED:
            assert any(len(w) > common for w in self.writes) or all(x.base for x in self.lineage)
            winner = 0
            self.lineage[0] = selected(self.lineage[0], self.fresh())
            self.lineage[1] = rejected(self.lineage[1], self.lineage[0])
            self.follow(winner)
            return
        if verdict.meeting is Meeting.STREAM:
            winner = next(iter(self.active), 0 if len(self.writes[0]) >= len(self.writes[1]) else 1)
            if len(self.writes[winner]) < len(self.writes[1 - winner]):
                winner = 1 - winner
            assert self.writes[winner][: verdict.fork] == self.writes[1 - winner][: verdict.fork]
        else:
            winner = 0 if verdict.meeting in MIRRORED else 1
            lost = len(self.writes[1 - winner]) - common
            assert lost == verdict.rolled_back, "nothing is dropped that the verdict did not announce"
        self.follow(winner)

    def follow(self, winner: int) -> None:
        sender = self.lineage[winner]
        self.writes[1 - winner] = list(self.writes[winner])
        self.lineage[winner] = resynced(sender)
        self.lineage[1 - winner] = adopted(sender, len(self.writes[winner]))
        self.active = {winner}
        self.linked = True

    @invariant()
    def while_linked_they_hold_the_same(self) -> None:
        if self.linked:
            assert self.writes[0] == self.writes[1]
            assert meet(*self.lineage).meeting is Meeting.STREAM


TestPair = Pair.TestCase
TestPair.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


@pytest.mark.parametrize("meeting", list(MIRRORED))
def test_sending_and_receiving_are_counterparts(meeting: Meeting) -> None:
    from hsorch.node.replication.generations import Verdict

    back = counterpart(counterpart(Verdict(meeting, "")))
    assert back.meeting is meeting
