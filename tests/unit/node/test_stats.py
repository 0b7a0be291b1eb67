"""Link statistics and the replay window, against a plain model."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hsorch.node.link.frame import Reason, Times
from hsorch.node.link.stats import WINDOW, LinkStats

NOW = 1_000_000_000


def accept(stats: LinkStats, seq: int, incarnation: int = 1) -> bool:
    return stats.accept(incarnation, seq, Times(stamp=1), NOW)


def test_a_replayed_frame_is_rejected_with_its_reason() -> None:
    stats = LinkStats()
    assert accept(stats, 5)
    assert not accept(stats, 5)
    assert stats.rejected[Reason.REPLAYED] == 1


def test_a_frame_of_an_earlier_run_of_the_peer_is_rejected() -> None:
    stats = LinkStats()
    assert accept(stats, 5, incarnation=2)
    assert not accept(stats, 900, incarnation=1)


def test_a_restarted_peer_counts_from_the_start_again() -> None:
    stats = LinkStats()
    assert accept(stats, 500, incarnation=1)
    assert accept(stats, 1, incarnation=2)
    assert stats.lost == 0


def test_a_gap_is_lost_until_the_late_frame_comes() -> None:
    stats = LinkStats()
    for seq in (1, 2, 5):
        accept(stats, seq)
    assert stats.lost == 2
    assert accept(stats, 3)
    assert (stats.received, stats.lost) == (4, 1)


def test_the_round_trip_leaves_out_what_the_peer_kept() -> None:
    stats = LinkStats()
    sent_us, back_us, held_us = 1_000_000, 1_150_000, 149_000
    stats.accept(1, 1, Times(stamp=9, echo=sent_us, held=held_us), back_us * 1000)
    assert stats.rtt_us == 1000


def test_the_next_frame_out_says_how_long_the_peers_stamp_was_kept() -> None:
    stats = LinkStats()
    stats.accept(1, 1, Times(stamp=77), NOW)
    assert stats.times(NOW + 3_000_000) == Times(stamp=(NOW + 3_000_000) // 1000, echo=77, held=3000)


@given(st.lists(st.integers(1, 3 * WINDOW), min_size=1, max_size=200))
def test_each_frame_is_accepted_at_most_once(seqs: list[int]) -> None:
    stats, accepted, highest = LinkStats(), set[int](), 0
    for seq in seqs:
        fresh = seq not in accepted and seq > highest - WINDOW
        assert accept(stats, seq) == (fresh if highest else True)
        if fresh:
            accepted.add(seq)
            highest = max(highest, seq)
    assert stats.received == len(accepted)
    assert stats.lost >= 0
