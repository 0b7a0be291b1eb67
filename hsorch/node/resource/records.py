"""What of the group is (or may be) running on this node: one small JSON file per resource below /run.

Written before the effect it names, removed after the effect is gone, so whoever must end everything
(the guard, a restarted agent) needs nothing else. Volatile: a reboot ends the effects and the files.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from hsorch.node.system.base import Running


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Traces of one resource; a field is empty where its kind has no such trace."""

    name: str
    kind: str
    running: Running | None = None
    nic: str = ""
    address: str = ""
    """CIDR."""
    virtual_mac: str = ""
    unit: str = ""
    group: str = ""
    """Control group of the unit."""


_decoder = msgspec.json.Decoder(Record)


class Records:
    """The directory of records. Thread-safe per resource: each file is replaced whole."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __iter__(self) -> Iterator[Record]:
        for path in sorted(self.directory.glob("*.json")):
            record = _read(path)
            if record is not None:
                yield record

    def get(self, name: str) -> Record | None:
        return _read(self._path(name))

    def put(self, record: Record) -> None:
        """Raises OSError."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path(record.name)
        temporary = path.with_suffix(".new")
        temporary.write_bytes(msgspec.json.encode(record))
        temporary.replace(path)

    def drop(self, name: str) -> None:
        self._path(name).unlink(missing_ok=True)

    def log(self, name: str) -> Path:
        """Where a resource's programs write their output."""
        return self.directory / f"{_file_name(name)}.log"

    def _path(self, name: str) -> Path:
        return self.directory / f"{_file_name(name)}.json"


def _file_name(name: str) -> str:
    """Resource names may hold blanks and slashes; the file's name must not."""
    return "".join(c if c.isalnum() or c in "-_." else f"%{ord(c):02x}" for c in name)


def _read(path: Path) -> Record | None:
    """An unreadable record is no record: the mark that each process carries finds the process anyway."""
    with contextlib.suppress(OSError, msgspec.DecodeError):
        return _decoder.decode(path.read_bytes())
    return None
