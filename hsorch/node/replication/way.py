"""The way from a bound folder down to a name, one folder after the other, so that no link leads elsewhere.

What is done at its end is decided by whoever goes it.
"""

from __future__ import annotations

import errno
import os
from types import TracebackType
from typing import Self

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_WAY = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class Way:
    """Below the folder open as fd. Remembers the last folder, as names mostly come folder by folder: whoever
    removes or replaces folders calls forget(). Not for several threads at once."""

    def __init__(self, fd: int) -> None:
        self._root = fd
        self._folder = ""
        self._fd = -1
        """Of that folder; -1: it is the root."""

    def to(self, name: str) -> tuple[int, str] | None:
        """(descriptor of the folder, last part of the name), good until the next call; None: no folder is
        there, or something else. Raises OSError."""
        folder, _, leaf = name.rpartition("/")
        if folder != self._folder:
            self.forget()
            if not self._go(folder):
                return None
        return (self._root if self._fd < 0 else self._fd), leaf

    def forget(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._folder, self._fd = "", -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.forget()

    def _go(self, folder: str) -> bool:
        for part in folder.split("/"):
            try:
                below = os.open(part, _FOLDER, dir_fd=self._root if self._fd < 0 else self._fd)
            except OSError as error:
                self.forget()
                if error.errno in _NO_WAY:
                    return False
                raise
            self.forget()
            self._fd = below
        self._folder = folder
        return True
