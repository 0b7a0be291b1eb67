"""A resync is never far ahead of its standby: what it writes into the journal need not all fit on the disk.

The standby has it on its own disk before more is read here; what it holds is deleted from the journal.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from hsorch.node.replication.gate import Gate
from hsorch.node.replication.journal import Journal

AHEAD_BYTES = 64 * 1024 * 1024
POLL_S = 0.002


def paced(journal: Journal, gate: Gate, ended: Callable[[], bool]) -> Callable[[], bool]:
    """`ended`, to be asked before each piece with no lock held: waits until the next one may be written."""

    def after_waiting() -> bool:
        while not ended() and journal.end - gate.durable > AHEAD_BYTES:
            time.sleep(POLL_S)
        return ended()

    return after_waiting
