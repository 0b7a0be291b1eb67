"""What a node must never forget, on disk: the core's durable state and the incarnation counter.

A file is replaced whole or not at all, and a torn or foreign one is recognised, never half believed: the
core then starts in its safest role. What the state means is the core's business (hsorch.node.core).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar

import msgspec

from hsorch.node.core.types import Durable, Persisted, StoreProbed

T = TypeVar("T")
FORMAT = 1
PROBE_BYTES = 4096
"""As much as a state takes on a disk."""


class _Sealed(msgspec.Struct, frozen=True, kw_only=True):
    format: int
    digest: str
    durable: msgspec.Raw


@dataclass(frozen=True)
class Loaded:
    """durable None and not forgotten: a first start. forgotten: there was a state, and it is lost."""

    durable: Durable | None
    forgotten: bool = False
    detail: str = ""


class Store:
    """State file and incarnation file of one node."""

    def __init__(self, state: Path, incarnation: Path) -> None:
        self._state = state
        self._incarnation = incarnation

    def load(self) -> Loaded:
        """Never raises: what cannot be read is forgotten, and detail says why."""
        try:
            return Loaded(unseal(self._state.read_bytes(), Durable))
        except FileNotFoundError:
            if self._incarnation.exists():
                return Loaded(
                    None, forgotten=True, detail=f"{self._state} is gone, though this node ran before"
                )
            return Loaded(None)
        except (OSError, ValueError) as error:
            return Loaded(None, forgotten=True, detail=f"{self._state} cannot be used: {error}")

    def save(self, durable: Durable) -> Persisted:
        """On stable storage when ok."""
        try:
            replace_file(self._state, seal(durable), mode=0o600)
        except OSError as error:
            return Persisted(ok=False, detail=f"cannot write {self._state}: {error.strerror or error}")
        return Persisted(ok=True)

    def probe(self) -> StoreProbed:
        """All that `save` does, to a file of no meaning; for another thread than that of save."""
        scratch = self._state.with_suffix(".probe")
        try:
            replace_file(scratch, bytes(PROBE_BYTES), mode=0o600)
            scratch.unlink()
        except OSError as error:
            return StoreProbed(ok=False, detail=f"cannot write {scratch}: {error.strerror or error}")
        return StoreProbed(ok=True)

    def next_incarnation(self, wall_s: int, known: int = 0) -> int:
        """Greater than any earlier one, on stable storage. Raises OSError.

        Starts from the wall clock, so that a node which lost its disk does not begin again below what its
        peer remembers. known: what the state says; the core has taken a greater one than the counter's when
        the node was set back to an old image.
        """
        try:
            last = int(self._incarnation.read_text("ascii"))
        except (FileNotFoundError, ValueError):
            last = 0
        number = max(last + 1, known + 1, wall_s)
        replace_file(self._incarnation, str(number).encode("ascii"), mode=0o600)
        return number


def seal(durable: object) -> bytes:
    """For a state file: with its format and a checksum."""
    body = msgspec.json.encode(durable)
    return msgspec.json.encode(_Sealed(format=FORMAT, digest=_digest(body), durable=msgspec.Raw(body)))


def unseal(data: bytes, kind: type[T]) -> T:
    """Raises ValueError: torn, changed, or of another format."""
    try:
        sealed = msgspec.json.decode(data, type=_Sealed)
        if sealed.format != FORMAT:
            raise ValueError(f"format {sealed.format} is not {FORMAT}")
        if sealed.digest != _digest(bytes(sealed.durable)):
            raise ValueError("its checksum is wrong")
        return msgspec.json.decode(sealed.durable, type=kind)
    except msgspec.DecodeError as error:
        raise ValueError(f"it is torn or not a state file ({error})") from error


def replace_file(path: Path, data: bytes, *, mode: int) -> None:
    """Replace path by data, durably: after a crash the old or the new content is there. Raises OSError."""
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _digest(body: bytes) -> str:
    return blake2b(body, digest_size=16).hexdigest()
