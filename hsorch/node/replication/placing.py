"""The target's hands: gives files, links and folders their names, owners and times below a bound folder.

A file gets its name whole or not at all. Whether something is to be placed is landing.py's business; what
must not be lost is handed to `keep` before it is replaced.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass

from hsorch.node.replication.entries import Entry, dress
from hsorch.node.replication.extents import write_at
from hsorch.node.replication.partial import Partials
from hsorch.node.replication.tree import give_name
from hsorch.node.replication.way import Naming, Way

Keep = Callable[[str, str], None]
"""keep(root, relative): put the file or link that stands there in safety. Raises to stop the mirror."""


@dataclass(frozen=True)
class Stood:
    """What lies at the target as a mirror begins."""

    keep: Keep | None = None
    """Where that goes which would be lost; None: nothing would."""
    looked: set[int] | None = None
    """Inodes of what mirrors brought or looked into: of any other file, size and time say nothing. None: both
    nodes had all in common once."""


Displace = Callable[[str, os.stat_result], None]
"""displace(relative, what stands there): remove what is of another kind, or raise."""

HANDS = 2
"""So many files are placed at a time: most of that is the system's work, in which threads are not in each
other's way."""
FEW = 8
"""Up to so many files are placed one after the other."""

_NAMELESS = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class Placer:
    """Below the folder root, open as fd. Raises OSError, and what keep and displace raise."""

    def __init__(
        self,
        fd: int,
        root: str,
        partials: Partials,
        displace: Displace,
        keep: Keep | None,
        made: Callable[[int], None],
    ) -> None:
        """made(fd): of each new file that never was among the partials."""
        self._made = made
        self._fd = fd
        self._root = root
        self._partials = partials
        self._displace = displace
        self._keep = keep
        self._has_nameless = True
        """The file system makes files that have no name yet, as far as is known."""
        self._hands = ThreadPoolExecutor(HANDS, thread_name_prefix="placer")
        self._replacing = threading.Lock()
        """Held while a name is given that something has already: what was there may have to be kept."""

    def close(self) -> None:
        self._hands.shutdown()

    # ------------------------------------------------------------------------------------------ whole files

    def files(self, entries: Sequence[Entry], view: memoryview) -> None:
        """view: their contents one after the other. Of what is in each other's way, the last one counts."""
        whole: list[tuple[Entry, memoryview]] = []
        at = 0
        for entry in entries:
            whole.append((entry, view[at : at + entry.size]))
            at += entry.size
        if len(whole) <= FEW or not _apart([entry.path for entry in entries]):
            self._some(whole)
            return
        share = -(-len(whole) // HANDS)
        placing = [
            self._hands.submit(self._some, whole[first : first + share])
            for first in range(0, len(whole), share)
        ]
        wait(placing)  # also where one fails: the others read what is to be received into next
        for some in placing:
            some.result()

    def _some(self, whole: Sequence[tuple[Entry, memoryview]]) -> None:
        with Way(self._fd) as way:
            for entry, content in whole:
                with Naming(f"{self._root}/{entry.name}"):
                    self._file(entry, content, way)

    def _file(self, entry: Entry, content: memoryview, way: Way) -> None:
        name = entry.name
        found = way.to(name)
        if found is None:
            return  # its folder went meanwhile; a later change says so
        fd, staged = self._new(found[0], entry.mode)
        try:
            write_at(fd, content, 0)
            dress(fd, entry)
            if not staged:
                try:
                    give_name(fd, *found)
                    return
                except FileExistsError:
                    staged = self._partials.free_name()
                    give_name(fd, self._fd, staged)
        finally:
            os.close(fd)
        self.put(staged, name)

    def _new(self, folder: int, mode: int) -> tuple[int, str]:
        """Descriptor of a new file near the folder, and its name in staging; "": it has none yet, and has
        the mode already, as far as the system grants it."""
        if self._has_nameless:
            try:
                fd = os.open(".", _NAMELESS, mode, dir_fd=folder)
                self._made(fd)
                return fd, ""
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
                    raise
                self._has_nameless = False
        staged, fd = self._partials.create()
        return fd, staged

    def put(self, staged: str, name: str) -> None:
        """Give a finished file its name, in the place of what has it."""
        with self._replacing, Way(self._fd) as way:
            found = way.to(name)
            if found is None:
                os.unlink(staged, dir_fd=self._fd)  # its folder went meanwhile; a later change says so
                return
            folder, leaf = found
            if self._keep is not None and standing(folder, leaf) is not None:
                self._keep(self._root, name)
            try:
                os.rename(staged, leaf, src_dir_fd=self._fd, dst_dir_fd=folder)
            except IsADirectoryError:
                self._displace(name, os.stat(leaf, dir_fd=folder, follow_symlinks=False))
                os.rename(staged, leaf, src_dir_fd=self._fd, dst_dir_fd=folder)

    # ---------------------------------------------------------------------------------------- other objects

    def symlink(self, entry: Entry) -> None:
        staged = self._partials.free_name()
        os.symlink(entry.to, staged, dir_fd=self._fd)
        os.chown(staged, entry.uid, entry.gid, dir_fd=self._fd, follow_symlinks=False)
        times = (entry.mtime_ns, entry.mtime_ns)
        os.utime(staged, ns=times, dir_fd=self._fd, follow_symlinks=False)
        self.put(staged, entry.name)

    def twin(self, name: str, first: str) -> None:
        """A further name for the file that is called first."""
        with Way(self._fd) as to_first, Way(self._fd) as to_name:
            source, found = to_first.to(first), to_name.to(name)
            there, here = standing(*source) if source else None, standing(*found) if found else None
            if source is None or there is None or not stat.S_ISREG(there.st_mode):
                return
            if here is not None and here.st_ino == there.st_ino:
                return
            staged = self._partials.free_name()
            os.link(source[1], staged, src_dir_fd=source[0], dst_dir_fd=self._fd, follow_symlinks=False)
        self.put(staged, name)

    def dress(self, folder: int, leaf: str, entry: Entry) -> None:
        """Owner, mode, attributes and time of what stands there."""
        fd = os.open(leaf, _OPEN, dir_fd=folder)
        try:
            dress(fd, entry)
        finally:
            os.close(fd)


def _apart(paths: list[bytes]) -> bool:
    """None of them is another one's, or the folder of one."""
    distinct = set(paths)
    for path in distinct:
        folder = path.rpartition(b"/")[0]
        while folder:
            if folder in distinct:
                return False
            folder = folder.rpartition(b"/")[0]
    return len(distinct) == len(paths)


def standing(folder: int, leaf: str) -> os.stat_result | None:
    """What has the name; None: nothing. A link is not followed."""
    try:
        return os.stat(leaf, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
