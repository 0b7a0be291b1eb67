"""Write-once registers as files of one directory: `<cluster id>/major-<n>.json`, beside `identity.json`.

Used by the share witness on the nodes and by the HTTP witness's server. An entry is written to a file of
its own, brought to stable storage, then linked to its final name, which the file system does for one
writer only (link(2): fails when the name exists, also over NFS and SMB). The root is never created here: a
mount point without its share must be an error, not an empty witness.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from pathlib import Path

import msgspec

from hsorch.node.core.types import NodeName, WitnessOutcome
from hsorch.node.store import sync_directory
from hsorch.node.witness.base import Answer, Entry, failed

IDENTITY = "identity.json"


class Directory:
    """Registers of one cluster. Never raises; takes the time that the file system takes."""

    def __init__(self, root: Path, cluster_id: str) -> None:
        self._root = root
        self._directory = root / cluster_id

    def create(self, major: int, node: NodeName) -> Answer:
        try:
            witness_id = self._identity()
            entry = Entry(major=major, owner=node)
            if self._write_once(self._path(major), msgspec.json.encode(entry)):
                return Answer(WitnessOutcome.CREATED, owner=node, witness_id=witness_id)
            return self._existing(major, witness_id)
        except (OSError, msgspec.DecodeError) as error:
            return failed(_why(self._directory, error))

    def read(self, major: int) -> Answer:
        try:
            witness_id = self._identity()
            if not self._path(major).exists():
                return Answer(WitnessOutcome.ABSENT, witness_id=witness_id)
            return self._existing(major, witness_id)
        except (OSError, msgspec.DecodeError) as error:
            return failed(_why(self._directory, error))

    def _path(self, major: int) -> Path:
        return self._directory / f"major-{major}.json"

    def _existing(self, major: int, witness_id: str) -> Answer:
        entry = msgspec.json.decode(self._path(major).read_bytes(), type=Entry)
        return Answer(WitnessOutcome.EXISTS, owner=entry.owner, witness_id=witness_id)

    def _identity(self) -> str:
        """Random, made by the first node that comes; an emptied or swapped directory has another one."""
        path = self._directory / IDENTITY
        if not path.exists():
            with contextlib.suppress(FileExistsError):
                self._directory.mkdir()
                sync_directory(self._root)
            self._write_once(path, msgspec.json.encode(secrets.token_hex(16)))
        return msgspec.json.decode(path.read_bytes(), type=str)

    def _write_once(self, path: Path, data: bytes) -> bool:
        """False when the name exists already. Raises OSError when neither is certain."""
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            try:
                if os.write(descriptor, data) != len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            try:
                os.link(temporary, path)
            except FileExistsError:
                # The answer to a link that did succeed can be lost on a network: two names tell (link(2)).
                if temporary.stat().st_nlink != 2:
                    return False
            sync_directory(path.parent)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
        return True


def _why(directory: Path, error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{directory}: {error.strerror or error}"
    return f"{directory}: an entry is damaged ({error})"
