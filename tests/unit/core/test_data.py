"""What replicated data mean for who may act (rule 12): a standby that follows, or does not."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from hsorch.node.core import data_rules
from hsorch.node.core.limits import limits
from hsorch.node.core.report import protected
from hsorch.node.core.types import (
    DataChanged,
    DataState,
    Image,
    Instant,
    Operation,
    Persisted,
    Reconfigured,
    Verb,
)
from hsorch.spec import Binding, Data, Replication, Spec
from tests.unit.core.conftest import make_spec
from tests.unit.core.duo import Duo


def replicated(takeover: str = "logical") -> Spec:
    """Two nodes with a folder that is replicated."""
    bound = Replication(bindings=(Binding(path="/srv/app", kind="ordered"),))
    return replace(make_spec(takeover=takeover), replication=bound)


def blank(spec: Spec) -> Duo:
    """Both up for the first time; a runs the group, b holds nothing."""
    duo = Duo(spec).boot()
    for name in "ab":
        duo.feed(name, DataChanged(state=DataState.BLANK))
    return duo.run(3_000)


SOURCE = Image(generation="g1", lsn=5_000, source=True, flows=True, level=True, behind_bytes=0, behind_ms=0)
TARGET = Image(generation="g1", lsn=5_000, flows=True)


def level(duo: Duo, state: DataState, *, guarded: bool = False, source: Image = SOURCE) -> Duo:
    """a is the source; the target's data are in this state."""
    duo.feed("a", DataChanged(state=DataState.COMPLETE, guarded=guarded, image=source))
    duo.feed("b", DataChanged(state=state, image=TARGET))
    return duo.run(500)


@pytest.fixture
def complete_pair() -> Duo:
    """takeover: complete; a is active, b holds everything."""
    duo = blank(replicated("complete"))
    return level(duo, DataState.COMPLETE, guarded=True)


def test_before_the_first_mirror_the_pair_runs_and_is_not_protected() -> None:
    duo = blank(replicated())
    assert duo.active == "a"
    assert not protected(duo.state("a"), Instant(duo.now))
    assert "HS728" in {limit.code for limit in limits(duo.state("b"), Instant(duo.now))}
    assert protected(level(duo, DataState.LOGICAL).state("a"), Instant(duo.now))


@pytest.mark.parametrize(
    ("takeover", "state", "takes_over"),
    [("logical", DataState.LOGICAL, True), ("logical", DataState.INCONSISTENT, False),
     ("complete", DataState.LOGICAL, False), ("complete", DataState.COMPLETE, True),
     ("unconditional", DataState.UNKNOWN, True), ("unconditional", DataState.INCONSISTENT, False)],
)  # fmt: skip
def test_after_a_crash_the_standby_takes_over_with_the_data_that_the_policy_asks_for(
    takeover: str, state: DataState, takes_over: bool
) -> None:
    duo = level(blank(replicated(takeover)), state, guarded=True)
    duo.crash("a")
    duo.run(6_000)
    assert (duo.active == "b") is takes_over
    assert bool(duo.nodes["b"].told("refused_takeover")) is not takes_over


def test_a_takeover_says_what_it_loses_at_most() -> None:
    source = replace(SOURCE, lsn=9_096, behind_bytes=4_096, behind_ms=12)
    duo = level(blank(replicated()), DataState.LOGICAL, source=source)
    duo.crash("a")
    duo.run(4_000)
    (told,) = duo.nodes["b"].told("takeover_begin")
    assert "(4096 bytes by its last heartbeat)" in told.message
    assert 12 < told.fields["lost_ms"] <= 12 + 1_500 + 1_500 + 400 + 200, "its lease was over by then"


def test_flushes_go_on_without_the_standby_only_once_it_has_no_vote(complete_pair: Duo) -> None:
    assert not data_rules.may_write_alone(complete_pair.state("a"))
    complete_pair.partition()
    complete_pair.run(4_000)
    assert data_rules.may_write_alone(complete_pair.state("a")), "the witness says that a is alone"
    assert not data_rules.may_write_alone(complete_pair.state("b"))


def test_the_standby_gets_its_vote_back_after_the_flushes_wait_for_it_again(complete_pair: Duo) -> None:
    complete_pair.partition()
    complete_pair.run(4_000)
    alone = replace(SOURCE, generation="g2", ancestors=("g1",), flows=False, level=False)
    complete_pair.feed("a", DataChanged(state=DataState.COMPLETE, guarded=False, image=alone))
    complete_pair.heal()
    complete_pair.run(4_000)
    assert complete_pair.config("a") == "1.0 SOLO(a)", "b may not hold what was written alone"
    level(complete_pair, DataState.INCONSISTENT, guarded=False).run(3_000)
    assert complete_pair.config("a") == "1.0 SOLO(a)"
    level(complete_pair, DataState.COMPLETE, guarded=True).run(3_000)
    assert complete_pair.config("a") == complete_pair.config("b") == "1.2 PAIR(a)"


def test_a_standby_in_the_middle_of_a_resync_gets_no_vote() -> None:
    duo = level(blank(replicated()), DataState.LOGICAL)
    duo.partition()
    duo.run(4_000)
    duo.feed("b", DataChanged(state=DataState.INCONSISTENT, image=TARGET))
    duo.heal()
    duo.run(4_000)
    assert duo.config("a") == "1.0 SOLO(a)"
    level(duo, DataState.LOGICAL).run(3_000)
    assert duo.config("a") == "1.2 PAIR(a)"


def test_a_spec_that_begins_to_replicate_makes_the_data_unknown() -> None:
    duo = Duo(make_spec()).boot().run(3_000)
    assert duo.state("b").data is DataState.NONE
    duo.feed("b", Reconfigured(spec=replicated()))
    assert duo.state("b").data is DataState.UNKNOWN
    duo.feed("b", Reconfigured(spec=make_spec()))
    duo.feed("b", DataChanged(state=DataState.LOGICAL))
    assert duo.state("b").data is DataState.NONE, "a late word of the replicator counts no more"


def followed(duo: Duo, yes: bool) -> Duo:
    duo.feed("a", DataChanged(state=DataState.COMPLETE, followed=yes, image=SOURCE))
    duo.feed("b", DataChanged(state=DataState.LOGICAL, image=TARGET))
    return duo.run(500)


def left_with_the_group(counted_on: int) -> Duo:
    """The active stores nothing any more and has fenced itself, with a moment more on its disk."""
    behind = 9_000 - counted_on
    wrote = replace(SOURCE, lsn=9_000, behind_bytes=behind, behind_ms=behind // 1_000, level=not behind)
    duo = level(blank(replicated()), DataState.LOGICAL, source=wrote)
    duo.nodes["a"].disk_full = True
    duo.feed("a", Persisted(ok=False, detail="Read-only file system"))
    stopped = replace(wrote, flows=False, level=False, behind_bytes=-1, behind_ms=-1)
    duo.feed("a", DataChanged(state=DataState.COMPLETE, image=stopped))
    duo.feed("b", DataChanged(state=DataState.LOGICAL, image=replace(TARGET, flows=False)))
    for _ in range(60):
        duo.run(500)
        duo.feed("a", DataChanged(state=DataState.COMPLETE, image=stopped))
        duo.feed("b", DataChanged(state=DataState.LOGICAL, image=replace(TARGET, flows=False)))
    return duo


@pytest.mark.parametrize(("counted_on", "starts"), [(5_000, True), (9_000, False)])
def test_a_standby_starts_on_what_the_source_had_counted_on_when_that_one_cannot(
    counted_on: int, starts: bool
) -> None:
    """A standby whose disks were set back waits all the same."""
    duo = left_with_the_group(counted_on)
    assert duo.config("b") == "1.0 SOLO(b)"
    assert (duo.active == "b") is starts


def test_a_group_is_not_given_to_a_node_that_could_do_nothing_with_its_data() -> None:
    """It cannot write them, or cannot mount over them."""
    duo = followed(blank(replicated()), True)
    duo.feed("b", DataChanged(state=DataState.UNKNOWN, image=TARGET))
    duo.run(500)
    for asked in ("a", "b"):
        refused = duo.answer(asked, duo.order(asked, Verb.SWITCH))
        assert refused is not None
        assert refused.code == "HS704"
    assert duo.config("a") == duo.config("b") == "0.0 PAIR(a)"


def test_a_switch_waits_until_the_peer_has_everything() -> None:
    duo = followed(blank(replicated()), False)
    refused = duo.answer("a", duo.order("a", Verb.SWITCH))
    assert refused is not None
    assert refused.code == "HS748"
    duo.order("b", Verb.SWITCH)
    duo.run(2_000)
    assert duo.active == "a", "the wish of b waits"
    followed(duo, True).run(2_000)
    assert duo.active == "b"


def test_a_hand_over_whose_data_do_not_get_across_is_called_off() -> None:
    base = replicated()
    data = Data(name="data")
    stands = tuple(replace(r, depends_on=r.depends_on or ("data",)) for r in base.group.resources)
    spec = replace(base, group=replace(base.group, resources=(data, *stands)))
    duo = followed(blank(spec), True)
    duo.nodes["a"].fails = {("data", Operation.STOP)}
    duo.order("a", Verb.SWITCH)
    duo.feed("a", DataChanged(state=DataState.COMPLETE, followed=True, image=SOURCE))
    duo.run(200)
    assert duo.nodes["a"].told("hand_over_void")
    duo.feed("a", DataChanged(state=DataState.COMPLETE, followed=False, image=SOURCE))
    duo.run(3_000)
    assert duo.active == "a"
    assert duo.config("b").endswith("PAIR(a)"), "b never held the group"


def test_a_standby_with_an_image_of_an_older_line_gets_no_vote_even_if_it_is_whole() -> None:
    duo = level(blank(replicated()), DataState.LOGICAL)
    duo.partition()
    duo.run(4_000)
    duo.feed("b", DataChanged(state=DataState.LOGICAL, image=replace(TARGET, flows=False)))
    alone = replace(SOURCE, generation="g2", ancestors=("g1",), level=False)
    duo.feed("a", DataChanged(state=DataState.COMPLETE, image=alone))
    duo.heal()
    duo.run(4_000)
    assert duo.config("a") == "1.0 SOLO(a)"
    assert data_rules.seen(duo.state("b")) is DataState.OUTDATED


def test_under_complete_a_stalled_stream_freezes_for_seconds_and_then_costs_the_standby_its_vote(
    complete_pair: Duo,
) -> None:
    duo = complete_pair
    duo.feed("a", DataChanged(state=DataState.COMPLETE, guarded=True, image=replace(SOURCE, flows=False)))
    duo.feed("b", DataChanged(state=DataState.COMPLETE, image=replace(TARGET, flows=False)))
    duo.run(4_000)
    assert duo.config("a") == "0.0 PAIR(a)"
    duo.run(2_000)
    assert duo.config("a") == duo.config("b") == "0.1 SOLO(a)"
    assert data_rules.may_write_alone(duo.state("a"))
    assert data_rules.seen(duo.state("b")) is DataState.OUTDATED


def test_under_logical_a_stalled_stream_is_an_alarm_and_the_standby_keeps_its_vote() -> None:
    duo = level(blank(replicated()), DataState.LOGICAL)
    duo.feed("a", DataChanged(state=DataState.COMPLETE, image=replace(SOURCE, flows=False, level=False)))
    duo.feed("b", DataChanged(state=DataState.LOGICAL, image=replace(TARGET, flows=False)))
    duo.run(9_000)
    assert duo.config("a") == "0.0 PAIR(a)"
    assert duo.nodes["a"].told("unprotected")


def test_a_torn_image_is_not_taken_over_even_by_force() -> None:
    duo = level(blank(replicated()), DataState.INCONSISTENT)
    duo.crash("a")
    duo.run(4_000)
    refused = duo.answer("b", duo.order("b", Verb.TAKEOVER))
    assert refused is not None
    assert refused.code == "HS686"


def test_a_forced_takeover_starts_on_an_image_that_the_policy_would_refuse() -> None:
    duo = level(blank(replicated("complete")), DataState.LOGICAL)
    duo.crash("a")
    duo.run(4_000)
    assert duo.active == ""
    duo.order("b", Verb.TAKEOVER)
    duo.run(2_000)
    assert duo.active == "b"


def test_a_machine_that_came_back_empty_gives_the_group_to_the_peer_that_has_the_data() -> None:
    """Its disk was replaced: as holder it would begin with nothing, and nothing is what clients would see."""
    duo = level(blank(replicated()), DataState.LOGICAL)
    duo.crash("a")
    duo.run(300)
    duo.boot("a", forgotten=True)
    duo.feed("a", DataChanged(state=DataState.BLANK))
    duo.run(1_500)
    assert not {"a"} & {duo.active}
    duo.run(8_000)
    assert duo.active == "b"


def test_a_machine_set_back_to_an_old_image_does_not_begin_where_the_peer_has_more() -> None:
    duo = level(blank(replicated()), DataState.LOGICAL)
    old = duo.nodes["a"].durable
    duo.run(1_000)
    duo.crash("a")
    duo.run(300)
    duo.nodes["a"].durable = old
    duo.nodes["a"].runs -= 1
    duo.boot("a")
    duo.feed("a", DataChanged(state=DataState.COMPLETE, image=replace(SOURCE, lsn=1_000, level=False)))
    duo.run(8_000)
    assert duo.active == "b"


def test_both_come_back_after_a_power_cut_and_the_one_that_wrote_last_goes_on() -> None:
    duo = level(blank(replicated()), DataState.LOGICAL)
    duo.partition()
    duo.run(3_000)
    duo.crash("a")
    duo.crash("b")
    duo.heal()
    duo.boot("b")
    duo.feed("b", DataChanged(state=DataState.LOGICAL, image=replace(TARGET, flows=False)))
    duo.run(8_000)
    assert duo.active == "", "what the witness granted to a still counts"
    duo.boot("a")
    newest = replace(SOURCE, generation="g2", ancestors=("g1",), flows=False, level=False)
    duo.feed("a", DataChanged(state=DataState.COMPLETE, image=newest))
    duo.run(4_000)
    assert duo.active == "a"


def test_who_gave_the_group_away_and_follows_nobody_yet_is_outdated(complete_pair: Duo) -> None:
    duo = complete_pair
    duo.feed("a", DataChanged(state=DataState.COMPLETE, guarded=True, followed=True, image=SOURCE))
    duo.order("a", Verb.SWITCH)
    duo.run(1_000)
    assert duo.active == "b"
    duo.feed("a", DataChanged(state=DataState.COMPLETE, image=replace(SOURCE, flows=False, level=False)))
    assert data_rules.why_not_take(duo.state("a"))
