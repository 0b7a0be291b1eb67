"""The clock that files have their times from: it stands still between two ticks.

A file that is read and then written again within one tick keeps its time, before Linux 6.13. Why that
matters: docs/decisions/0011-size-and-time.md.
"""

from __future__ import annotations

import os
import time

TICK_NS = 20_000_000
"""No tick takes so long; at 100 Hz it is 10 ms."""
_FILES_CLOCK = 5
"""CLOCK_REALTIME_COARSE of linux/time.h. Newer kernels are ahead of it by less than a tick."""


def could_change_unseen(found: os.stat_result) -> bool:
    """Whether a write after this look may leave the file the time that it has."""
    return 0 <= found.st_mtime_ns - time.clock_gettime_ns(_FILES_CLOCK) < TICK_NS
