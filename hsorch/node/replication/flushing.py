"""What comes in is brought to stable storage while more comes, so that the wait at the end is short."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from hsorch.node.replication.tree import sync_filesystem

STEP_BYTES = 32 << 20


class Flusher:
    """Of the file system that holds fd. Not for several threads at once.

    Methods raise OSError: something written since fd was opened did not get there.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="flusher")
        self._flush: Future[None] | None = None
        self._written = 0

    def wrote(self, size: int) -> None:
        self._written += size
        if self._written >= STEP_BYTES and (self._flush is None or self._flush.done()):
            self._settle()
            self._written = 0
            self._flush = self._thread.submit(sync_filesystem, self._fd)

    def finish(self) -> None:
        """All of it is on stable storage."""
        self._settle()
        sync_filesystem(self._fd)
        self._written = 0

    def close(self) -> None:
        self._thread.shutdown()

    def _settle(self) -> None:
        """The kernel tells of an error once: whoever hears it must pass it on."""
        flush, self._flush = self._flush, None
        if flush is not None:
            flush.result()
