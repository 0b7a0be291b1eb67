"""A piece of the journal's disk that is given up when it is full, so that places can still be noted."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

RESERVE_BYTES = 16 * 1024 * 1024
"""Some hundred thousand records without data."""


class Reserve:
    """Never raises: a disk that has no room for it is as full as it gets."""

    def __init__(self, path: Path, size: int = RESERVE_BYTES) -> None:
        self._path = path
        self._size = size
        self.hold()

    def hold(self) -> None:
        """Take it (again)."""
        with contextlib.suppress(OSError):
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self._size)
            finally:
                os.close(descriptor)

    def give_up(self) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
