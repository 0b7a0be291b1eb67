"""The guard tells an emptied disk from a busy one."""

from __future__ import annotations

from hsorch.node.replication.massguard import WINDOW_NS, MassGuard


def test_a_quarter_may_go_and_no_more() -> None:
    guard = MassGuard(share=0.25, floor=10)
    assert guard.admits(250, 1000, 0)
    assert not guard.admits(1, 750, 1)
    assert guard.held


def test_small_trees_may_lose_everything() -> None:
    assert MassGuard(floor=100).admits(100, 100, 0)
    assert not MassGuard(floor=100).admits(101, 101, 0)


def test_many_small_steps_count_together() -> None:
    guard = MassGuard(share=0.25, floor=10)
    passed = sum(guard.admits(1, 1000 - step, step) for step in range(1000))
    assert passed == 250


def test_a_minute_later_more_may_go() -> None:
    guard = MassGuard(share=0.25, floor=10)
    assert guard.admits(250, 1000, 0)
    assert guard.admits(100, 750, WINDOW_NS)


def test_turnover_is_no_shrinking() -> None:
    guard = MassGuard(share=0.25, floor=10)
    for second in range(50):
        guard.wrote(100, second)
        assert guard.admits(100, 1000, second)


def test_what_a_mirror_wrote_makes_up_for_nothing_after_it() -> None:
    guard = MassGuard(share=0.25, floor=10)
    guard.wrote(1000, 0)
    guard.settled(1)
    left = 1000
    while guard.admits(10, left, 2):
        left -= 10
    assert left == 750
