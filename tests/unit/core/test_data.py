"""What replicated data mean for who may act (rule 12): a standby that follows, or does not."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from hsorch.node.core import rules
from hsorch.node.core.limits import limits
from hsorch.node.core.report import protected
from hsorch.node.core.types import DataChanged, DataState, Instant, Operation, Reconfigured, Verb
from hsorch.spec import Binding, Data, Replication, Spec
from tests.unit.core.conftest import make_spec
from tests.unit.core.duo import Duo


def replicated(takeover: str = "logical") -> Spec:
    bound = Replication(bindings=(Binding(path="/srv/app", kind="ordered"),))
    return replace(make_spec(takeover=takeover), replication=bound)


def level(duo: Duo, state: DataState, *, guarded: bool = False, behind: tuple[int, int] = (0, 0)) -> Duo:
    """a is the source; the target's data are in this state."""
    duo.feed("a", DataChanged(state=DataState.COMPLETE, guarded=guarded))
    duo.feed("b", DataChanged(state=state, behind_bytes=behind[0], behind_ms=behind[1]))
    return duo.run(500)


@pytest.fixture
def complete_pair() -> Duo:
    """takeover: complete; a is active, b holds everything."""
    duo = Duo(replicated("complete")).boot().run(3_000)
    return level(duo, DataState.COMPLETE, guarded=True)


def test_before_the_first_mirror_the_pair_runs_and_is_not_protected() -> None:
    duo = Duo(replicated()).boot().run(3_000)
    assert duo.active == "a"
    assert not protected(duo.state("a"), Instant(duo.now))
    assert "HS728" in {limit.code for limit in limits(duo.state("b"), Instant(duo.now))}
    assert protected(level(duo, DataState.LOGICAL).state("a"), Instant(duo.now))


@pytest.mark.parametrize(
    ("takeover", "state", "takes_over"),
    [("logical", DataState.LOGICAL, True), ("logical", DataState.INCONSISTENT, False),
     ("complete", DataState.LOGICAL, False), ("complete", DataState.COMPLETE, True),
     ("unconditional", DataState.UNKNOWN, True)],
)  # fmt: skip
def test_after_a_crash_the_standby_takes_over_with_the_data_that_the_policy_asks_for(
    takeover: str, state: DataState, takes_over: bool
) -> None:
    duo = level(Duo(replicated(takeover)).boot().run(3_000), state, guarded=True)
    duo.crash("a")
    duo.run(6_000)
    assert (duo.active == "b") is takes_over
    assert bool(duo.nodes["b"].told("refused_takeover")) is not takes_over


def test_a_takeover_says_what_it_loses_at_most() -> None:
    duo = level(Duo(replicated()).boot().run(3_000), DataState.LOGICAL, behind=(4096, 12))
    duo.crash("a")
    duo.run(4_000)
    (told,) = duo.nodes["b"].told("takeover_begin")
    assert "lost are at most 4096 bytes (12 ms)" in told.message


def test_flushes_go_on_without_the_standby_only_once_it_has_no_vote(complete_pair: Duo) -> None:
    assert not rules.may_write_alone(complete_pair.state("a"))
    complete_pair.partition()
    complete_pair.run(4_000)
    assert rules.may_write_alone(complete_pair.state("a")), "the witness says that a is alone"
    assert not rules.may_write_alone(complete_pair.state("b"))


def test_the_standby_gets_its_vote_back_after_the_flushes_wait_for_it_again(complete_pair: Duo) -> None:
    complete_pair.partition()
    complete_pair.run(4_000)
    complete_pair.feed("a", DataChanged(state=DataState.COMPLETE, guarded=False))
    complete_pair.heal()
    complete_pair.run(4_000)
    assert complete_pair.config("a") == "1.0 SOLO(a)", "b may not hold what was written alone"
    level(complete_pair, DataState.INCONSISTENT, guarded=False).run(3_000)
    assert complete_pair.config("a") == "1.0 SOLO(a)"
    level(complete_pair, DataState.COMPLETE, guarded=True).run(3_000)
    assert complete_pair.config("a") == complete_pair.config("b") == "1.2 PAIR(a)"


def test_a_standby_in_the_middle_of_a_resync_gets_no_vote() -> None:
    duo = level(Duo(replicated()).boot().run(3_000), DataState.LOGICAL)
    duo.partition()
    duo.run(4_000)
    duo.feed("b", DataChanged(state=DataState.INCONSISTENT))
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
    duo.feed("a", DataChanged(state=DataState.COMPLETE, followed=yes))
    duo.feed("b", DataChanged(state=DataState.LOGICAL))
    return duo.run(500)


def test_a_switch_waits_until_the_peer_has_everything() -> None:
    duo = followed(Duo(replicated()).boot().run(3_000), False)
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
    duo = followed(Duo(spec).boot().run(3_000), True)
    duo.nodes["a"].fails = {("data", Operation.STOP)}
    duo.order("a", Verb.SWITCH)
    duo.feed("a", DataChanged(state=DataState.COMPLETE, followed=True))
    duo.run(200)
    assert duo.nodes["a"].told("hand_over_void")
    duo.feed("a", DataChanged(state=DataState.COMPLETE, followed=False))
    duo.run(3_000)
    assert duo.active == "a"
    assert duo.config("b").endswith("PAIR(a)"), "b never held the group"
