"""A full disk stops replication in time, and a disk at the edge does not flap."""

from __future__ import annotations

from pathlib import Path

import pytest

from hsorch.node.replication.space import (
    GIB,
    Level,
    Limits,
    Volume,
    free_bytes,
    judge,
    observe,
    seconds_left,
    worst,
)

LIMITS = Limits()


@pytest.mark.parametrize(
    ("before", "free", "after"),
    [
        (Level.OK, 5 * GIB + 1, Level.OK),
        (Level.OK, 5 * GIB, Level.WARN),
        (Level.OK, 3 * GIB, Level.STOP),
        (Level.STOP, 4 * GIB, Level.STOP),
        (Level.STOP, 5 * GIB, Level.STOP),
        (Level.STOP, 5 * GIB + LIMITS.clear + 1, Level.OK),
        (Level.WARN, 5 * GIB + 1, Level.WARN),
        (Level.WARN, 3 * GIB + 1, Level.WARN),
        (Level.OK, -1, Level.LOST),
        (Level.LOST, 9 * GIB, Level.OK),
        (Level.LOST, 4 * GIB, Level.WARN),
    ],
)
def test_levels(before: Level, free: int, after: Level) -> None:
    assert judge(before, free, LIMITS) is after


def test_a_disk_at_the_edge_does_not_flap() -> None:
    level, changes = Level.OK, 0
    for step in range(100):
        free = 5 * GIB + (4096 if step % 2 else -4096)
        changes += (new := judge(level, free, LIMITS)) is not level
        level = new
    assert changes == 1


def test_the_forecast_says_when_the_stop_limit_is_reached() -> None:
    volume = Volume("store", Path("/data"))
    for second in range(200):
        volume = observe(volume, 20 * GIB - second * (GIB // 100), second * 10**9, LIMITS)
    left = seconds_left(volume, LIMITS)
    assert left is not None
    assert left == pytest.approx((volume.free - 3 * GIB) / (GIB // 100), rel=0.01)


def test_a_disk_that_does_not_fill_has_no_forecast() -> None:
    assert seconds_left(observe(Volume("store", Path("/data")), 9 * GIB, 1, LIMITS), LIMITS) is None


def test_the_worst_volume_decides() -> None:
    volumes = [Volume("a", Path("/a"), Level.WARN), Volume("b", Path("/b"), Level.STOP)]
    assert worst(volumes) is Level.STOP
    assert worst([]) is Level.OK


def test_a_volume_that_is_gone_is_lost_not_full(tmp_path: Path) -> None:
    assert free_bytes(tmp_path) > 0
    assert free_bytes(tmp_path / "gone") == -1


def test_limits_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="below"):
        Limits(warn=1, stop=2)
