"""Wakes a thread that waits for the kernel's word, from any other thread."""

from __future__ import annotations

import contextlib
import os
import sys

_ONCE = (1).to_bytes(8, sys.byteorder)


class Bell:
    """Its descriptor (an eventfd) lives as long as it does, so it can be rung at any time."""

    def __init__(self) -> None:
        self._file = os.fdopen(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK), "r+b", buffering=0)

    def fileno(self) -> int:
        return self._file.fileno()

    def ring(self) -> None:
        with contextlib.suppress(BlockingIOError):  # nobody listened for a very long time: it rings still
            self._file.write(_ONCE)

    def heard(self) -> None:
        """Rings no more."""
        with contextlib.suppress(BlockingIOError):
            self._file.read(len(_ONCE))
