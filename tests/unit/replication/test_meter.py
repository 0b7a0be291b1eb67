"""The lag that status shows is never less than what a takeover could lose."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hsorch.node.replication.meter import Meter


def test_a_write_that_no_sample_has_seen_yet_is_behind_all_the_same() -> None:
    meter = Meter()
    meter.sample(1.0, 100, 100)
    assert meter.lag_ms(1.04, 100, 100) == 0
    assert meter.lag_ms(1.04, 150, 100) == 40


def test_the_lag_grows_while_nothing_arrives() -> None:
    meter = Meter()
    for tick in range(100):
        meter.sample(tick / 10, 100 + tick, 100)
    assert meter.lag_ms(10.0, 200, 100) == 10_000


def test_without_a_standby_the_lag_is_not_known() -> None:
    meter = Meter()
    meter.sample(1.0, 500, 0)
    assert meter.lag_ms(1.5, 500, 0) == -1


@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 100), st.integers(0, 120)), min_size=1, max_size=60)
)
def test_every_write_older_than_the_lag_is_held(steps: list[tuple[int, int, int]]) -> None:
    """steps: (ms until the sample, bytes written just before it, bytes acknowledged since)."""
    meter, now, end, acked = Meter(), 0.0, 0, 0
    written: list[tuple[float, int]] = []
    for pause, more, less in steps:
        now += pause / 1000
        if more:
            end += more
            written.append((now, end))
        acked = min(end, acked + less)
        meter.sample(now, end, acked)
    lag = meter.lag_ms(now, end, acked)
    if lag >= 0:
        missing = [at for at, upto in written if upto > acked]
        assert all(now - at <= (lag + 1) / 1000 for at in missing)
        assert lag > 0 or not missing
