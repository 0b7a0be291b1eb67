"""A standby that is slow is waited for; one that is stuck is compared anew, and not at each look."""

from __future__ import annotations

from hsorch.node.replication.standstill import Standstill


def test_what_has_not_moved_for_longer_than_it_may_is_stuck_and_that_is_said_once() -> None:
    standstill = Standstill(10.0)
    looks = [standstill.seen(7, float(now), waited_for=True) for now in range(100, 125)]
    assert [100 + at for at, stuck in enumerate(looks) if stuck] == [111, 122]


def test_any_move_begins_the_time_anew() -> None:
    standstill = Standstill(10.0)
    assert not any(standstill.seen(now // 9, float(now), waited_for=True) for now in range(100, 300))


def test_nobody_waits_and_nothing_is_stuck() -> None:
    standstill = Standstill(10.0)
    assert not any(standstill.seen(7, float(now), waited_for=False) for now in range(100, 200))
    assert not standstill.seen(7, 205.0, waited_for=True), "waited for since the last look only"
