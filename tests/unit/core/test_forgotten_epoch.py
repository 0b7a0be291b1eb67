"""A node lost its state, its replicator did not: the pair goes on above the epoch that only that knows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from hsorch.node.core import rules
from hsorch.node.core.report import protected
from hsorch.node.core.state import NEVER, Group, Phase, State, WitnessMemory
from hsorch.node.core.types import Beat, DataChanged, DataState, Epoch, Instant
from tests.unit.core.duo import Duo
from tests.unit.core.test_data import SOURCE, TARGET, blank, level, replicated


def forgetful(known: Epoch, takeover: str = "logical") -> Duo:
    """b lost its state with the power and follows a again; its replicator has heard of an epoch, and refuses
    the stream of a lower one."""
    duo = level(blank(replicated(takeover)), DataState.LOGICAL)
    duo.crash("b")
    duo.run(300)
    duo.boot("b", forgotten=True)
    duo.feed("a", DataChanged(state=DataState.COMPLETE, image=replace(SOURCE, flows=False, level=False)))
    duo.feed("b", DataChanged(state=DataState.LOGICAL, image=replace(TARGET, flows=False), epoch=known))
    return duo


@pytest.mark.parametrize("takeover", ["logical", "complete"])
@pytest.mark.parametrize(
    ("known", "then"),
    [
        (Epoch(0, 1), Epoch(0, 3)),
        (Epoch(0, 2), Epoch(0, 3)),
        (Epoch(1, 0), Epoch(1, 1)),
        (Epoch(2, 1), Epoch(2, 3)),
    ],
    ids=["it had given up its vote", "it had handed over", "it had won", "it had led the pair there"],
)
def test_the_standby_leads_the_pair_past_the_epoch_that_it_forgot(
    known: Epoch, then: Epoch, takeover: str
) -> None:
    duo = forgetful(known, takeover).run(3_000)
    assert duo.config("a") == duo.config("b") == "0.0 PAIR(a)", "what a heartbeat is late for comes by itself"
    duo.run(4_000)
    assert duo.config("a") == duo.config("b") == f"{then.major}.{then.minor} SOLO(a)", "b keeps no vote"
    assert not duo.nodes["a"].told("group_offline_end")[1:], "the service never stopped"
    duo.feed("a", DataChanged(state=DataState.COMPLETE, guarded=True, image=SOURCE))
    duo.feed("b", DataChanged(state=DataState.COMPLETE, image=TARGET, epoch=then))
    duo.run(2_000)
    assert duo.config("b") == f"{then.major}.{then.minor + 1} PAIR(a)"
    assert protected(duo.state("a"), Instant(duo.now))


def test_from_there_on_takeovers_go_on_as_ever() -> None:
    """The major that was passed over has no register, and needs none."""
    duo = forgetful(Epoch(2, 0)).run(7_000)
    level(duo, DataState.LOGICAL).run(2_000)
    duo.crash("a")
    duo.run(4_000)
    assert duo.config("b") == "3.0 SOLO(b)"
    assert duo.active == "b"


def test_the_holder_that_went_on_alone_meanwhile_goes_on_without_a_break() -> None:
    """The word of b was lost on its way, and a asked the witness."""
    duo = forgetful(Epoch(2, 0)).run(5_000)
    assert duo.config("b") == "0.0 PAIR(a)"
    duo.cut = {("b", "a")}
    duo.run(4_000)
    assert (duo.config("a"), duo.config("b")) == ("1.0 SOLO(a)", "2.1 SOLO(a)")
    assert not duo.state("b").durable.evidence, "it has not seen a there"
    duo.heal()
    duo.run(2_000)
    assert duo.config("a") == "2.1 SOLO(a)"
    assert not duo.nodes["a"].told("group_offline_end")[1:]


def shut_out() -> State:
    """b is about to lead the pair past 2.0."""
    state = forgetful(Epoch(2, 0)).run(5_000).state("b")
    assert rules.may_lead_past(state, Instant(state.now + state.timing.suspect // 2))
    return state


def heard(change: Callable[[Beat], Beat]) -> Callable[[State], State]:
    def changed(state: State) -> State:
        assert state.peer.beat is not None
        return replace(state, peer=replace(state.peer, beat=change(state.peer.beat)))

    return changed


@pytest.mark.parametrize(
    "change",
    [
        lambda s: replace(s, heard_of=s.durable.config.epoch),
        lambda s: replace(s, dry_since=NEVER),
        lambda s: replace(s, dry_since=Instant(s.now - s.timing.suspect)),
        lambda s: replace(s, group=Group(phase=Phase.FENCING)),
        lambda s: replace(s, witness=WitnessMemory(proposed=True)),
        lambda s: replace(s, broken=True),
        lambda s: replace(s, peer=replace(s.peer, heard=Instant(s.now - 2 * s.timing.suspect))),
        lambda s: replace(s, peer=replace(s.peer, since=s.now)),
        lambda s: replace(s, me="a", peer_name="b"),
        heard(lambda beat: replace(beat, acting=False)),
        heard(lambda beat: replace(beat, config=replace(beat.config, epoch=Epoch(0, 2)))),
    ],
    ids=["its replicator knows no more than the pair", "its data flow", "they have not for a moment only",
         "it may have effects", "it may win at the witness still", "its disk refuses", "its peer is silent",
         "its peer was silent just now", "it is the holder", "nobody serves",
         "the peer is ahead of it already"],
)  # fmt: skip
def test_it_does_not_where(change: Callable[[State], State]) -> None:
    state = change(shut_out())
    assert not rules.may_lead_past(state, Instant(state.now + state.timing.suspect // 2))
