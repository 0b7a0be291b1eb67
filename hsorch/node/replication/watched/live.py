"""Keeps a watched tree equal at the target, change by change, after a mirror on the same channel.

Each batch of changes is sent, and answered, before the next one: what piles up meanwhile is told together.
A lost event or a broken channel means another mirror; the caller runs it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.entries import FILE, FOLDER, Entry, entry_of, folder_of, scan
from hsorch.node.replication.messages import (
    Folders,
    Gone,
    Listing,
    Mark,
    Need,
    Offer,
    Reached,
    Refused,
    Said,
    Twins,
    Wanted,
)
from hsorch.node.replication.mirror import Mirror, refused
from hsorch.node.replication.progress import Progress
from hsorch.node.replication.sender import Sender
from hsorch.node.replication.twins import same_file
from hsorch.node.replication.verify import SMALL
from hsorch.node.replication.watched.inotify import Changes, Watcher
from hsorch.node.replication.wire import Channel

_Answer = TypeVar("_Answer", bound=Said)
REST_S = 0.25
_OFFER = 500
_FIRST = 1000
"""Marks and offers count from here: a mirror used the numbers below."""


@dataclass(frozen=True)
class Batch:
    """What one round of changes came to. took_ns: from the first event to the target's word."""

    names: int
    sent: int
    held: int
    took_ns: int


class Live:
    """Raises Broken, MirrorError (target refused), OSError (a file can't be read)."""

    def __init__(self, channel: Channel, root: str, binding: Binding, mirror: Mirror) -> None:
        """mirror: has run on this channel."""
        self._channel = channel
        self._root = root
        self._binding = binding
        self._twins = mirror.twins
        self._progress = Progress()
        self._sender = Sender(channel, root, self._progress)
        self._number = _FIRST
        self._unsettled = mirror.restless()
        """Names of files that changed, or became another one, as they were sent; that was told already."""

    def follow(
        self,
        watcher: Watcher,
        stop: Callable[[], bool],
        told: Callable[[Batch], None],
        rest: Callable[[], None] = lambda: None,
    ) -> Changes:
        """Until stop() says so, or everything must be looked at again: then with overflow or lost set.

        rest(): nothing changed lately, and everything before is at the target.
        """
        try:
            while not stop():
                changes = watcher.wait(0 if self._unsettled else REST_S)
                if changes.overflow or changes.lost:
                    return changes
                if changes or self._unsettled:
                    told(self.send(changes))
                elif not self._refused():
                    rest()
            return Changes()
        finally:
            self._sender.forget()

    def _refused(self) -> bool:
        """What the target says unasked: that it takes no more. Raises MirrorError, Broken."""
        frame = self._channel.receive(0)
        if frame is not None and isinstance(frame.message, Refused):
            raise refused(self._binding.path, frame.message.why)
        return frame is not None

    def send(self, changes: Changes) -> Batch:
        """One round; returns when the target has done it."""
        began, before = time.monotonic_ns(), self._channel.sent
        names = changes.names | self._unsettled
        for folder in changes.folders:
            for _, entries in scan(self._root, self._binding, folder):
                names.update(entry.name for entry in entries)
        found = {name: entry_of(self._root, name) for name in sorted(names) if name}
        self._offer([e for e in found.values() if e is not None and e.kind != FILE])
        names |= self._contents([e for e in found.values() if e is not None and e.kind == FILE])
        gone = [os.fsencode(name) for name, entry in found.items() if entry is None]
        if gone:
            self._channel.send(Gone(paths=gone))
            self._twins.forget(gone)
        self._unsettled |= self._twins.suspects | self._sender.restless()
        self._twins.suspects.clear()
        self._folders(names)
        reached = self._mark()
        return Batch(len(names), self._channel.sent - before, reached.held, time.monotonic_ns() - began)

    def _offer(self, entries: list[Entry]) -> None:
        """Folders and links: they are made while they are listed. Parents come first."""
        for at in range(0, len(entries), _OFFER):
            self._number += 1
            listing = Listing(b"", entries[at : at + _OFFER])
            self._channel.send(Offer(number=self._number, listings=[listing], whole=False))
            self._until(Wanted)

    def _contents(self, entries: list[Entry]) -> set[str]:
        """Names that the target made anew beside those of the entries."""
        pairs: list[tuple[bytes, bytes]] = []
        sizes: dict[str, int] = {}
        for entry in entries:
            name = entry.name
            if not entry.twin:
                self._twins.forget([entry.path])
            else:  # whichever name was written, one is sent, and the others follow it
                first = self._twins.standing(self._root, self._binding, entry)
                name = os.fsdecode(first)
                pairs += self._twins.pairs(self._root, first)
            sizes[name] = entry.size
        for name, size in sizes.items():
            if size <= SMALL:
                self._sender.small(name)
            else:
                self._sender.large(name, compare=True)
        self._sender.flush()
        while not self._sender.idle:
            self._until(Need)
        if pairs:
            self._channel.send(Twins(pairs=list(dict.fromkeys(pairs))))
        self._unsettled = {
            os.fsdecode(name) for name, first in pairs if not same_file(self._root, name, first)
        }
        return sizes.keys() | {os.fsdecode(name) for name, _ in pairs}

    def _folders(self, names: Iterable[str]) -> None:
        """Times of the folders in which something happened, last."""
        parents = {name.rpartition("/")[0] for name in names} | set(names)
        found = (folder_of(self._root, folder) for folder in sorted(parents, reverse=True))
        entries = [entry for entry in found if entry is not None and entry.kind == FOLDER]
        for at in range(0, len(entries), _OFFER):
            self._channel.send(Folders(entries=entries[at : at + _OFFER]))

    def _mark(self) -> Reached:
        self._number += 1
        self._channel.send(Mark(number=self._number))
        while (reached := self._until(Reached)).number != self._number:
            pass
        return reached

    def _until(self, kind: type[_Answer]) -> _Answer:
        while True:
            frame = self._channel.receive()
            if frame is None:
                continue
            if isinstance(frame.message, Refused):
                raise refused(self._binding.path, frame.message.why)
            if isinstance(frame.message, Need):
                self._sender.needed(frame.message)
            if isinstance(frame.message, kind):
                return frame.message
