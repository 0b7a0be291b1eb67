"""What a full, slow or hanging disk of a node may do to the pair: never that both nodes act."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from hsorch.node.core import disk, facts, rules
from hsorch.node.core.actions import AskWitness, Fence, Persist, ProbeStore
from hsorch.node.core.report import protected
from hsorch.node.core.state import NEVER, SECOND
from hsorch.node.core.types import Instant, Persisted, StoreProbed, Verb
from tests.unit.core.conftest import make_spec
from tests.unit.core.duo import Duo


def test_a_standby_whose_disk_was_full_is_back_within_seconds_however_it_was_noticed(pair: Duo) -> None:
    """By the look now and then, here: that the next one is far away must not count."""
    pair.nodes["b"].disk_full = True
    while not pair.state("b").broken:
        pair.run(1_000)
    pair.nodes["b"].disk_full = False
    pair.run(8_000)
    assert pair.nodes["b"].told("store_repaired")
    assert protected(pair.state("a"), Instant(pair.now))
    assert pair.active == "a"


def test_an_active_that_had_nothing_to_write_gives_the_group_away_within_seconds_of_a_full_disk(
    pair: Duo,
) -> None:
    pair.nodes["a"].disk_full = True
    pair.run(15_000)
    assert pair.nodes["a"].told("store_failed")
    assert pair.active == "b"


def test_a_disk_that_only_writes_much_back_moves_nothing(pair: Duo) -> None:
    pair.nodes["a"].disk_hangs = True
    while pair.state("a").store_asked == NEVER:
        pair.run(100)
    pair.run(15_000)
    pair.nodes["a"].disk_hangs = False
    pair.feed("a", StoreProbed(ok=True))
    pair.run(15_000)
    assert pair.active == "a"
    assert not pair.nodes["a"].told("store_failed")


def test_a_disk_that_hangs_is_told_and_heartbeats_go_on(pair: Duo) -> None:
    pair.nodes["b"].disk_hangs = True
    while not pair.nodes["b"].told("store_failed"):
        pair.run(100)
        assert pair.config("a") == "0.0 PAIR(a)", "the peer noticed before the node said so"
    asked = sum(isinstance(x, ProbeStore) for x in pair.nodes["b"].actions)
    pair.run(120_000)
    assert sum(isinstance(x, ProbeStore) for x in pair.nodes["b"].actions) == asked, "threads pile up"
    pair.nodes["b"].disk_hangs = False
    pair.feed("b", StoreProbed(ok=True))
    pair.run(5_000)
    assert not pair.state("b").broken
    assert protected(pair.state("a"), Instant(pair.now))
    assert pair.active == "a"


def test_after_a_refusal_the_state_itself_is_written_again_before_anything_is_promised(pair: Duo) -> None:
    """What a failed write left on the disk may be the old or the new state."""
    node = pair.nodes["b"]
    pair.feed("b", Persisted(ok=False, detail="I/O error"))
    seen = len(node.actions)
    pair.feed("b", StoreProbed(ok=True))
    written = [x for x in node.actions[seen:] if isinstance(x, Persist)]
    assert written == [Persist(durable=pair.state("b").durable)]


def test_a_node_proves_its_disk_before_it_asks_for_a_major(pair: Duo) -> None:
    pair.crash("a")
    seen = len(pair.nodes["b"].actions)
    pair.run(3_000)
    kinds = [type(x) for x in pair.nodes["b"].actions[seen:]]
    assert Persist not in kinds[: kinds.index(ProbeStore)]
    ask = next(
        i for i, x in enumerate(pair.nodes["b"].actions[seen:]) if isinstance(x, AskWitness) and x.create
    )
    assert ProbeStore in kinds[:ask]


def test_a_proof_from_before_the_silence_counts_for_nothing(pair: Duo) -> None:
    """A disk that filled after it was proven lets its node win what it cannot store: then nobody serves."""
    pair.partition()
    pair.run(1_000)
    assert pair.state("a").store_proven
    pair.heal()
    pair.run(3_000)
    assert pair.active == "a"
    pair.nodes["a"].disk_full = True
    pair.partition()
    pair.run(6_000)
    assert pair.active == "b"


def test_a_full_disk_does_not_make_a_node_forget_who_went_on_alone(pair: Duo) -> None:
    """The node that took over loses its own state meanwhile, and believes what its peer still has stored."""
    pair.nodes["a"].disk_full = True
    pair.partition()
    pair.run(6_000)
    assert pair.active == "b"
    pair.heal()
    pair.run(1_000)
    assert pair.config("a").startswith("0.")
    pair.crash("b")
    pair.boot("b", forgotten=True)
    pair.run(500)
    pair.nodes["a"].disk_full = False
    pair.run(6_000)
    assert pair.active == "b"
    assert pair.config("a").startswith("1.")


@pytest.mark.parametrize("last_words_heard", [True, False])
def test_a_right_that_the_peer_gave_and_forgot_is_claimed_by_one_only(
    pair: Duo, last_words_heard: bool
) -> None:
    """The active could not store it; the standby gave its vote up, lost its state, and has its vote again."""
    pair.nodes["a"].disk_full = True
    pair.order("b", Verb.MAINTENANCE_ON)
    pair.run(800)
    pair.crash("b")
    pair.boot("b", forgotten=True)
    if not last_words_heard:
        pair.run(1.5)
        pair.cut = {("b", "a")}
    pair.run(400)
    pair.partition()
    pair.nodes["a"].disk_full = False
    pair.run(8_000)  # the pair itself asserts at each step that one node at most has effects
    assert pair.config("a") != "0.1 SOLO(a)"


@pytest.mark.parametrize("interval", [200, 500])
def test_a_healthy_pair_leaves_its_disks_alone(interval: int) -> None:
    """Also where two heartbeats make the suspect time: one that is on its way is no silence."""
    spec = make_spec(suspect_ms=2 * interval)
    links = tuple(replace(link, interval_ms=interval) for link in spec.links)
    duo = Duo(replace(spec, links=links)).boot().run(5_000)
    seen = {name: len(node.actions) for name, node in duo.nodes.items()}
    duo.run(60_000)
    for name, node in duo.nodes.items():
        looks = sum(isinstance(action, ProbeStore) for action in node.actions[seen[name] :])
        assert looks <= 60 * SECOND // disk.CHECK + 1


def test_a_proof_of_the_disk_counts_from_the_silence_on_and_gets_old(pair: Duo) -> None:
    state, now = pair.state("a"), Instant(pair.now)
    silent = facts.silence_counts_from(state)

    def proven(at: int, when: int = now) -> bool:
        return rules.store_proven(replace(state, store_proven=Instant(at)), Instant(when))

    assert proven(silent)
    assert not proven(silent - 1)
    assert not proven(silent, silent + rules.PROVEN)
    assert not rules.store_proven(replace(state, store_proven=silent, broken=True), now)


def test_a_disk_that_refuses_for_long_is_told_once(pair: Duo) -> None:
    """The look at it succeeds, only the state itself is refused."""
    pair.nodes["b"].disk_full = True
    pair.run(61_000)
    told = len(pair.nodes["b"].told("store_failed"))
    assert told
    for _ in range(5):
        pair.feed("b", StoreProbed(ok=True))
    assert pair.state("b").broken
    assert len(pair.nodes["b"].told("store_failed")) == told


def test_a_slow_disk_makes_the_holder_lose_the_race_not_the_watch_over_its_lease(pair: Duo) -> None:
    """It would have to store its win; a loop that waits for the disk ends no lease in time."""
    pair.nodes["a"].disk_hangs = True
    pair.partition()
    seen = len(pair.nodes["a"].actions)
    pair.run(1_900)
    kinds = [type(x) for x in pair.nodes["a"].actions[seen:]]
    assert ProbeStore in kinds
    assert not any(isinstance(x, AskWitness) and x.create for x in pair.nodes["a"].actions[seen:])
    assert Fence in kinds
    pair.run(3_000)
    assert pair.active == "b"
