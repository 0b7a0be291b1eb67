"""What one end knows of one link: received, lost by gaps, rejected with reasons, round trip, age.

Also the link's replay window (as RFC 4303 3.4.3 does it): one frame is accepted once. Whether a beat is
fresh for the protocol is the core's decision.
"""

from __future__ import annotations

from collections import Counter

from hsorch.node.link.frame import Reason, Times

WINDOW = 64
_MASK = (1 << WINDOW) - 1
_RTT_WEIGHT = 8
"""Smoothing of RFC 6298 2.3: one eighth of each new sample."""


class LinkStats:
    """Counters since the agent started. Instants in nanoseconds."""

    def __init__(self) -> None:
        self.received = 0
        self.lost = 0
        self.rejected: Counter[Reason] = Counter()
        self.rtt_us = 0
        self.heard_at = -1
        self.error = ""
        """Why the last send or open failed; empty when it went out."""
        self._incarnation = 0
        self._highest = 0
        self._seen = 0
        self._stamp = 0

    def accept(self, incarnation: int, seq: int, times: Times, now: int) -> bool:
        """Count an authentic frame of the peer; False for one that was heard before or is too old."""
        if incarnation < self._incarnation or not self._first_time(incarnation, seq):
            self.rejected[Reason.REPLAYED] += 1
            return False
        self.received += 1
        self.heard_at = now
        self._stamp = times.stamp
        if times.echo:
            sample = max(0, now // 1000 - times.echo - times.held)
            self.rtt_us = sample if not self.rtt_us else self.rtt_us + (sample - self.rtt_us) // _RTT_WEIGHT
        return True

    def times(self, now: int) -> Times:
        """What the next frame out carries."""
        held = min((now - self.heard_at) // 1000, 0xFFFF_FFFF) if self._stamp else 0
        return Times(stamp=now // 1000, echo=self._stamp, held=held)

    def age_ms(self, now: int) -> int:
        """Since the last accepted frame; -1: never."""
        return -1 if self.heard_at < 0 else (now - self.heard_at) // 1_000_000

    def _first_time(self, incarnation: int, seq: int) -> bool:
        if incarnation > self._incarnation:
            self._incarnation, self._highest, self._seen = incarnation, seq, 1
            return True
        ahead = seq - self._highest
        if ahead > 0:
            self.lost += ahead - 1
            self._seen = (self._seen << ahead | 1) & _MASK if ahead < WINDOW else 1
            self._highest = seq
            return True
        bit = 1 << -ahead if -ahead < WINDOW else 0
        if not bit or self._seen & bit:
            return False
        self._seen |= bit
        self.lost = max(0, self.lost - 1)
        return True
