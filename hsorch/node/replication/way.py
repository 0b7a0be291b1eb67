"""The way from a bound folder down to a name, one folder after the other, so that no link leads elsewhere.

What is done at its end is decided by whoever goes it.
"""

from __future__ import annotations

import errno
import os
from types import TracebackType
from typing import Self

_ROOT = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_BELOW = _ROOT | os.O_NOFOLLOW
_NO_WAY = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class Naming:
    """An OSError from inside tells of path: it may know a descriptor only, or the last part of a name.

    One that knows a path from / on is about something else."""

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OSError):
            known = str(error.filename)
            if not known.startswith("/") or known.startswith("/proc/"):
                raise OSError(error.errno, error.strerror, self._path) from error


class Way:
    """Below a root: an open folder, or the path of one, which is held only until forget().

    Remembers the last folder, as names mostly come folder by folder: whoever removes or replaces folders
    calls forget(). Not for several threads at once.
    """

    def __init__(self, root: int | str) -> None:
        self._root = root
        self._folder: str | None = None
        self._fd = -1

    def to(self, name: str) -> tuple[int, str] | None:
        """(descriptor of the folder, last part of the name), good until the next call; None: no folder is
        there, or something else. Raises OSError."""
        folder, _, leaf = name.rpartition("/")
        if folder != self._folder:
            self.forget()
            try:
                self._fd = self._open(folder)
            except OSError as error:
                if error.errno in _NO_WAY:
                    return None
                raise
            self._folder = folder
        return self._fd, leaf

    def forget(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._folder, self._fd = None, -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.forget()

    def _open(self, folder: str) -> int:
        at = os.dup(self._root) if isinstance(self._root, int) else os.open(self._root, _ROOT)
        for part in folder.split("/") if folder else ():
            try:
                below = os.open(part, _BELOW, dir_fd=at)
            finally:
                os.close(at)
            at = below
        return at
