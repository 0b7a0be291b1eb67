"""What a node remembers of its bound folders, durably: which folder it is, on which volume, whose copy.

A disk that was formatted, swapped or not mounted is another volume, a folder that was made anew is another
folder: nothing is concluded from what is missing there (REQ-L05, L06).
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterable
from pathlib import Path

import msgspec

from hsorch.errors import NodeError
from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.entries import HIDDEN
from hsorch.node.replication.mountinfo import mounted
from hsorch.node.store import replace_file, seal, unseal
from hsorch.spec import Wire

_BY_UUID = Path("/dev/disk/by-uuid")
_MARK = HIDDEN + "folder"


class Note(Wire, frozen=True, kw_only=True):
    """Of one bound path."""

    volume: str = ""
    """volume_of() at bring-in; empty: never brought in."""
    mark: str = ""
    """What the folder itself was marked with then; empty: its file system keeps no attributes."""
    follows: bool = False
    """Everything there came from the peer: what is replaced is nobody's only copy."""
    own: bool = False
    """Watched: this node was the source of it, and no mirror has begun to replace anything since."""
    shared: bool = False
    """Watched: nothing stands there that the nodes did not have in common once, so size and time tell what
    differs."""
    changed: str = ""
    """As target: what somebody else changed there; empty: nothing, or all was compared since."""
    unwritten: str = ""
    """As target: why what came may not be on the disk; empty: it is, or all was written again since."""
    verified: str = ""
    """UTC, RFC 3339: when all contents were last compared."""


class Bound:
    """Thread-safe. Raises OSError where it reads or writes, ValueError for a file that nobody of us wrote."""

    _lock = threading.Lock()
    """Of all in this process: a part that is over may hear from its disk when the next one is at work."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._notes = self._read()
        self._written: dict[str, set[int]] = {}
        """Since the disk refused something there, as far as this process made it."""

    def note(self, path: str) -> Note:
        return self._notes.get(path, Note())

    def whole(self, watched: Iterable[Binding]) -> bool:
        """Each of them is one side's folder, and no mixture."""
        notes = [self.note(binding.path) for binding in watched]
        return all((note.follows and not note.unwritten) or note.own for note in notes)

    def begin_anew(self, path: str) -> None:
        """Whose files lie there is not known any more."""
        self.change(path, follows=False, own=False, shared=False)

    def refuse(self, path: str, why: str) -> None:
        """As target. Implements flushing.Refusals, as do the next two."""
        self._written[path] = set()
        self.change(path, unwritten=why)

    def written(self, path: str) -> set[int] | None:
        return self._written.setdefault(path, set()) if self.note(path).unwritten else None

    def all_written(self, path: str, written: set[int]) -> None:
        if self._written.get(path) is written:
            self.change(path, unwritten="")
            del self._written[path]

    def change(self, path: str, **fields: object) -> None:
        """On stable storage when it returns; nothing is written when nothing changes."""
        with self._lock:
            if msgspec.structs.replace(self.note(path), **fields) != self.note(path):
                known = self._latest()
                note = msgspec.structs.replace(known.get(path, Note()), **fields)
                notes = {**known, path: note}
                replace_file(self._file, seal(notes), mode=0o600)
                self._notes = notes

    def forget(self, paths: Iterable[str]) -> None:
        """They are not bound any more."""
        gone = set(paths)
        with self._lock:
            known = self._latest()
            notes = {path: note for path, note in known.items() if path not in gone}
            if notes != known:
                replace_file(self._file, seal(notes), mode=0o600)
                self._notes = notes

    def is_there(self, binding: Binding) -> None:
        """The folder that was brought in lies at the bound path, all of it on one volume; the first one ever
        seen is remembered.

        path must have no mount of ours over it. Raises NodeError HS674, HS682, HS697.
        """
        path = binding.path
        known = self.note(path)
        try:
            volume, mark = volume_of(path), _mark_of(path)
        except OSError as error:
            raise _lost(f"{path} cannot be read: {error.strerror}") from error
        if (real := os.path.realpath(path)) != path:
            raise NodeError(
                f"{path} leads to {real}, through a symbolic link",
                hint=f"bind {real} itself: programs may go on to use the link",
                code="HS682",
            )
        if not known.volume:
            self.adopt(path)
        elif volume != known.volume:
            then = known.volume
            raise _lost(f"{path} lies on another volume ({volume}) than when it was brought in ({then})")
        elif mark != known.mark:
            raise _lost(f"{path} is not the folder that was brought in: it was made anew, or lost its mark")
        refuse_inner(binding)

    def adopt(self, path: str) -> None:
        """The folder that lies there now is the one. Raises OSError."""
        self.change(path, volume=volume_of(path), mark=_mark(path))

    def _latest(self) -> dict[str, Note]:
        """Others in this process may have changed it; what is torn or gone is known here."""
        try:
            return self._read() or self._notes
        except ValueError:
            return self._notes

    def _read(self) -> dict[str, Note]:
        try:
            return unseal(self._file.read_bytes(), dict[str, Note])
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise ValueError(f"{self._file}: {error}") from error


def refuse_inner(binding: Binding) -> None:
    """Raises NodeError HS697: another file system lies below the bound folder, where it is replicated. Its
    files would vanish here with it, and the order of writes ends at its edge."""
    for mount in mounted():
        if mount.where.startswith(binding.path + "/"):
            inner = mount.where[len(binding.path) + 1 :]
            if binding.enters(inner) or binding.covers(inner):
                raise NodeError(
                    f"another file system ({mount.kind}) is mounted at {mount.where}, below the bound "
                    f"{binding.path}",
                    hint=f"unmount it, or leave it out: `exclude: ['./{inner}', '{inner}/**']`",
                    code="HS697",
                )


def volume_of(path: str) -> str:
    """A name that a file system keeps when its device gets another number. Raises OSError."""
    what = Path(path)
    device = what.stat().st_dev
    if not what.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "it is no folder", path)
    if _BY_UUID.is_dir():
        for link in _BY_UUID.iterdir():
            try:
                if link.stat().st_rdev == device:
                    return f"uuid {link.name}"
            except OSError:
                continue  # a disk that is just going
    return f"fsid {os.statvfs(path).f_fsid:016x}"


def _mark_of(path: str) -> str:
    try:
        return os.getxattr(path, _MARK).decode("ascii", "replace")
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.ENOTSUP):
            return ""
        raise


def _mark(path: str) -> str:
    """A new one, on stable storage: a power cut must not make another folder of it."""
    mark = os.urandom(8).hex()
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.setxattr(folder, _MARK, mark.encode("ascii"))
        os.fsync(folder)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return ""
        raise
    finally:
        os.close(folder)
    return mark


def _lost(message: str) -> NodeError:
    return NodeError(
        message,
        hint="mount the disk that was bound: replication goes on by itself. If it was replaced on purpose: "
        "`hsorch explain HS674`",
        code="HS674",
    )
