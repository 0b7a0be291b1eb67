"""How fast and how far behind: speed, lag in time, from samples of two ends. Pure."""

from __future__ import annotations

from collections import deque

SMOOTHING_S = 3.0
_KEPT = 4096


class Meter:
    """sample() at any rhythm with rising times; seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._ends: deque[tuple[float, int]] = deque(maxlen=_KEPT)
        """(when, end): the last moment at which nothing beyond `end` was written; the first one is held."""
        self._acked = 0
        self._at = 0.0
        self.bytes_per_s = 0.0

    def sample(self, now: float, end: int, acked: int) -> None:
        """end: what was written; acked: what the standby holds of it."""
        if self._ends and self._ends[-1][1] == end:
            self._ends.pop()
        self._ends.append((now, end))
        if self._at and now > self._at:
            weight = min(1.0, (now - self._at) / SMOOTHING_S)
            rate = max(0, acked - self._acked) / (now - self._at)
            self.bytes_per_s += (rate - self.bytes_per_s) * weight
        self._acked, self._at = acked, now
        while len(self._ends) > 1 and self._ends[1][1] <= acked:
            self._ends.popleft()

    def lag_ms(self, now: float, end: int, acked: int) -> int:
        """Every write older than this is held by the standby; 0: all are, -1: not known.

        Never less than the truth: it is off by the time between two samples at most.
        """
        if acked >= end:
            return 0
        held = next((at for at, written in reversed(self._ends) if written <= acked), None)
        return -1 if held is None else max(1, int((now - held) * 1000))
