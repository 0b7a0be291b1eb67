"""The target's side of a mirror and of live changes: says what it lacks, and takes it in.

A file gets its name whole or not at all: contents are collected in a staging folder on the same volume. What
is started there and not finished is found again by the next mirror. What must not be lost is handed to
`keep` before it is replaced or deleted.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

import msgspec

from hsorch.errors import NodeError
from hsorch.node.replication.bindings import STAGING, Binding
from hsorch.node.replication.entries import FILE, FOLDER, LINK, TWIN, Entry, dress, leads_below, xattrs_of
from hsorch.node.replication.extents import sync_filesystem, write_at
from hsorch.node.replication.massguard import MassGuard
from hsorch.node.replication.messages import (
    Close,
    Doomed,
    Folders,
    Gone,
    Hashes,
    Hole,
    Listing,
    Mark,
    Message,
    Need,
    Offer,
    Open,
    Pack,
    Piece,
    Prune,
    Reached,
    Said,
    Task,
    Twins,
    Wanted,
)
from hsorch.node.replication.partial import Partials
from hsorch.node.replication.record import leaves
from hsorch.node.replication.surplus import Surplus
from hsorch.node.replication.verify import SMALL, Hasher

SAME, SEND, COMPARE = 0, 1, 2
NAMED = 20
"""Names of newer files that a survey tells."""
_O_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Keep = Callable[[str, str], None]
"""keep(root, relative): put the file or link that stands there in safety. Raises to stop the mirror."""


class LandingError(NodeError):
    """The target cannot take the tree."""

    code = "HS676"


class Landing:
    """One tree at the target. Feed every message to take(); it answers through reply().

    Raises OSError (naming the file), LandingError, and what keep raises.
    """

    def __init__(
        self,
        root: str,
        task: Task,
        reply: Callable[[Message], None],
        *,
        guard: MassGuard,
        keep: Keep | None = None,
    ) -> None:
        self.task = task
        self.equal = False
        """The last message ended a mirror: everything is as at the source, durably."""
        self._root = root
        self._binding: Binding = task.binding
        self._reply = reply
        self._keep = keep
        try:
            self._fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise LandingError(
                f"{root} is not there as a folder on the standby: {error.strerror}",
                hint=f"Mount its disk or create {root} on this node, with the same path as on the other one.",
            ) from error
        self._hasher = Hasher()
        self._partials = Partials(self._fd, root, survey=task.survey)
        self._surplus = Surplus(root, self._binding, guard)
        self._seen: set[str] = set()
        self._leaving: list[str] = []
        self._done = Reached(number=0)
        self._tally: dict[str, int] = dict.fromkeys(
            ("held", "created", "replaced", "replaced_bytes", "newer_count", "newest_ns", "deleted",
             "deleted_bytes"), 0
        )  # fmt: skip
        self._newer: list[bytes] = []

    def close(self) -> None:
        self._partials.close()
        os.close(self._fd)

    def take(self, message: Said, body: memoryview) -> None:
        """One message of the source, in order."""
        self.equal = False
        match message:
            case Pack():
                self._unpack(message.entries, body)
            case Offer():
                wants = [self._judge(e) for listing in message.listings for e in listing.entries]
                if message.whole:
                    for listing in message.listings:
                        self._compare_names(listing)
                self._reply(Wanted(number=message.number, wants=bytes(wants)))
            case Open():
                self._checked(message.entry.name)
                self._partials.open(message.file, message.entry, fresh=message.fresh)
            case Hashes():
                blocks = self._partials.compare(message.file, message.offset, message.end, bytes(body))
                self._reply(Need(file=message.file, offset=message.offset, blocks=blocks))
            case Piece():
                self._partials.write(message.file, message.offset, body)
            case Hole():
                self._partials.hole(message.file, message.offset, message.end)
            case Close():
                self._finish(message.file, message.entry)
            case Twins():
                for name, first in message.pairs:
                    self._link(os.fsdecode(name), os.fsdecode(first))
            case Prune():
                self._tell_doomed()
            case Gone():
                self._leaving += [self._checked(os.fsdecode(path)) for path in message.paths]
                if not message.more:
                    self._delete(self._leaving)
                    self._leaving = []
            case Folders():
                for entry in message.entries:
                    self._dress_folder(entry)
            case Mark():
                self._mark(message)
            case _:
                raise LandingError(
                    f"unexpected message {type(message).__name__}", hint="Run the same hsorch on both nodes."
                )

    # ---------------------------------------------------------------------------------- what is here already

    def _judge(self, entry: Entry) -> int:
        """Brings names, folders and links in order at once; for files says what is needed."""
        name = self._checked(entry.name)
        found = self._stat(name)
        if found is not None and stat.S_IFMT(found.st_mode) != _TYPE[entry.kind]:
            self._displace(name, found)
            found = None
        if entry.kind == FOLDER:
            self._folder(name, entry, found)
        elif entry.kind == LINK:
            self._symlink(name, entry, found)
        elif entry.kind == FILE:
            return self._judge_file(name, entry, found)
        return SAME

    def _judge_file(self, name: str, entry: Entry, found: os.stat_result | None) -> int:
        if found is None:
            self._tally["created"] += 1
            return COMPARE if entry.size > SMALL and self._partials.started(name) else SEND
        large = entry.size > SMALL
        alike = found.st_size == entry.size and found.st_mtime_ns == entry.mtime_ns
        if self.task.mode == "content" and not self.task.survey:
            if large:
                return COMPARE
            alike = found.st_size == entry.size and entry.digest == self._hasher.small(f"{self._root}/{name}")
            alike = alike and entry.digest != b""
        # A file that has further names here, but not at the source, must not be touched through them.
        if alike and (entry.twin or found.st_nlink == 1):
            self._dress_file(name, entry, found)
            return SAME
        self._survey(entry, found)
        return COMPARE if large else SEND

    def _survey(self, entry: Entry, found: os.stat_result) -> None:
        self._tally["replaced"] += 1
        self._tally["replaced_bytes"] += found.st_size
        self._tally["newest_ns"] = max(self._tally["newest_ns"], found.st_mtime_ns)
        if found.st_mtime_ns > entry.mtime_ns:
            self._tally["newer_count"] += 1
            if len(self._newer) < NAMED:
                self._newer.append(entry.path)

    # ------------------------------------------------------------------------------------- what comes in

    def _unpack(self, entries: list[Entry], view: memoryview) -> None:
        at = 0
        for entry in entries:
            name = self._checked(entry.name)
            staged, fd = self._partials.create()
            try:
                write_at(fd, view[at : at + entry.size], 0)
                dress(fd, entry)
            finally:
                os.close(fd)
            at += entry.size
            self._place(staged, name)
        self._surplus.wrote(len(entries))

    def _finish(self, file: int, entry: Entry) -> None:
        name = self._checked(entry.name)
        staged = self._partials.finish(file, entry)
        if staged:
            self._place(staged, name)
            return
        found = self._stat(name)
        if found is not None:
            self._dress_file(name, entry, found)

    def _place(self, staged: str, name: str) -> None:
        """Give a finished file its name."""
        if not leads_below(self._root, name):
            os.unlink(staged, dir_fd=self._fd)  # its folder went meanwhile; a later change says so
            return
        if self._keep is not None and self._stat(name) is not None:
            self._keep(self._root, name)
        try:
            os.rename(staged, name, src_dir_fd=self._fd, dst_dir_fd=self._fd)
        except IsADirectoryError:
            self._displace(name, os.stat(name, dir_fd=self._fd, follow_symlinks=False))
            os.rename(staged, name, src_dir_fd=self._fd, dst_dir_fd=self._fd)

    def _folder(self, name: str, entry: Entry, found: os.stat_result | None) -> None:
        if self.task.survey or not leads_below(self._root, name):
            return
        if found is None:
            os.mkdir(name, 0o700, dir_fd=self._fd)
            self._dress_folder(entry)
        elif _worn(found) != (entry.mode, entry.uid, entry.gid) or entry.xattrs != self._xattrs(name):
            self._dress_folder(entry)

    def _symlink(self, name: str, entry: Entry, found: os.stat_result | None) -> None:
        if found is not None:
            same = os.fsencode(os.readlink(name, dir_fd=self._fd)) == entry.to
            if same and (found.st_uid, found.st_gid, found.st_mtime_ns) == (
                entry.uid, entry.gid, entry.mtime_ns,
            ):  # fmt: skip
                return
        if self.task.survey:
            return
        staged = self._partials.free_name()
        os.symlink(entry.to, staged, dir_fd=self._fd)
        os.chown(staged, entry.uid, entry.gid, dir_fd=self._fd, follow_symlinks=False)
        times = (entry.mtime_ns, entry.mtime_ns)
        os.utime(staged, ns=times, dir_fd=self._fd, follow_symlinks=False)
        self._place(staged, name)

    def _link(self, name: str, first: str) -> None:
        here, there = self._stat(self._checked(name)), self._stat(self._checked(first))
        if (
            there is None
            or not stat.S_ISREG(there.st_mode)
            or (here is not None and here.st_ino == there.st_ino)
        ):
            return
        staged = self._partials.free_name()
        os.link(first, staged, src_dir_fd=self._fd, dst_dir_fd=self._fd, follow_symlinks=False)
        self._place(staged, name)

    def _dress_file(self, name: str, entry: Entry, found: os.stat_result) -> None:
        worn = self._xattrs(name)
        right = _worn(found) == (entry.mode, entry.uid, entry.gid) and found.st_mtime_ns == entry.mtime_ns
        if self.task.survey or (right and worn == entry.xattrs):
            return
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=self._fd)
        try:
            dress(fd, entry, worn)
        finally:
            os.close(fd)

    def _dress_folder(self, entry: Entry) -> None:
        name = self._checked(entry.name) if entry.path else "."
        if not leads_below(self._root, name):
            return
        try:
            fd = os.open(name, _O_FOLDER, dir_fd=self._fd)
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            dress(fd, entry, xattrs_of(fd))
        finally:
            os.close(fd)

    # ------------------------------------------------------------------------------------- what is too much

    def _compare_names(self, listing: Listing) -> None:
        self._seen.update(entry.name.rpartition("/")[2] for entry in listing.entries)
        if listing.last:
            folder = os.fsdecode(listing.folder)
            self._surplus.folder(self._checked(folder) if folder else "", self._seen)
            self._seen = set()

    def _tell_doomed(self) -> None:
        paths = [os.fsencode(name) for name in self._surplus.doomed]
        for at in range(0, max(1, len(paths)), 5000):
            self._reply(Doomed(paths=paths[at : at + 5000], more=at + 5000 < len(paths)))

    def _delete(self, names: list[str]) -> None:
        """Nothing at all when the guard says that it is too much."""
        names = [name for name in names if leads_below(self._root, name)]
        verdict = self._surplus.weigh(names)
        self._tally["deleted"] += verdict.files
        self._tally["deleted_bytes"] += verdict.size
        if self.task.survey:
            return
        if verdict.too_much and not self.task.confirmed:
            self._tally["held"] += verdict.files
            return
        for name in names:
            self._surplus.delete(self._fd, name, self._keep)

    def _displace(self, name: str, found: os.stat_result) -> None:
        """A file where a folder is to be, or the other way round."""
        if self.task.survey:
            return
        if stat.S_ISDIR(found.st_mode):
            verdict = self._surplus.weigh([name])
            if verdict.too_much and not self.task.confirmed:
                raise LandingError(
                    f"{self._root}/{name} is a folder of {verdict.files} files here and none at the source",
                    hint="Look at it, then confirm the deletions.",
                    code="HS677",
                )
        self._surplus.delete(self._fd, name, self._keep)

    def _mark(self, mark: Mark) -> None:
        if mark.durable and not self.task.survey:
            self._partials.sweep()
            self._surplus.settled()
            sync_filesystem(self._root)
            self.equal = not self._tally["held"]
        self._reply(msgspec.structs.replace(self._done, number=mark.number, newer=self._newer, **self._tally))

    # ---------------------------------------------------------------------------------------------- helpers

    def _stat(self, name: str) -> os.stat_result | None:
        if not leads_below(self._root, name):
            return None
        try:
            return os.stat(name, dir_fd=self._fd, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _xattrs(self, name: str) -> dict[str, bytes]:
        return xattrs_of(f"{self._root}/{name}")

    def _checked(self, name: str) -> str:
        if leaves(os.fsencode(name)) or (name + "/").startswith(STAGING + "/"):
            raise LandingError(
                f"the peer named {name!r}, which leaves {self._root}", hint="Check who the peer is."
            )
        return name


_TYPE = {FILE: stat.S_IFREG, TWIN: stat.S_IFREG, FOLDER: stat.S_IFDIR, LINK: stat.S_IFLNK}


def _worn(found: os.stat_result) -> tuple[int, int, int]:
    return stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid
