"""The few numbers that agent and guard share: a page of memory in /run, no messages, nothing to block on.

The agent writes how long the watchdog may stay quiet; both write when they were last alive. Each number is
one aligned 64-bit word, written by one side only, so a reader sees an old or a new value, never a mixture.
Instants are monotonic nanoseconds and mean nothing after a reboot: the page starts afresh in a new boot.
"""

from __future__ import annotations

import mmap
import os
from hashlib import blake2b
from pathlib import Path

_WORDS = 8
_SIZE = _WORDS * 8
_BOOT, _UNTIL, _AGENT, _GUARD, _LEFT = range(5)


class Watch:
    """Opened by both processes; `close` leaves the page to the other one."""

    def __init__(self, path: Path, boot_id: str) -> None:
        """Raises OSError."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, _SIZE)  # found later, no room would end the process
            self._map = mmap.mmap(descriptor, _SIZE)
        finally:
            os.close(descriptor)
        self._words = memoryview(self._map).cast("Q")
        boot = int.from_bytes(blake2b(boot_id.encode(), digest_size=8).digest(), "big")
        if self._words[_BOOT] != boot:
            for word in range(_WORDS):
                self._words[word] = 0
            self._words[_BOOT] = boot

    @property
    def until(self) -> int:
        """The guard fences at this instant; 0: disarmed."""
        return self._words[_UNTIL]

    @until.setter
    def until(self, instant: int) -> None:
        self._words[_UNTIL] = instant

    def passed(self, now: int) -> bool:
        """The guard fences now, or ought to have done."""
        return 0 < self.until <= now

    @property
    def agent_alive(self) -> int:
        return self._words[_AGENT]

    @agent_alive.setter
    def agent_alive(self, instant: int) -> None:
        self._words[_AGENT] = instant

    @property
    def guard_alive(self) -> int:
        return self._words[_GUARD]

    @guard_alive.setter
    def guard_alive(self, instant: int) -> None:
        self._words[_GUARD] = instant

    @property
    def left(self) -> bool:
        """The agent ended because nothing of the group is left here, and need not be started again."""
        return self._words[_LEFT] != 0

    @left.setter
    def left(self, yes: bool) -> None:
        self._words[_LEFT] = int(yes)

    def close(self) -> None:
        self._words.release()
        self._map.close()
