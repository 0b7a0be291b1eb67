"""Data that cannot be read any more, or are not what they were taken for (rule 12)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from hsorch.node.core import data_rules
from hsorch.node.core.state import State
from hsorch.node.core.types import DataChanged, DataState, Image, Operation, Verb
from hsorch.spec import Data, Spec
from tests.unit.core.duo import Duo
from tests.unit.core.test_data import SOURCE, TARGET, blank, left_with_the_group, level, replicated


def following(takeover: str, state: DataState) -> Duo:
    """a has been active for long; b's data are like this."""
    return level(blank(replicated(takeover)), state, guarded=takeover == "complete").run(10_000)


def lose_data_of_active(duo: Duo) -> None:
    """Its disk gives errors: the replicator gives no answer, and the program neither runs nor starts."""
    duo.feed("a", DataChanged(state=DataState.UNKNOWN))
    duo.nodes["a"].fails = {("app", Operation.CHECK), ("app", Operation.START)}
    duo.nodes["a"].effects.discard("app")


@pytest.mark.parametrize(
    ("takeover", "state"), [("complete", DataState.COMPLETE), ("logical", DataState.LOGICAL)]
)
def test_a_holder_that_cannot_read_its_data_hands_over_and_the_peer_goes_on_alone(
    takeover: str, state: DataState
) -> None:
    duo = following(takeover, state)
    lose_data_of_active(duo)
    duo.run(8_000)
    assert duo.active == "b"
    assert duo.config("b") == "0.2 SOLO(b)", "its peer follows nobody, so it has no vote"
    (told,) = duo.nodes["b"].told("takeover_begin")
    assert "cannot read its data" in told.message
    assert duo.state("b").durable.failovers, "it counts as a takeover"


def test_a_hand_over_of_unread_data_loses_no_more_than_it_says() -> None:
    duo = following("logical", DataState.LOGICAL)
    level(duo, DataState.LOGICAL, source=replace(SOURCE, lsn=9_096, behind_bytes=4_096, behind_ms=12))
    lose_data_of_active(duo)
    duo.run(8_000)
    (told,) = duo.nodes["b"].told("takeover_begin")
    assert told.fields["lost_bytes"] == 4_096
    assert told.fields["lost_ms"] > 12 + 1_500, "what the replicator of a said last is older than the failure"


def test_a_holder_keeps_data_that_it_cannot_read_when_the_peer_could_not_take_over() -> None:
    duo = following("complete", DataState.COMPLETE)
    duo.feed("b", DataChanged(state=DataState.LOGICAL, image=TARGET))
    lose_data_of_active(duo.run(500))
    duo.run(20_000)
    assert duo.active == ""
    assert duo.config("b") == "0.0 PAIR(a)"


def test_a_standby_gives_up_its_vote_only_to_a_source_that_could_go_on_alone() -> None:
    duo = following("complete", DataState.COMPLETE)
    duo.feed("b", DataChanged(state=DataState.COMPLETE, image=replace(TARGET, flows=False)))
    duo.feed("a", DataChanged(state=DataState.UNKNOWN))
    duo.run(8_000)
    assert duo.config("b") == "0.0 PAIR(a)"


@pytest.mark.parametrize(
    ("mine", "short"),
    [(4_000, False), (3_999, True)],
    ids=["it has what the source counted on", "its disks were set back"],
)
def test_a_standby_with_less_than_its_source_counted_on_is_not_complete(mine: int, short: bool) -> None:
    """Set back to a snapshot, promise included; and the active dies before the stream stands again."""
    duo = following("complete", DataState.COMPLETE)
    waiting = replace(SOURCE, behind_bytes=1_000, behind_ms=3, flows=False, level=False)
    duo.feed("a", DataChanged(state=DataState.COMPLETE, guarded=True, image=waiting))
    duo.feed("b", DataChanged(state=DataState.COMPLETE, image=replace(TARGET, lsn=mine, flows=False)))
    duo.run(500)
    duo.crash("a")
    duo.run(6_000)
    assert (duo.active == "") is short
    assert data_rules.seen(duo.state("b")) is (DataState.LOGICAL if short else DataState.COMPLETE)


def test_a_forced_takeover_promises_nothing_where_the_peer_may_have_gone_on_alone() -> None:
    """b was cut off; for all it knows its data are complete, but a may have gone on with the witness."""
    duo = following("complete", DataState.COMPLETE)
    duo.partition()
    duo.witness_down = {"b"}
    duo.run(4_000)
    assert duo.config("a") == "1.0 SOLO(a)"
    duo.forced = True
    duo.order("b", Verb.TAKEOVER)
    duo.run(3_000)
    (told,) = duo.nodes["b"].told("takeover_forced")
    assert "what is lost is not known" in told.message
    assert told.fields["lost_ms"] == -1


def test_a_forced_takeover_that_the_witness_confirms_says_what_it_loses() -> None:
    duo = level(blank(replicated("complete")), DataState.LOGICAL)
    duo.crash("a")
    duo.run(4_000)
    duo.order("b", Verb.TAKEOVER)
    duo.run(2_000)
    (told,) = duo.nodes["b"].told("takeover_forced")
    assert told.fields["lost_ms"] > 0


def test_a_handing_over_that_the_disk_refused_to_store_still_counts_against_flapping() -> None:
    """The reason was told meanwhile, and the peer that told it has started again since."""
    duo = following("logical", DataState.LOGICAL)
    duo.feed("a", DataChanged(state=DataState.COMPLETE, followed=True, image=SOURCE))
    duo.nodes["a"].fails = {("app", Operation.CHECK), ("app", Operation.START)}
    duo.nodes["a"].effects.discard("app")
    while duo.config("a") != "0.2 PAIR(b)":
        duo.nodes["b"].disk_full = duo.state("a").group.release != ""
        duo.run(1)
    duo.run(20)
    assert duo.config("b") == "0.0 PAIR(a)"
    duo.restart_agent("a")
    duo.feed("a", DataChanged(state=DataState.COMPLETE, image=replace(SOURCE, flows=False, level=False)))
    duo.nodes["b"].disk_full = False
    duo.run(3_000)
    assert duo.config("b").endswith("(b)")
    assert duo.state("b").durable.failovers


def test_an_image_says_what_it_counts_by_its_own_line_only() -> None:
    duo = following("complete", DataState.COMPLETE)
    state = replace(duo.state("b"), image=Image(generation="other"))
    assert not data_rules.short(state)


def test_who_was_handed_everything_starts_although_its_peer_leaves_at_once() -> None:
    """By its policy b would not take these data over. It did not have to: a gave it all, then its vote."""
    duo = blank(replicated("complete"))
    duo.feed("a", DataChanged(state=DataState.COMPLETE, followed=True, image=SOURCE))
    duo.feed("b", DataChanged(state=DataState.LOGICAL, image=TARGET))
    duo.run(500)
    duo.order("a", Verb.SHUTDOWN)
    duo.run(2_000)
    assert duo.nodes["a"].left
    assert duo.config("b") == "0.3 SOLO(b)"
    assert duo.active == "b"


def both_boot_again() -> Duo:
    """a wrote last, for all it knows; the replicator of b has not spoken yet."""
    duo = following("logical", DataState.LOGICAL)
    duo.crash("a")
    duo.crash("b")
    duo.boot()
    duo.feed("a", DataChanged(state=DataState.COMPLETE, image=replace(SOURCE, flows=False, level=False)))
    return duo.run(5_000)


def test_who_wrote_last_waits_for_a_peer_that_does_not_know_yet_what_it_wrote() -> None:
    duo = both_boot_again()
    assert duo.active == ""
    went_on = Image(generation="g2", ancestors=("g1",), lsn=6_000, source=True)
    duo.feed("b", DataChanged(state=DataState.COMPLETE, image=went_on))
    duo.run(6_000)
    assert duo.active == "b"


def test_it_does_not_wait_for_ever_for_a_replicator_that_gives_no_answer() -> None:
    assert both_boot_again().run(8_000).active == "a"


def on_data(base: Spec) -> Spec:
    """The whole group stands on the replicated folder."""
    stands = tuple(replace(r, depends_on=r.depends_on or ("data",)) for r in base.group.resources)
    return replace(base, group=replace(base.group, resources=(Data(name="data"), *stands)))


BEFORE = DataChanged(state=DataState.COMPLETE, image=replace(SOURCE, flows=False, level=False))


def fenced_without_an_agent(*, went_on: bool) -> Duo:
    """The watchdog of a ended its data while no agent ran. b forgot what it did meanwhile; its data did not.
    The agent is back, and its replicator has not said yet what lies there."""
    duo = level(blank(on_data(replicated("complete"))), DataState.COMPLETE, guarded=True)
    duo.crash("a")
    duo.crash("b")
    duo.boot("b", forgotten=True)
    duo.run(300)
    theirs = Image(generation="g2", ancestors=("g1",), lsn=6_000, source=True) if went_on else TARGET
    duo.feed("b", DataChanged(state=DataState.COMPLETE, image=replace(theirs, flows=False)))
    duo.restart_agent("a")
    duo.run(700)
    assert not duo.nodes["a"].effects
    return duo


@pytest.mark.parametrize("went_on", [True, False], ids=["the peer went on from them", "nobody did"])
def test_an_agent_that_finds_its_data_fenced_starts_them_only_if_it_may_serve_them(went_on: bool) -> None:
    duo = fenced_without_an_agent(went_on=went_on)
    duo.feed("a", BEFORE)
    duo.run(3_000)
    assert duo.active == ("b" if went_on else "a")
    assert bool(duo.nodes["a"].told("group_adopted")) is not went_on


@pytest.mark.parametrize("went_on", [True, False], ids=["the peer went on from them", "nobody did"])
def test_data_that_maintenance_left_fenced_are_asked_about_when_it_is_over(went_on: bool) -> None:
    duo = fenced_without_an_agent(went_on=went_on)
    duo.order("a", Verb.MAINTENANCE_ON)
    duo.run(1_000)
    assert duo.nodes["a"].told("group_adopted")
    duo.feed("a", BEFORE)
    duo.order("a", Verb.MAINTENANCE_OFF)
    duo.run(3_000)
    assert duo.active == ("b" if went_on else "a")


def test_fenced_data_are_not_started_while_no_replicator_says_what_they_are() -> None:
    duo = fenced_without_an_agent(went_on=True).run(15_000)
    assert not duo.nodes["a"].effects
    duo.feed("a", BEFORE)
    duo.run(3_000)
    assert duo.active == "b"


def test_what_was_said_of_the_data_before_they_were_started_counts_no_more() -> None:
    duo = blank(on_data(replicated()))
    assert duo.active == "a"
    assert duo.state("a").data is DataState.UNKNOWN
    assert duo.state("b").data is DataState.BLANK


def test_a_torn_image_is_not_started_again_and_again() -> None:
    """Between two words of its replicator the image of b was torn; a, whom it was to follow, is whole."""
    duo = following("logical", DataState.LOGICAL)
    duo.crash("a")
    while "app" not in duo.nodes["b"].effects:
        duo.run(1)
    duo.feed("b", DataChanged(state=DataState.INCONSISTENT, image=TARGET))
    duo.nodes["b"].fails = {("app", Operation.CHECK), ("app", Operation.START)}
    duo.nodes["b"].effects.discard("app")
    duo.run(5_000)
    assert duo.active == ""
    assert len(duo.nodes["b"].told("group_begin")) == 1
    duo.boot("a")
    duo.feed("a", DataChanged(state=DataState.COMPLETE, image=replace(SOURCE, flows=False, level=False)))
    duo.run(8_000)
    assert duo.active == "a"


@pytest.mark.parametrize(
    ("theirs", "starts"),
    [(TARGET, True), (replace(TARGET, lsn=TARGET.lsn + 1), False), (Image(generation="g9", lsn=10), False)],
    ids=["it lacks nothing of the peer's", "the peer has more", "the peer's are another line"],
)
def test_two_of_whom_neither_knows_what_it_promised_start_where_nothing_is_missing(
    theirs: Image, starts: bool
) -> None:
    """Both lost power while the group was handed over. No operator could bring more than they have."""
    duo = following("complete", DataState.COMPLETE)
    duo.crash("a")
    duo.crash("b")
    duo.boot()
    duo.feed("a", DataChanged(state=DataState.LOGICAL, image=replace(TARGET, flows=False)))
    duo.feed("b", DataChanged(state=DataState.LOGICAL, image=replace(theirs, flows=False)))
    duo.run(8_000)
    assert (duo.active == "a") is starts


def test_alone_it_does_not_start_on_data_that_may_lack_what_was_promised() -> None:
    duo = following("complete", DataState.COMPLETE)
    duo.crash("a")
    duo.crash("b")
    duo.boot("a")
    duo.feed("a", DataChanged(state=DataState.LOGICAL, image=replace(TARGET, flows=False)))
    assert duo.run(8_000).active == ""


def both_logical() -> State:
    """a holds, b is here, and neither has more than the other."""
    duo = following("complete", DataState.COMPLETE)
    for node in ("a", "b"):
        duo.feed(node, DataChanged(state=DataState.LOGICAL, image=replace(TARGET, flows=False)))
    duo.run(500)
    return duo.state("a")


def test_whose_line_goes_on_from_the_peers_lacks_nothing_of_it() -> None:
    """It had served alone, forgot that, and followed for a moment whoever was the holder before."""
    state = both_logical()
    went_on = replace(state.image, generation="g2", ancestors=("g1",))
    assert data_rules.lacks_nothing(replace(state, image=went_on), state.peer.beat)


def test_of_two_equal_ones_neither_lacks_anything() -> None:
    state = both_logical()
    assert data_rules.lacks_nothing(state, state.peer.beat)
    assert not data_rules.lacks_nothing(state, None), "who is not here may have anything"


@pytest.mark.parametrize(
    "change",
    [
        lambda s: replace(s, peer=replace(s.peer, source=replace(SOURCE, lsn=TARGET.lsn + 1))),
        lambda s: replace(s, durable=replace(s.durable, stale=True)),
        lambda s: replace(s, data=DataState.OUTDATED),
        lambda s: replace(s, image=replace(s.image, lsn=TARGET.lsn - 1)),
        lambda s: replace(s, image=replace(s.image, generation="g9")),
    ],
    ids=["the source counted on more", "the peer went on alone", "something else wrote here",
         "the peer has more", "another line"],
)  # fmt: skip
def test_what_is_known_to_be_missing_waits_for_a_word(change: Callable[[State], State]) -> None:
    state = both_logical()
    assert not data_rules.lacks_nothing(change(state), state.peer.beat)


@pytest.mark.parametrize(
    "says",
    [{"data": DataState.INCONSISTENT}, {"data": DataState.NONE, "image": Image()}],
    ids=["its image is torn", "its spec replicates nothing yet"],
)
def test_such_a_peer_says_nothing_of_what_it_had(says: dict[str, Any]) -> None:
    state = both_logical()
    beat = state.peer.beat
    assert beat is not None
    assert not data_rules.lacks_nothing(state, replace(beat, **says))


def with_config(state: State, **fields: object) -> State:
    return replace(state, durable=replace(state.durable, config=replace(state.durable.config, **fields)))


def test_the_group_is_left_to_a_node_that_took_over() -> None:
    state = left_with_the_group(5_000).state("b")
    assert data_rules.left_to_me(state, state.peer.beat)
    assert not data_rules.left_to_me(state, None), "what is not heard is not known to be of no use"


@pytest.mark.parametrize(
    "change",
    [
        lambda s: with_config(s, solo=False),
        lambda s: with_config(s, holder="a"),
        lambda s: replace(s, image=replace(s.image, lsn=s.image.lsn - 1)),
        lambda s: replace(s, image=replace(s.image, generation="")),
        lambda s: replace(s, spec=replace(s.spec, policy=replace(s.spec.policy, takeover="complete"))),
    ],
    ids=["the pair is open", "the peer holds it", "less than was counted on", "an empty disk",
         "the policy asks for more"],
)  # fmt: skip
def test_it_is_not_left_to_who_could_not_have_taken_over(change: Callable[[State], State]) -> None:
    state = left_with_the_group(5_000).state("b")
    assert not data_rules.left_to_me(change(state), state.peer.beat)


def test_a_peer_that_can_run_the_group_or_went_on_from_here_is_given_it() -> None:
    state = left_with_the_group(5_000).state("b")
    beat = state.peer.beat
    assert beat is not None
    assert not data_rules.left_to_me(state, replace(beat, able=True))
    went_on = replace(beat, image=Image(generation="g2", ancestors=("g1",), lsn=9_000))
    assert not data_rules.left_to_me(state, went_on)
