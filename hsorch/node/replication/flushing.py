"""What comes in is brought to stable storage while more comes, so that the wait at the end is short.

Counts small files; large ones are begun piece by piece as they come (extents.start_writing).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from hsorch.node.replication.tree import sync_filesystem

STEP_BYTES = 32 << 20


class Refusals(Protocol):
    """What is remembered, durably, of disks that refused what was written: the system shows it nevertheless,
    with the right size and time, until it needs the memory."""

    def refuse(self, path: str, why: str) -> None:
        """Something below the bound path may not be on its disk. Raises OSError."""

    def written(self, path: str) -> set[int] | None:
        """Inodes of the files that were made there since; None: nothing is refused. To be added to."""

    def all_written(self, path: str, written: set[int]) -> None:
        """Nothing else is left there, unless the disk refused something since. Raises OSError."""


class Flusher:
    """Of the file system that holds fd, the folder at path. Not for several threads at once.

    Methods raise OSError: something written since fd was opened did not get there.
    """

    def __init__(self, fd: int, path: str, on_refusal: Callable[[str], None]) -> None:
        """on_refusal(why): called at once, by whichever thread heard it, as the kernel tells of it once."""
        self._fd = fd
        self._path = path
        self._on_refusal = on_refusal
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="flusher")
        self._flush: Future[None] | None = None
        self._written = 0

    def wrote(self, size: int) -> None:
        self._written += size
        if self._written >= STEP_BYTES and (self._flush is None or self._flush.done()):
            self._settle()
            self._written = 0
            self._flush = self._thread.submit(self._sync)

    def finish(self) -> None:
        """All of it is on stable storage."""
        self._settle()
        self._sync()
        self._written = 0

    def close(self) -> None:
        self._thread.shutdown()

    def _settle(self) -> None:
        """Of the flush on the way."""
        flush, self._flush = self._flush, None
        if flush is not None:
            flush.result()

    def _sync(self) -> None:
        try:
            sync_filesystem(self._fd)
        except OSError as error:
            self._on_refusal(f"the disk of {self._path} refused what was written: {error.strerror}")
            raise OSError(error.errno, error.strerror, self._path) from error
