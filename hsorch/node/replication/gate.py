"""What a flush of the application waits for: the standby's acknowledgement, as far as the policy asks for it.

The one rule of `complete`: no fsync answers before the standby holds everything that was written before it,
unless the standby was durably declared outdated first (opened). A gate that can't be passed freezes the
application; open() thaws it, abort() lets it fail (EIO). Nothing here knows files or sockets.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from typing import Literal

Level = Literal["none", "received", "durable"]
LOOK_S = 0.25
"""So often it is looked whether who waits is still there."""


class Gate:
    """Thread-safe. level none: nobody waits (`logical`)."""

    def __init__(self, level: Level, left: Callable[[], bool] = lambda: False) -> None:
        """left(): who called the thread that asks has been killed, and wants no answer any more."""
        self._level: Level = level
        self._left = left
        self._changed = threading.Condition()
        self._received = 0
        self._durable = 0
        self._applied = 0
        self._open = level == "none"
        self._aborted = False
        self._waiting = 0

    @property
    def acked(self) -> int:
        """The prefix that counts as held by the standby at this gate's level."""
        return self._durable if self._level == "durable" else self._received

    @property
    def durable(self) -> int:
        return self._durable

    @property
    def applied(self) -> int:
        return self._applied

    @property
    def waiting(self) -> int:
        """Flushes of the application that are held back now."""
        return self._waiting

    @property
    def guards(self) -> bool:
        """A flush that returns now is held by the standby, too."""
        return not self._open

    def wait(self, lsn: int) -> None:
        """Return once all below lsn is acknowledged, or the gate is open.

        Raises OSError EIO: aborted; EINTR: who waits was killed, and could not end before it is answered.
        """
        if self._passes(lsn):
            return
        with self._changed:
            self._waiting += 1
            try:
                while not self._changed.wait_for(lambda: self._aborted or self._passes(lsn), LOOK_S):
                    if self._left():
                        raise OSError(errno.EINTR, os.strerror(errno.EINTR))
                if not self._passes(lsn):
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
            finally:
                self._waiting -= 1

    def _passes(self, lsn: int) -> bool:
        return self._open or self.acked >= lsn

    def acknowledge(self, received: int, durable: int, applied: int) -> None:
        """The standby's three ends; none of them ever goes back within a connection."""
        with self._changed:
            self._received = max(self._received, received)
            self._durable = max(self._durable, durable)
            self._applied = max(self._applied, applied)
            self._changed.notify_all()

    def restart(self, lsn: int, *, fresh: bool = False) -> None:
        """A standby connected whose spool ends at lsn (less than before after a rollback); fresh: it will end
        there, once it heard of the resync."""
        with self._changed:
            self._received = min(self._received, lsn) if fresh else lsn
            self._durable, self._applied = min(self._durable, lsn), min(self._applied, lsn)
            self._changed.notify_all()

    def open(self) -> None:
        """Only after the standby was durably declared outdated: flushes answer without it."""
        with self._changed:
            self._open = True
            self._changed.notify_all()

    def shut(self) -> None:
        """The standby is level again: flushes wait for it from now on."""
        with self._changed:
            self._open = self._level == "none"

    def abort(self) -> None:
        """Frozen flushes fail with EIO, so that a service that must stop can stop; until resume()."""
        with self._changed:
            self._aborted = True
            self._changed.notify_all()

    def resume(self) -> None:
        """What was to stop goes on."""
        with self._changed:
            self._aborted = False
