"""Virtual time: one queue of coming events for the world, one imperfect clock per node.

Real time is the world's, in nanoseconds from 0; nodes only ever see their own clocks.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

MS = 1_000_000
"""Nanoseconds in a millisecond."""
SECOND = 1_000_000_000

_FAR = 1 << 62


class Timeline:
    """Priority queue of (real time, order of entry, function, arguments); ties run in order of entry."""

    __slots__ = ("_heap", "_order", "now")

    def __init__(self) -> None:
        self.now = 0
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = 0

    def at(self, when: int, function: Callable[..., None], *arguments: Any) -> None:
        self._order += 1
        heapq.heappush(self._heap, (max(when, self.now), self._order, function, arguments))

    def after(self, delay: int, function: Callable[..., None], *arguments: Any) -> None:
        self.at(self.now + delay, function, *arguments)

    def run_until(self, end: int) -> None:
        heap = self._heap
        while heap and heap[0][0] <= end:
            self.now, _, function, arguments = heapq.heappop(heap)
            function(*arguments)
        self.now = max(self.now, end)


class Clock:
    """A node's clocks: monotonic with a rate error, wall with steps, boottime that counts pauses.

    rate_ppb: error of the rate in parts per 10^9. The monotonic clock stands still while the whole
    machine is paused (a hypervisor does that), and runs on while only processes are frozen.
    """

    __slots__ = ("_base_local", "_base_real", "_boot_lead", "_paused", "_rate", "_wall_lead")

    def __init__(self, real: int, *, local: int, wall: int, rate_ppb: int) -> None:
        self._base_real = real
        self._base_local = local
        self._wall_lead = wall - local
        self._boot_lead = 0
        self._rate = SECOND + rate_ppb
        self._paused = False

    def local(self, real: int) -> int:
        if self._paused:
            return self._base_local
        return self._base_local + (real - self._base_real) * self._rate // SECOND

    def wall(self, real: int) -> int:
        return self.local(real) + self._wall_lead

    def boottime(self, real: int) -> int:
        return self.local(real) + self._boot_lead

    def real_of(self, local: int) -> int:
        """First real time at which the monotonic clock shows at least `local`."""
        if self._paused:
            return _FAR
        return self._base_real - (self._base_local - local) * SECOND // self._rate + 1

    def step_wall(self, by: int) -> None:
        self._wall_lead += by

    def set_rate(self, real: int, rate_ppb: int) -> None:
        self._rebase(real)
        self._rate = SECOND + rate_ppb

    def pause(self, real: int) -> None:
        self._rebase(real)
        self._paused = True

    def resume(self, real: int, *, suspended: bool) -> None:
        """The wall clock is right again at once; the monotonic clock never saw the pause.

        suspended: the kernel knows of it, so boottime counts it; a hypervisor's pause is not counted.
        """
        lost = real - self._base_real
        self._base_real = real
        self._paused = False
        self._wall_lead += lost
        self._boot_lead += lost if suspended else 0

    def _rebase(self, real: int) -> None:
        self._base_local = self.local(real)
        self._base_real = real
