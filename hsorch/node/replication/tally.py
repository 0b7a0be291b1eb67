"""What a mirror did at the target, or would do: counted as it goes. Numbers and first names only."""

from __future__ import annotations

import os

from hsorch.node.replication.entries import Entry
from hsorch.node.replication.massguard import Verdict
from hsorch.node.replication.messages import Reached

NAMED = 20
"""Names of newer files that a survey tells."""


class Tally:
    def __init__(self) -> None:
        self.held = 0
        """Deletions that the guard holds back."""
        self._created = self._replaced = self._replaced_bytes = self._deleted = self._deleted_bytes = 0
        self._newest_ns = self._newer_count = 0
        self._newer: list[bytes] = []

    def creates(self, files: int = 1) -> None:
        self._created += files

    def replaces(self, entry: Entry, found: os.stat_result) -> None:
        """found: what stands there."""
        self._replaced += 1
        self._replaced_bytes += found.st_size
        self._newest_ns = max(self._newest_ns, found.st_mtime_ns)
        if found.st_mtime_ns > entry.mtime_ns:
            self._newer_count += 1
            if len(self._newer) < NAMED:
                self._newer.append(entry.path)

    def deletes(self, verdict: Verdict, *, held: bool) -> None:
        self._deleted += verdict.files
        self._deleted_bytes += verdict.size
        self.held += verdict.files if held else 0

    def reached(self, number: int) -> Reached:
        """The answer to Mark `number`."""
        return Reached(
            number=number, held=self.held, created=self._created,
            replaced=self._replaced, replaced_bytes=self._replaced_bytes,
            newer=self._newer, newer_count=self._newer_count, newest_ns=self._newest_ns,
            deleted=self._deleted, deleted_bytes=self._deleted_bytes,
        )  # fmt: skip
