"""Files on their way: the staging folder of a root, and large files that come in pieces.

A large file under way keeps its place in staging across a broken mirror. What is compared equal is never
copied: the clone is made when the first block differs. Where nobody needs the file that stands there, its
blocks are written in it, as there may be no room for two.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from hsorch.node.replication.bindings import STAGING
from hsorch.node.replication.entries import Entry, dress
from hsorch.node.replication.extents import clone, data_extents, punch, start_writing, write_at
from hsorch.node.replication.verify import Hasher, differing

_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_REOPEN = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass
class _Partial:
    name: str
    entry: Entry
    base: int = -1
    """Descriptor of the file as it stands, read only; -1: none."""
    fd: int = -1
    """Descriptor of what is written; -1: nothing differed so far."""
    placed: bool = False
    """That is the file as it stands."""


class Partials:
    """Below the folder open as fd. Raises OSError."""

    def __init__(
        self,
        fd: int,
        root: str,
        made: Callable[[int], None],
        *,
        survey: bool,
        trusts: Callable[[int], bool],
        in_place: Callable[[str, int], None] | None = None,
    ) -> None:
        """made(fd): of each new file. trusts(inode): whether what stands there may be gone on with.

        in_place(name, fd): told before the file of this name is written where it stands, as nobody needs it
        whole meanwhile; then made() is told of each that is, or was found equal. None: none is written so."""
        self._in_place = in_place
        self._fd = fd
        self._made = made
        self._trusts = trusts
        self._root = root
        self._hasher = Hasher()
        self._files: dict[int, _Partial] = {}
        self._numbers = count(1)
        if not survey:
            with contextlib.suppress(FileExistsError):
                os.mkdir(STAGING, 0o700, dir_fd=fd)
            self._remove(parts=False)

    def create(self) -> tuple[str, int]:
        """(relative name in staging, descriptor) of a new empty file."""
        name = self.free_name()
        return name, self._create(name)

    def free_name(self) -> str:
        """From any thread, as create()."""
        return f"{STAGING}/{next(self._numbers)}"

    def started(self, name: str) -> bool:
        return os.access(_part(name), os.F_OK, dir_fd=self._fd, follow_symlinks=False)

    def open(self, file: int, entry: Entry, *, fresh: bool) -> None:
        partial = self._files[file] = _Partial(entry.name, entry)
        if fresh:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(_part(entry.name), dir_fd=self._fd)
            partial.fd = self._create(_part(entry.name))
            return
        try:
            partial.fd = os.open(_part(entry.name), _REOPEN, dir_fd=self._fd)
        except FileNotFoundError:
            partial.base = self._standing(entry.name)

    def compare(self, file: int, offset: int, end: int, theirs: bytes) -> list[int]:
        """Numbers of the blocks, from offset on, that are to be sent."""
        partial = self._files[file]
        standing = partial.fd if partial.fd >= 0 else partial.base
        mine = self._hasher.blocks(standing, offset, end) if standing >= 0 else b""
        return differing(mine, theirs)

    def write(self, file: int, offset: int, data: memoryview) -> None:
        fd = self._writable(file)
        write_at(fd, data, offset)
        start_writing(fd, offset, len(data))

    def hole(self, file: int, offset: int, end: int) -> None:
        partial = self._files[file]
        standing = partial.fd if partial.fd >= 0 else partial.base
        if standing >= 0 and any(data_extents(standing, offset, min(end, os.fstat(standing).st_size))):
            punch(self._writable(file), offset, end - offset)

    def finish(self, file: int, entry: Entry) -> str:
        """Relative name in staging of the whole file; "": the one in place is equal, or was made so."""
        partial = self._files.pop(file)
        try:
            if partial.fd < 0 and (partial.base < 0 or os.fstat(partial.base).st_size != entry.size):
                self._clone(partial)
            if partial.fd >= 0:
                os.ftruncate(partial.fd, entry.size)
                dress(partial.fd, entry)
            elif self._in_place is not None:
                dress(partial.base, entry)
            if self._in_place is not None:
                self._made(partial.base if partial.fd < 0 else partial.fd)
            return "" if partial.fd < 0 or partial.placed else _part(partial.name)
        finally:
            _shut(partial)

    def sweep(self) -> None:
        """After a mirror of everything: nothing in staging is of use any more."""
        self._remove(parts=True)

    def close(self) -> None:
        for partial in self._files.values():
            _shut(partial)
        self._files.clear()

    def _standing(self, name: str) -> int:
        """The file that has the name now; -1: there is none to go on with, or something else."""
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=self._fd)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return -1
            raise
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or not self._trusts(found.st_ino):
            os.close(fd)
            return -1
        return fd

    def _writable(self, file: int) -> int:
        partial = self._files[file]
        if partial.fd < 0:
            self._clone(partial)
        return partial.fd

    def _create(self, name: str) -> int:
        fd = os.open(name, _CREATE, 0o600, dir_fd=self._fd)
        self._made(fd)
        return fd

    def _clone(self, partial: _Partial) -> None:
        """What stands there is written, if it may be and has no further name; else a copy in staging."""
        if partial.base >= 0 and self._in_place is not None and os.fstat(partial.base).st_nlink == 1:
            self._in_place(partial.name, partial.base)
            partial.fd = os.open(f"/proc/self/fd/{partial.base}", os.O_RDWR | os.O_CLOEXEC)
            partial.placed = True
            return
        partial.fd = self._create(_part(partial.name))
        if partial.base >= 0:
            clone(partial.base, partial.fd)

    def _remove(self, *, parts: bool) -> None:
        under_way = {_part(partial.name) for partial in self._files.values()}
        with os.scandir(f"{self._root}/{STAGING}") as found:
            for item in list(found):
                name = f"{STAGING}/{item.name}"
                useless = parts or not item.name.startswith("part-") or not self._trusts(item.inode())
                if useless and name not in under_way:
                    os.unlink(name, dir_fd=self._fd)


def _part(name: str) -> str:
    from xxhash import xxh3_128_hexdigest

    return f"{STAGING}/part-{xxh3_128_hexdigest(os.fsencode(name))}"


def _shut(partial: _Partial) -> None:
    for fd in (partial.fd, partial.base):
        if fd >= 0:
            os.close(fd)
    partial.fd = partial.base = -1
