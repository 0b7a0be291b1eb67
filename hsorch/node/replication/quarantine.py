"""Where data go that a resync would overwrite or delete and that nobody else has (REQ-G05, failover rule 11).

One incident is one folder: contents by number, and a manifest that says what each was. It is bounded: when it
is full, keeping fails and the resync stops, because dropping data is an operator's decision.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from hsorch.errors import NodeError
from hsorch.node.replication.entries import FILE, Entry, dress, entry_of
from hsorch.node.replication.extents import clone, write_at
from hsorch.node.replication.verify import BLOCK, Hasher
from hsorch.node.store import replace_file, sync_directory

MANIFEST = "manifest.jsonl"
ABOUT = "about.json"


class QuarantineFull(NodeError):
    code = "HS679"


class About(msgspec.Struct, frozen=True, kw_only=True):
    """Why an incident was opened. time: UTC, RFC 3339."""

    incident: str
    time: str
    reason: str
    generation: int = 0
    fork: int = 0


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the manifest. number: name of the content in the incident's folder; 0: a link, no content.

    what `tail` means: un-replicated records of the journal from lsn `offset` on, root and path are empty.
    """

    number: int
    what: str
    root: str = ""
    path: bytes = b""
    entry: Entry | None = None
    size: int = 0
    offset: int = 0
    digest: bytes = b""


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    about: About
    files: int
    size: int
    newest_ns: int


class Quarantine:
    """All incidents of one cluster on one node. limit: bytes of contents together. Raises OSError."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit

    def open(self, about: About) -> Open:
        """The incident to keep things in; the one that is there goes on (a resumed resync).

        It comes to be with the first thing that is kept in it."""
        home = self._folder / about.incident
        room = self._limit - sum(kept.size for name in self._names() for kept in self.listing(name))
        return Open(home, about, room, self.listing(about.incident) if (home / ABOUT).exists() else [])

    def incidents(self) -> list[Incident]:
        """Oldest first."""
        found = []
        for name in self._names():
            kept = self.listing(name)
            about = msgspec.json.decode((self._folder / name / ABOUT).read_bytes(), type=About)
            newest = max((k.entry.mtime_ns for k in kept if k.entry is not None), default=0)
            found.append(
                Incident(about=about, files=len(kept), size=sum(k.size for k in kept), newest_ns=newest)
            )
        return sorted(found, key=lambda incident: incident.about.time)

    def listing(self, incident: str) -> list[Kept]:
        """A last line that was torn by a crash is left out: its original was not touched yet."""
        try:
            lines = (self._home(incident) / MANIFEST).read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        return [msgspec.json.decode(line, type=Kept) for line in lines[:-1] if line]

    def restore(self, incident: str, target: Path, names: Iterable[bytes] | None = None) -> list[Path]:
        """Copies (all, or those paths) below target, each under its root; nothing there is overwritten.

        Raises NodeError: target is not empty (HS693), a content is damaged (HS695).
        """
        wanted = None if names is None else set(names)
        home = self._home(incident)
        _must_be_empty(target)
        chosen = [kept for kept in self.listing(incident) if wanted is None or kept.path in wanted]
        restored = []
        # Links come last: none of ours lies on the way of a file that is written as root.
        for kept in sorted(chosen, key=lambda kept: kept.entry is None or kept.entry.kind != FILE):
            if kept.entry is None:
                continue
            place = target / kept.root.lstrip("/") / os.fsdecode(kept.path)
            place.parent.mkdir(parents=True, exist_ok=True)
            if kept.entry.kind == FILE:
                _restore_file(home / str(kept.number), place, kept)
            else:
                place.symlink_to(os.fsdecode(kept.entry.to))
            restored.append(place)
        return restored

    def drop(self, incident: str) -> None:
        """For good. Raises NodeError HS694, HS696: it is being filled."""
        home = self._home(incident)
        descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(home)
        except BlockingIOError as error:
            raise NodeError(
                f"incident {incident} is being filled by a resync",
                hint="wait until hsorch status shows the replication live, then drop it",
                code="HS696",
            ) from error
        finally:
            os.close(descriptor)

    def _names(self) -> list[str]:
        if not self._folder.exists():
            return []
        return sorted(p.name for p in self._folder.iterdir() if (p / ABOUT).exists())

    def _home(self, incident: str) -> Path:
        home = self._folder / incident
        if "/" in incident or incident in ("", ".", "..") or not (home / ABOUT).exists():
            raise NodeError(
                f"there is no incident {incident!r} in the quarantine",
                hint="hsorch quarantine list shows them.",
                code="HS694",
            )
        return home


class Open:
    """One incident being filled. Each keep is on stable storage when it returns."""

    def __init__(self, home: Path, about: About, room: int, kept: list[Kept]) -> None:
        self._home = home
        self._about = about
        self._room = room
        self._let_go: weakref.finalize[[int], Open] | None = None
        self._known = {(k.root, k.path): k.entry for k in kept}
        self._tails = {k.offset for k in kept if k.what == "tail"}
        self._number = max((k.number for k in kept), default=0)

    @property
    def name(self) -> str:
        return self._about.incident

    def close(self) -> None:
        """Nothing more is kept. An incident that nobody holds open can be dropped."""
        if self._let_go is not None:
            self._let_go()
            self._let_go = None

    def keep(self, root: str, relative: str) -> bool:
        """The file or link that stands there, unless something was kept under its name before: the first one
        counts. False: that was another one, or another content.

        Raises QuarantineFull before anything is changed.
        """
        raw = os.fsencode(relative)
        entry = entry_of(root, relative)
        if entry is None:
            return True
        if (root, raw) in self._known:
            return self._known[root, raw] == entry
        if entry.kind != FILE:
            self._note(Kept(number=0, what="link", root=root, path=raw, entry=entry))
            return True
        source = os.open(f"{root}/{relative}", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            stored = os.fstat(source).st_blocks * 512
            self._fits(min(stored, entry.size), f"{root}/{relative}")
            number, digest = self._content(lambda fd: clone(source, fd))
        finally:
            os.close(source)
        self._note(
            Kept(
                number=number,
                what="file",
                root=root,
                path=raw,
                entry=entry,
                size=min(stored, entry.size),
                digest=digest,
            )
        )
        return True

    def keep_tail(self, lsn: int, size: int, records: Iterable[bytes | memoryview]) -> None:
        """Journal records that the other side never got, size bytes from lsn on, unless kept before.

        Raises QuarantineFull before anything is changed."""
        if lsn in self._tails:
            return
        self._fits(size, "the tail of the journal")

        def fill(fd: int) -> None:
            at = 0
            for record in records:
                write_at(fd, record, at)
                at += len(record)

        number, digest = self._content(fill)
        self._note(Kept(number=number, what="tail", size=size, offset=lsn, digest=digest))

    def _content(self, fill: Callable[[int], None]) -> tuple[int, bytes]:
        """A file with what fill(descriptor) writes: number, digest. Nothing of it is left if that fails."""
        number = self._next()
        path = self._home / str(number)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            fill(fd)
            os.fsync(fd)
            return number, _digest(fd)
        except BaseException:
            path.unlink()
            raise
        finally:
            os.close(fd)

    def _note(self, kept: Kept) -> None:
        self._hold()
        fd = os.open(self._home / MANIFEST, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _cut_torn_line(fd)
            os.write(fd, msgspec.json.encode(kept) + b"\n")
            os.fsync(fd)
        finally:
            os.close(fd)
        sync_directory(self._home)
        self._room -= kept.size
        self._known[kept.root, kept.path] = kept.entry
        if kept.what == "tail":
            self._tails.add(kept.offset)

    def _fits(self, size: int, what: str) -> None:
        if size > self._room:
            raise QuarantineFull(
                f"the quarantine has no room for {what} ({size} bytes, {max(0, self._room)} left)",
                hint="hsorch quarantine list; drop what nobody needs, or make space. "
                "Until then nothing is overwritten.",
            )

    def _hold(self) -> None:
        """The folder is there, and nobody drops it."""
        if self._let_go is not None:
            return
        if not (self._home / ABOUT).exists():
            self._home.mkdir(parents=True, mode=0o700, exist_ok=True)
            replace_file(self._home / ABOUT, msgspec.json.encode(self._about), mode=0o600)
            sync_directory(self._home.parent)
        lock = os.open(self._home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_SH)
        self._let_go = weakref.finalize(self, os.close, lock)

    def _next(self) -> int:
        self._hold()
        self._number += 1
        return self._number


def limit_of(folder: Path, reserve: int) -> int:
    """Bytes that may be kept below folder: half of what is free beyond the reserve and kept, together.

    Raises OSError: the folder's parent is not there.
    """
    place = folder if folder.exists() else folder.parent
    room = os.statvfs(place)
    kept = sum(what.stat().st_blocks * 512 for what in folder.rglob("*") if what.is_file())
    return max(0, room.f_bavail * room.f_frsize + kept - reserve) // 2


def _must_be_empty(target: Path) -> None:
    if not target.exists() and not target.is_symlink():
        target.mkdir(parents=True, mode=0o700)
    elif not target.is_dir() or target.is_symlink() or any(target.iterdir()):
        raise NodeError(
            f"{target} exists and is no empty folder",
            hint="Restore into a new or empty folder.",
            code="HS693",
        )


def _cut_torn_line(fd: int) -> None:
    """A crash may have left half a line."""
    size = os.fstat(fd).st_size
    if size and os.pread(fd, 1, size - 1) != b"\n":
        whole = os.pread(fd, size, 0).rfind(b"\n") + 1
        os.ftruncate(fd, whole)


def _restore_file(content: Path, place: Path, kept: Kept) -> None:
    assert kept.entry is not None
    source = os.open(content, os.O_RDONLY | os.O_CLOEXEC)
    target = os.open(place, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, stat.S_IRUSR | stat.S_IWUSR)
    try:
        if _digest(source) != kept.digest:
            place.unlink()
            raise NodeError(
                f"the kept content of {place.name} is damaged", hint="Check this node's disk.", code="HS695"
            )
        clone(source, target)
        dress(target, kept.entry)
    finally:
        os.close(source)
        os.close(target)


def _digest(fd: int) -> bytes:
    """Of all blocks of a file."""
    from xxhash import xxh3_128

    hasher, whole = Hasher(), xxh3_128()
    size = os.fstat(fd).st_size
    for at in range(0, size, 64 * BLOCK):
        whole.update(hasher.blocks(fd, at, min(size, at + 64 * BLOCK)))
    return whole.digest()
