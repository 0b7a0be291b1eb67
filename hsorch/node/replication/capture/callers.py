"""Who waits in a call of a mount: whether it was killed meanwhile.

A program that was killed stays until each call it made is answered, so one that waits for a standby could not
be ended at all: what nobody waits for any more has to be answered by us.
"""

from __future__ import annotations

import signal
from pathlib import Path

_KILLED = 1 << (signal.SIGKILL - 1)


def was_killed() -> bool:
    """Of the call that the asking thread of the library is in. The kernel marks each thread of a program."""
    import mfusepy

    _, _, thread = mfusepy.fuse_get_context()
    try:
        told = Path(f"/proc/{thread}/status").read_text("ascii", "replace")
    except OSError:
        return False  # not of this namespace, or a call of ours
    pending = next((line for line in told.splitlines() if line.startswith("SigPnd:")), "SigPnd: 0")
    return bool(int(pending.split()[1], 16) & _KILLED)
