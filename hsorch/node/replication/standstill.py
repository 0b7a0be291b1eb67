"""Tells slow from stuck: how long something that should move has been in one place. Pure."""

from __future__ import annotations


class Standstill:
    """limit_s: so long it may stand."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._place = -1
        self._since = 0.0

    def seen(self, place: int, now: float, *, waited_for: bool) -> bool:
        """Whether it is stuck there. Said once, then the time begins anew, as it does at each move and while
        nobody waits for one. now: monotonic seconds."""
        if place == self._place and waited_for and now - self._since <= self._limit_s:
            return False
        stuck = place == self._place and waited_for
        self._place, self._since = place, now
        return stuck
