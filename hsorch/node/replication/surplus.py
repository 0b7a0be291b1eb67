"""What the target has and the source has not: found folder by folder, weighed, and deleted with care."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Callable, Container, Iterable, Iterator

from hsorch.errors import NodeError
from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.massguard import MassGuard, Verdict
from hsorch.node.replication.messages import Doomed

TOLD = 5000
"""Names in one message."""


class LandingError(NodeError):
    """The target cannot take the tree."""

    code = "HS676"


class Surplus:
    """Of one bound tree below root. Raises OSError."""

    def __init__(self, root: str, binding: Binding, guard: MassGuard) -> None:
        self._root = root
        self._binding = binding
        self._guard = guard
        self.doomed: list[str] = []
        self._seen: set[str] = set()
        """Names of the folder that is being listed."""
        self._files = 0
        """Files of the tree that were listed, doomed ones included."""
        self._weighed = 0

    def listed(self, folder: str, names: Iterable[str], *, last: bool) -> None:
        """A part of what the source has in a folder. last: all of it; what is here beyond that is doomed."""
        self._seen.update(names)
        if last:
            self._compare(folder, self._seen)
            self._seen = set()

    def _compare(self, folder: str, named: set[str]) -> None:
        prefix = folder + "/" if folder else ""
        for item in self._children(folder):
            is_folder = item.is_dir(follow_symlinks=False)
            relative = prefix + item.name
            if not is_folder:
                self._files += 1
            known = is_folder or item.is_symlink() or item.is_file(follow_symlinks=False)
            if item.name in named or not known:
                continue
            if self._binding.enters(relative) if is_folder else self._binding.covers(relative):
                self.doomed.append(relative)

    def told(self) -> Iterator[Doomed]:
        """All of it, for the source."""
        paths = [os.fsencode(name) for name in self.doomed]
        for at in range(0, max(1, len(paths)), TOLD):
            yield Doomed(paths=paths[at : at + TOLD], more=at + TOLD < len(paths))

    def weigh(self, names: list[str]) -> Verdict:
        files = size = inside = 0
        for name in names:
            for found, below in self._walk(name):
                files += 1
                inside += below
                size += found.st_size
        total = self._files + inside
        admitted = self._guard.admits(files, max(total, files), time.monotonic_ns())
        return Verdict(files, size, too_much=not admitted)

    def wrote(self, files: int) -> None:
        self._guard.wrote(files, time.monotonic_ns())

    def settled(self) -> None:
        self._guard.settled(time.monotonic_ns())

    def delete(self, fd: int, name: str, keep: Callable[[str, str], None] | None) -> None:
        """A file, or a folder with what is replicated of it. What is not bound stays, and its folders."""
        try:
            found = os.stat(name, dir_fd=fd, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return
        if not stat.S_ISDIR(found.st_mode):
            if keep is not None:
                keep(self._root, name)
            os.unlink(name, dir_fd=fd)
            return
        for item in self._children(name):
            inner = f"{name}/{item.name}"
            is_folder = item.is_dir(follow_symlinks=False)
            if self._binding.enters(inner) if is_folder else self._binding.covers(inner):
                self.delete(fd, inner, keep)
        with contextlib.suppress(OSError):  # not empty: something in it is not ours to delete
            os.rmdir(name, dir_fd=fd)

    def sweep(self, fd: int, looked: Container[int], keep: Callable[[str, str], None] | None) -> None:
        """Files that are not among these inodes: they stood here, and came to the source or went while it
        listed its folder. What came, a change brings."""
        for name in [name for name, inode in self._files_in("") if inode not in looked]:
            self.delete(fd, name, keep)

    def _files_in(self, folder: str) -> Iterator[tuple[str, int]]:
        """Relative names and inodes of what is bound, at any depth."""
        prefix = folder + "/" if folder else ""
        for item in self._children(folder):
            relative = prefix + item.name
            if item.is_dir(follow_symlinks=False):
                if self._binding.enters(relative):
                    yield from self._files_in(relative)
            elif item.is_file(follow_symlinks=False) and self._binding.covers(relative):
                yield relative, item.inode()

    def displace(
        self,
        fd: int,
        name: str,
        found: os.stat_result,
        keep: Callable[[str, str], None] | None,
        *,
        confirmed: bool,
    ) -> None:
        """Something of another kind is to have the name. Raises LandingError: what is there may not go."""
        if stat.S_ISDIR(found.st_mode):
            verdict = self.weigh([name])
            if verdict.too_much and not confirmed:
                raise LandingError(
                    f"{self._root}/{name} is a folder of {verdict.files} files here and none at the source",
                    hint="Look at it, then confirm the deletions.",
                    code="HS677",
                )
            if self._stays(name):
                raise LandingError(
                    f"{self._root}/{name} is a folder here, none at the source, and holds what is not bound",
                    hint="Move that elsewhere on the standby: hsorch does not touch what is not bound.",
                    code="HS677",
                )
        self.delete(fd, name, keep)

    def _stays(self, folder: str) -> bool:
        """Whether something in it is not ours to delete."""
        for item in self._children(folder):
            inner = f"{folder}/{item.name}"
            if not item.is_dir(follow_symlinks=False):
                if not self._binding.covers(inner):
                    return True
            elif not self._binding.enters(inner) or self._stays(inner):
                return True
        return False

    def _walk(self, name: str) -> Iterator[tuple[os.stat_result, int]]:
        """Every file below name, or name itself; 1: it was not listed as part of its folder."""
        try:
            found = os.lstat(f"{self._root}/{name}")
        except (FileNotFoundError, NotADirectoryError):
            return
        if not stat.S_ISDIR(found.st_mode):
            yield found, 0
            return
        for item in self._children(name):
            if item.is_dir(follow_symlinks=False):
                yield from ((inner, 1) for inner, _ in self._walk(f"{name}/{item.name}"))
            else:
                with contextlib.suppress(FileNotFoundError):
                    yield item.stat(follow_symlinks=False), 1

    def _children(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(f"{self._root}/{folder}") as found:
                return list(found)
        except (FileNotFoundError, NotADirectoryError):
            return []
