"""The target's side of a mirror and of live changes: says what it lacks, and takes it in.

A file gets its name whole or not at all: contents are collected in a staging folder on the same volume. What
is started there and not finished is found again by the next mirror. What must not be lost is handed to
`keep` before it is replaced or deleted.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable

import msgspec

from hsorch.node.replication.bindings import STAGING, Binding
from hsorch.node.replication.entries import (
    FILE,
    FOLDER,
    LINK,
    TWIN,
    Entry,
    entry_inside,
    fid_of,
    leads_below,
    xattrs_of,
)
from hsorch.node.replication.flushing import Flusher, Refusals
from hsorch.node.replication.massguard import MassGuard
from hsorch.node.replication.messages import (
    Close,
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
    Said,
    Task,
    Twins,
    Wanted,
)
from hsorch.node.replication.partial import Partials
from hsorch.node.replication.placing import Placer, Stood, standing
from hsorch.node.replication.record import leaves
from hsorch.node.replication.surplus import LandingError, Surplus
from hsorch.node.replication.tally import Tally
from hsorch.node.replication.verify import SMALL, Hasher
from hsorch.node.replication.way import Naming, Way

SAME, SEND, COMPARE = 0, 1, 2
_STAGING = os.fsencode(STAGING)


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
        stood: Stood,
        refusals: Refusals | None = None,
        brought: set[int] | None = None,
    ) -> None:
        """brought: gets the inodes of all files whose content is what the source read; those that it has
        already stay as they are. Files have identities then, and nobody needs them (base_copy.py)."""
        self.task = task
        self.equal = False
        """The last message ended a mirror: everything is as at the source, durably."""
        self._root = root
        self._binding: Binding = task.binding
        self._reply = reply
        self._keep = keep = stood.keep
        self._looked = stood.looked
        try:
            self._fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise LandingError(
                f"{root} is not there as a folder on the standby: {error.strerror}",
                hint=f"Mount its disk or create {root} on this node, with the same path as on the other one.",
            ) from error
        self._hasher = Hasher()
        self._refusals = refusals
        self._written = refusals.written(self._binding.path) if refusals is not None else None
        """Not None: every file is sent that is not one of these, as its disk is to be asked again."""
        self._brought = brought
        with contextlib.ExitStack() as undo:
            undo.callback(os.close, self._fd)
            self._partials = Partials(
                self._fd, root, self._new_file, survey=task.survey, trusts=self._trusts,
                in_place=None if brought is None else self._is_written,
            )  # fmt: skip
            undo.pop_all()
        self._flusher = Flusher(self._fd, root, self._refused)
        self._placer = Placer(self._fd, root, self._partials, self._displace, keep, self._new_file)
        self._surplus = Surplus(root, self._binding, guard)
        self._made: set[bytes] = set()
        self._leaving: list[str] = []
        self._tally = Tally()

    def close(self) -> None:
        """Raises nothing: what a flush on the way finds is remembered."""
        self._flusher.close()
        self._placer.close()
        self._partials.close()
        os.close(self._fd)

    def settle(self) -> None:
        """Nothing more comes: what the disk has refused so far is known. Raises OSError."""
        if not self.task.survey:
            self._flusher.finish()

    def take(self, message: Said, body: memoryview) -> None:
        """One message of the source, in order."""
        self.equal = False
        match message:
            case Pack():
                self._unpack(message.entries, body)
            case Offer():
                self._answer(message)
            case Open():
                self._checked(message.entry.path)
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
                for path, first in message.pairs:
                    name = self._checked(path)
                    with Naming(f"{self._root}/{name}"):
                        self._placer.twin(name, self._checked(first))
            case Prune():
                for doomed in self._surplus.told():
                    self._reply(doomed)
            case Gone():
                self._leaving += [self._checked(path) for path in message.paths]
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

    def _answer(self, offer: Offer) -> None:
        wants = bytearray()
        with Way(self._fd) as way:
            for listing in offer.listings:
                new = offer.whole and listing.folder in self._made
                for entry in listing.entries:
                    with Naming(f"{self._root}/{entry.name}"):
                        wants.append(self._judge(entry, way, new=new))
        if offer.whole:
            for listing in offer.listings:
                self._compare_names(listing)
        self._reply(Wanted(number=offer.number, wants=bytes(wants)))

    def _judge(self, entry: Entry, way: Way, *, new: bool) -> int:
        """Brings names, folders and links in order at once; for files says what is needed.

        new: its folder was made by this mirror, so most likely nothing has its name."""
        at = way.to(self._checked(entry.path))
        if at is None:  # no folder is there; the file goes nowhere when it comes
            self._tally.creates(entry.kind == FILE)
            return SEND if entry.kind == FILE else SAME
        if entry.digest and not new and self._equals(at, entry):
            return SAME
        found = None if new else standing(*at)
        if found is not None and stat.S_IFMT(found.st_mode) != _TYPE[entry.kind]:
            self._displace(entry.name, found)
            found = None
        if entry.kind == FOLDER:
            try:
                self._folder(at, entry, found)
            except FileExistsError:  # listed twice, as names moved meanwhile, or made by somebody else
                return self._judge(entry, way, new=False)
        elif entry.kind == LINK:
            self._symlink(at, entry, found)
        elif entry.kind == FILE:
            return self._judge_file(at, entry, found)
        return SAME

    def _judge_file(self, at: tuple[int, str], entry: Entry, found: os.stat_result | None) -> int:
        if found is None:
            self._tally.creates()
            return self._begun(entry)
        if not self._trusts(found.st_ino):
            self._tally.replaces(entry, found)
            return self._begun(entry)
        if self._is_brought(at, entry, found):
            self._dress_file(at, entry, found)
            return SAME
        large = entry.size > SMALL
        alike = found.st_size == entry.size and found.st_mtime_ns == entry.mtime_ns
        if self._looks_into(entry, found) and not self.task.survey:
            if large:
                return COMPARE
            alike = False  # its content was looked at
        # A file that has further names here, but not at the source, must not be touched through them.
        if alike and (entry.twin or found.st_nlink == 1):
            self._dress_file(at, entry, found)
            return SAME
        self._tally.replaces(entry, found)
        return COMPARE if large else SEND

    def _looks_into(self, entry: Entry, found: os.stat_result) -> bool:
        strange = self._looked is not None and found.st_ino not in self._looked
        return self.task.mode == "content" or bool(entry.digest) or strange

    def _is_brought(self, at: tuple[int, str], entry: Entry, found: os.stat_result) -> bool:
        """Before this run; what was written since the first one, the resync after it finds."""
        if self._brought is None or found.st_ino not in self._brought or not entry.fid:
            return False
        return fid_of(f"/proc/self/fd/{at[0]}/{at[1]}") == entry.fid

    def _equals(self, at: tuple[int, str], entry: Entry) -> bool:
        """Whether what has the name here is this small file, by its content; then the rest is made so."""
        if self.task.survey or self._written is not None:
            return False
        fid = None if self._brought is None else fid_of
        here = entry_inside(*at, entry.name, self._hasher.small, fid)
        # A file that has further names here, but not at the source, must not be touched through them.
        if here is None or here.digest != entry.digest or (here.twin and not entry.twin):
            return False
        if here != entry and msgspec.structs.replace(here, twin=entry.twin) != entry:
            self._placer.dress(*at, entry)
        if (found := standing(*at)) is not None:
            self._looked_into(found.st_ino)
            if self._brought is not None:
                self._brought.add(found.st_ino)
        return True

    def _begun(self, entry: Entry) -> int:
        """Nothing that stands here is of use, unless in staging."""
        return COMPARE if entry.size > SMALL and self._partials.started(entry.name) else SEND

    # ------------------------------------------------------------------------------------- what comes in

    def _unpack(self, entries: list[Entry], view: memoryview) -> None:
        for entry in entries:
            self._checked(entry.path)
        self._placer.files(entries, view)
        self._surplus.wrote(len(entries))
        self._flusher.wrote(len(view))

    def _finish(self, file: int, entry: Entry) -> None:
        name = self._checked(entry.path)
        with Naming(f"{self._root}/{name}"), Way(self._fd) as way:
            staged = self._partials.finish(file, entry)
            if staged:
                self._placer.put(staged, name)
            found = way.to(name)
            here = standing(*found) if found else None
            if found is not None and here is not None:
                if not staged and self._brought is None:
                    self._dress_file(found, entry, here)
                self._looked_into(here.st_ino)

    def _folder(self, at: tuple[int, str], entry: Entry, found: os.stat_result | None) -> None:
        if self.task.survey:
            return
        if found is None:
            os.mkdir(at[1], 0o700, dir_fd=at[0])
            self._made.add(entry.path)
        elif _worn(found) == (entry.mode, entry.uid, entry.gid) and entry.xattrs == self._xattrs(entry.name):
            return
        self._placer.dress(*at, entry)

    def _symlink(self, at: tuple[int, str], entry: Entry, found: os.stat_result | None) -> None:
        if found is not None:
            same = os.fsencode(os.readlink(at[1], dir_fd=at[0])) == entry.to
            if same and (found.st_uid, found.st_gid, found.st_mtime_ns) == (
                entry.uid, entry.gid, entry.mtime_ns,
            ):  # fmt: skip
                return
        if not self.task.survey:
            self._placer.symlink(entry)

    def _dress_file(self, at: tuple[int, str], entry: Entry, found: os.stat_result) -> None:
        right = _worn(found) == (entry.mode, entry.uid, entry.gid) and found.st_mtime_ns == entry.mtime_ns
        right = right and self._xattrs(entry.name) == entry.xattrs
        if not (self.task.survey or right):
            self._placer.dress(*at, entry)

    def _dress_folder(self, entry: Entry) -> None:
        name = self._checked(entry.path) + "/." if entry.path else "."
        with Naming(f"{self._root}/{name}"), Way(self._fd) as way:
            found = way.to(name)
            if found is not None:
                self._placer.dress(*found, entry)

    # ------------------------------------------------------------------------------------- what is too much

    def _compare_names(self, listing: Listing) -> None:
        folder = self._checked(listing.folder) if listing.folder else ""
        names = (entry.name.rpartition("/")[2] for entry in listing.entries)
        self._surplus.listed(folder, names, last=listing.last)

    def _delete(self, names: list[str]) -> None:
        """Nothing at all when the guard says that it is too much."""
        names = [name for name in names if leads_below(self._root, name)]
        verdict = self._surplus.weigh(names)
        held = verdict.too_much and not (self.task.survey or self.task.confirmed)
        self._tally.deletes(verdict, held=held)
        if held or self.task.survey:
            return
        for name in names:
            self._surplus.delete(self._fd, name, self._keep)

    def _displace(self, name: str, found: os.stat_result) -> None:
        """A file where a folder is to be, or the other way round."""
        if not self.task.survey:
            self._surplus.displace(self._fd, name, found, self._keep, confirmed=self.task.confirmed)

    def _mark(self, mark: Mark) -> None:
        if mark.durable and not self.task.survey:
            self._partials.sweep()
            self._surplus.settled()
            if self._looked is not None and not self._tally.held:
                self._surplus.sweep(self._fd, self._looked, self._keep)
            self.settle()
            self.equal = not self._tally.held
            if self.equal and self._refusals is not None and self._written is not None:
                self._refusals.all_written(self._binding.path, self._written)
                self._written = None
        self._reply(self._tally.reached(mark.number))

    # ---------------------------------------------------------------------------------------------- helpers

    def _refused(self, why: str) -> None:
        if self._refusals is not None:
            self._refusals.refuse(self._binding.path, why)

    def _trusts(self, inode: int) -> bool:
        return self._written is None or inode in self._written

    def _looked_into(self, inode: int) -> None:
        if self._looked is not None:
            self._looked.add(inode)

    def _is_written(self, name: str, fd: int) -> None:
        """Where it stands; until that is done its content is of no file."""
        if self._keep is not None:
            self._keep(self._root, name)
        if self._brought is not None:
            self._brought.discard(os.fstat(fd).st_ino)

    def _new_file(self, fd: int) -> None:
        for inodes in (self._written, self._brought, self._looked):
            if inodes is not None:
                inodes.add(os.fstat(fd).st_ino)

    def _xattrs(self, name: str) -> dict[str, bytes]:
        return xattrs_of(f"{self._root}/{name}")

    def _checked(self, path: bytes) -> str:
        if leaves(path) or path == _STAGING or path.startswith(_STAGING + b"/"):
            raise LandingError(
                f"the peer named {os.fsdecode(path)!r}, which leaves {self._root}",
                hint="Check who the peer is.",
            )
        return os.fsdecode(path)


_TYPE = {FILE: stat.S_IFREG, TWIN: stat.S_IFREG, FOLDER: stat.S_IFDIR, LINK: stat.S_IFLNK}


def _worn(found: os.stat_result) -> tuple[int, int, int]:
    return stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid
