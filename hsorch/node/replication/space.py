"""Free space of the volumes that replication writes to, and when it must warn or stop (REQ-J11).

Stopping concerns replication alone: the application never sees an error of ours. What stopping means is the
replicator's business.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

GIB = 1 << 30
_SMOOTH = 0.1


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    STOP = "stop"
    LOST = "lost"
    """The volume can't be asked: gone, unmounted or failing."""


@dataclass(frozen=True)
class Limits:
    """Bytes. Free at or below warn or stop counts as reached; leaving a level takes more than `clear`
    beyond warn, so that a disk at the edge does not flap."""

    warn: int = 5 * GIB
    stop: int = 3 * GIB
    clear: int = GIB // 16

    def __post_init__(self) -> None:
        if not 0 <= self.stop < self.warn:
            raise ValueError("stop must lie below warn")


@dataclass(frozen=True)
class Volume:
    """One volume as last seen. free -1: not known. rate: bytes a second by which free falls."""

    name: str
    path: Path
    level: Level = Level.OK
    free: int = -1
    seen_ns: int = 0
    rate: float = 0.0


def judge(level: Level, free: int, limits: Limits) -> Level:
    """Next level. Stop and warn are entered at once and left together, above warn (hysteresis)."""
    if free < 0:
        return Level.LOST
    if free <= limits.stop:
        return Level.STOP
    if free > limits.warn + (limits.clear if level in (Level.WARN, Level.STOP) else 0):
        return Level.OK
    return Level.STOP if level is Level.STOP else Level.WARN


def observe(volume: Volume, free: int, now_ns: int, limits: Limits) -> Volume:
    """The volume after one look at it."""
    rate = volume.rate
    if volume.free >= 0 and free >= 0 and now_ns > volume.seen_ns:
        fresh = (volume.free - free) * 1e9 / (now_ns - volume.seen_ns)
        rate += _SMOOTH * (fresh - rate)
    level = judge(volume.level, free, limits)
    return replace(volume, level=level, free=free, seen_ns=now_ns, rate=rate)


def seconds_left(volume: Volume, limits: Limits) -> float | None:
    """Until the stop limit at the present rate; None: it does not fill."""
    if volume.free < 0 or volume.rate <= 0:
        return None
    return max(0.0, (volume.free - limits.stop) / volume.rate)


def worst(volumes: Iterable[Volume]) -> Level:
    """Of all volumes of a node (store, journal, target, spool)."""
    order = (Level.OK, Level.WARN, Level.LOST, Level.STOP)
    return max((v.level for v in volumes), key=order.index, default=Level.OK)


def free_bytes(path: Path) -> int:
    """Free to unprivileged writers; -1 when the volume can't be asked."""
    try:
        found = os.statvfs(path)
    except OSError:
        return -1
    return found.f_bavail * found.f_frsize
