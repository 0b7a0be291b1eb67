"""The node's clocks, and times as text. The only place of the runtime that reads them.

Protocol instants are CLOCK_MONOTONIC nanoseconds; wall clock is for people and for noticing jumps.
"""

from __future__ import annotations

import time

from hsorch.node.core.types import Instant

SECOND = 1_000_000_000
MILLISECOND = 1_000_000

_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", None)


def now() -> Instant:
    """CLOCK_MONOTONIC in nanoseconds: the same for all processes of one boot."""
    return Instant(time.monotonic_ns())


def wall() -> int:
    """Nanoseconds since 1970; may step."""
    return time.time_ns()


def boottime() -> int:
    """Nanoseconds since boot, suspend included; the monotonic clock where the OS counts suspend in it."""
    return time.monotonic_ns() if _BOOTTIME is None else time.clock_gettime_ns(_BOOTTIME)


def utc_text(wall_ns: int) -> str:
    """RFC 3339 with milliseconds, UTC."""
    seconds, rest = divmod(wall_ns, SECOND)
    t = time.gmtime(seconds)
    return (
        f"{t.tm_year:04d}-{t.tm_mon:02d}-{t.tm_mday:02d}"
        f"T{t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d}.{rest // MILLISECOND:03d}Z"
    )
