"""What a node remembers of its bound folders, durably: which volume each lies on, whose copy it is.

A disk that was formatted, swapped or not mounted is another volume: nothing is concluded from what is missing
there (REQ-L05, L06).
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterable
from pathlib import Path

import msgspec

from hsorch.errors import NodeError
from hsorch.node.store import replace_file, seal, unseal
from hsorch.spec import Wire

_BY_UUID = Path("/dev/disk/by-uuid")


class Note(Wire, frozen=True, kw_only=True):
    """Of one bound path."""

    volume: str = ""
    """volume_of() at bring-in; empty: never brought in."""
    follows: bool = False
    """Everything there came from the peer: what is replaced is nobody's only copy."""
    changed: str = ""
    """As target: what somebody else changed there; empty: nothing, or all was compared since."""
    verified: str = ""
    """UTC, RFC 3339: when all contents were last compared."""


class Bound:
    """Thread-safe. Raises OSError where it reads or writes, ValueError for a file that nobody of us wrote."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._notes: dict[str, Note] = {}
        if file.exists():
            try:
                self._notes = unseal(file.read_bytes(), dict[str, Note])
            except ValueError as error:
                raise ValueError(f"{file}: {error}") from error

    def note(self, path: str) -> Note:
        return self._notes.get(path, Note())

    def change(self, path: str, **fields: object) -> None:
        """On stable storage when it returns; nothing is written when nothing changes."""
        with self._lock:
            note = msgspec.structs.replace(self.note(path), **fields)
            if note != self.note(path):
                notes = {**self._notes, path: note}
                replace_file(self._file, seal(notes), mode=0o600)
                self._notes = notes

    def forget(self, paths: Iterable[str]) -> None:
        """They are not bound any more."""
        gone = set(paths)
        with self._lock:
            notes = {path: note for path, note in self._notes.items() if path not in gone}
            if notes != self._notes:
                replace_file(self._file, seal(notes), mode=0o600)
                self._notes = notes

    def is_there(self, path: str) -> None:
        """The volume that was brought in lies at path; the first one ever seen is remembered.

        path must have no mount of ours over it. Raises NodeError HS674.
        """
        known = self.note(path).volume
        try:
            found = volume_of(path)
        except OSError as error:
            raise _lost(f"{path} cannot be read: {error.strerror}") from error
        if not known:
            self.change(path, volume=found)
        elif found != known:
            raise _lost(f"{path} lies on another volume ({found}) than when it was brought in ({known})")


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


def _lost(message: str) -> NodeError:
    return NodeError(
        message,
        hint="mount the disk that was bound: replication goes on by itself. If it was replaced on purpose: "
        "`hsorch explain HS674`",
        code="HS674",
    )
