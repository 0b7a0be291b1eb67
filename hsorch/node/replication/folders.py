"""Which set of bound folders the durable state here stands for; the manifest may ask for another one by now.

The ordered folders are numbered by this set: a journal can be read under no other. How a node goes from one
set to the next is regroup.py's business.
"""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

import msgspec

from hsorch.node.replication.bindings import Binding
from hsorch.node.store import replace_file, seal, unseal
from hsorch.spec import Wire


class Noted(Wire, frozen=True, kw_only=True):
    """played: as journal and notes count them. shared: ordered ones of which both nodes held one image.

    edition: counts the sets that there were, so that what is put away under one is not taken for the next.
    """

    played: tuple[Binding, ...] | None = None
    shared: tuple[Binding, ...] = ()
    edition: int = 0


class Folders:
    """Durable. Raises OSError where it reads or writes, ValueError for a file that nobody of us wrote."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._noted = Noted()
        if file.exists():
            try:
                self._noted = unseal(file.read_bytes(), Noted)
            except ValueError as error:
                raise ValueError(f"{file}: {error}") from error

    @property
    def played(self) -> tuple[Binding, ...] | None:
        """None: no part was played here yet."""
        return self._noted.played

    @property
    def edition(self) -> int:
        return self._noted.edition

    def lacks(self, ordered: tuple[Binding, ...]) -> bool:
        """Some of them never were a part of the image that both nodes held."""
        return any(binding not in self._noted.shared for binding in ordered)

    def has_shared(self, path: str, relative: str) -> bool:
        """Whether this file belonged to that image."""
        return any(b.path == path and b.covers(relative) for b in self._noted.shared)

    def play(self, bindings: tuple[Binding, ...]) -> None:
        """What is left out has a life of its own from here on."""
        edition = self.edition if self.played is None else self.edition + 1
        shared = tuple(binding for binding in self._noted.shared if binding in bindings)
        self._save(Noted(played=bindings, shared=shared, edition=edition))

    def share(self, ordered: tuple[Binding, ...]) -> None:
        """The image of these is the one that counts, or was made equal to it."""
        self._save(msgspec.structs.replace(self._noted, shared=ordered))

    def _save(self, noted: Noted) -> None:
        if noted != self._noted:
            replace_file(self._file, seal(noted), mode=0o600)
            self._noted = noted


def likeness(ordered: tuple[Binding, ...]) -> bytes:
    """Equal on two nodes that number their ordered folders alike and replicate the same of them."""
    return blake2b(msgspec.json.encode(ordered), digest_size=8).digest()
