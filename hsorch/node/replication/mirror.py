"""The source's side of a mirror: lists a tree, hears what the target lacks, and sends that and no more.

Used for the first mirror, for a resync and for "verify difference" of watched folders alike, and for the base
copy of ordered ones; a broken mirror is resumed by starting it again, because what is done is found equal.
Landing (landing.py) is the other side. What happens after the mirror is live.py's, and base_copy.py's,
business.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from hsorch.errors import NodeError
from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.entries import FILE, FOLDER, TWIN, Anchor, Entry, Fid, entry_of, folder_of, scan
from hsorch.node.replication.messages import (
    Doomed,
    Folders,
    Gone,
    Listing,
    Mark,
    Need,
    Offer,
    Prune,
    Reached,
    Refused,
    Said,
    Task,
    Twins,
    Wanted,
)
from hsorch.node.replication.progress import Progress
from hsorch.node.replication.sender import Sender
from hsorch.node.replication.tick import could_change_unseen
from hsorch.node.replication.twins import TwinNames
from hsorch.node.replication.verify import SMALL, Hasher
from hsorch.node.replication.wire import Broken, Channel

BATCH = 500
"""Entries of one offer."""
BATCH_BYTES = 8 << 20
"""Small files that are hashed for one offer, so that both ends hash at the same time."""
WINDOW = 16
"""Offers without an answer."""
SAME, SEND, COMPARE = 0, 1, 2
"""Values of a byte in Wanted."""


class MirrorError(NodeError):
    """The mirror stopped; nothing at the target was deleted. HS673 to HS675."""

    code = "HS673"


def refused(path: str, why: str) -> MirrorError:
    return MirrorError(
        f"the standby cannot take {path}: {why}",
        hint="Make room or restore the folder there; the mirror resumes where it was.",
    )


@dataclass
class _Course:
    """What the threads of one mirror share."""

    replies: queue.SimpleQueue[Said | Exception] = field(default_factory=queue.SimpleQueue)
    window: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(WINDOW))
    offered: dict[int, list[Entry]] = field(default_factory=dict)
    listed: bool = False
    stop: bool = False


class Mirror:
    """One run over one tree. root: path of the bound folder; `/proc/self/fd/N` reaches below a mount."""

    def __init__(
        self,
        channel: Channel,
        root: str,
        task: Task,
        *,
        anchor: Anchor | None = None,
        progress: Progress | None = None,
        fid: Fid | None = None,
        own: bool = False,
    ) -> None:
        """anchor: the volume that root must lie on; None: whichever it lies on now. fid: for files of an
        ordered folder, which have it from then on. own: what stands at the target may be its own, so it
        is told what is in small files."""
        self._channel = channel
        self._root = root
        self._task = task
        self._binding: Binding = task.binding
        self._anchor = anchor
        self.progress = progress or Progress()
        self._course = _Course()
        self._fid = fid
        self._own = own
        self._sender = Sender(channel, root, self.progress, fid)
        self._hasher = Hasher()
        self._folders: list[str] = []
        self.twins = TwinNames()

    def run(self) -> Reached:
        """Mirror the whole tree; what was done at the target, or would be (survey).

        Raises MirrorError, Broken (the channel; start again to resume).
        """
        anchor = self._check_anchor(self._anchor)
        self._channel.send(self._task)
        threads = [threading.Thread(target=work, daemon=True) for work in (self._list, self._listen)]
        for thread in threads:
            thread.start()
        try:
            self._answer()
            self._check_anchor(anchor)
            return self._finish()
        finally:
            self._course.stop = True
            self._course.window.release()
            self._sender.forget()
            threads[0].join()

    def _check_anchor(self, expected: Anchor | None) -> Anchor:
        try:
            found = Anchor.of(self._root)
        except OSError as error:
            raise MirrorError(
                f"{self._binding.path} cannot be read: {error.strerror}",
                hint="Mount its disk or restore the folder; replication goes on by itself.",
                code="HS674",
            ) from error
        if expected is not None and found != expected:
            raise MirrorError(
                f"{self._binding.path} lies on another volume than before",
                hint="Mount the disk that was bound. If it was replaced on purpose: hsorch select-source.",
                code="HS674",
            )
        return found

    def restless(self) -> set[str]:
        """Files that were written just as they were read: to be sent again."""
        return self._sender.restless()

    # ------------------------------------------------------------------------------- thread 1: what is here

    def _list(self) -> None:
        try:
            for number, listings in enumerate(self._batches()):
                self._course.window.acquire()
                if self._course.stop:
                    return
                self._course.offered[number] = [e for listing in listings for e in listing.entries]
                self._channel.send(Offer(number=number, listings=listings))
            self._course.replies.put(Mark(number=0))  # all is listed
        except Exception as error:  # carried to the thread that answers, which raises it
            self._course.replies.put(error)

    def _batches(self) -> Iterator[list[Listing]]:
        batch: list[Listing] = []
        count = size = 0
        digest = self._digest if self._own or self._task.mode == "content" else None
        for folder, entries in scan(self._root, self._binding, digest=digest, fid=self._fid):
            self._folders.append(folder)
            raw = os.fsencode(folder)
            batch.append(Listing(raw, []))
            for entry in entries:
                if count >= BATCH or size >= BATCH_BYTES:
                    batch[-1] = Listing(raw, batch[-1].entries, last=False)
                    yield batch
                    batch, count, size = [Listing(raw, [])], 0, 0
                prepared = self._prepare(entry)
                batch[-1].entries.append(prepared)
                count += 1
                size += prepared.size if prepared.digest else 0
                self.progress.saw(prepared)
            count += 1
        yield batch

    def _digest(self, fd: int, size: int) -> bytes:
        """b"" where the sender has to wait before it reads."""
        return b"" if could_change_unseen(os.fstat(fd)) else self._hasher.small(fd, size)

    def _prepare(self, entry: Entry) -> Entry:
        if entry.kind == FILE and entry.twin:
            first = self.twins.note(self._root, entry)
            if first != entry.path:
                return msgspec.structs.replace(entry, kind=TWIN, to=first)
        return entry

    # ------------------------------------------------------------------------- thread 2: what the target says

    def _listen(self) -> None:
        try:
            while not self._course.stop:
                frame = self._channel.receive()
                if frame is None:
                    continue
                self._course.replies.put(frame.message)
                if isinstance(frame.message, Refused) or (
                    isinstance(frame.message, Reached) and frame.message.number == 1
                ):
                    return
        except Broken as error:
            self._course.replies.put(error)

    # --------------------------------------------------------------------------- main thread: what it is sent

    def _answer(self) -> None:
        while not (self._course.listed and not self._course.offered and self._sender.idle):
            reply = self._reply()
            if isinstance(reply, Wanted):
                self._serve(self._course.offered[reply.number], reply.wants)
                del self._course.offered[reply.number]
                self._course.window.release()
            elif isinstance(reply, Need):
                self._sender.needed(reply)
            elif isinstance(reply, Mark):
                self._course.listed = True
            if not self._course.offered or self._course.replies.empty():
                self._sender.flush()

    def _serve(self, entries: list[Entry], wants: bytes) -> None:
        for entry, want in zip(entries, wants, strict=True):
            if want == SAME or self._task.survey:
                self.progress.found_same(entry)
            elif entry.size <= SMALL:
                self._sender.small(entry.name, entry.xattrs)
            else:
                self._sender.large(entry.name, compare=want == COMPARE)

    def _finish(self) -> Reached:
        """Names, deletions, folders' times, in this order: each would undo the one before."""
        if not self._task.survey:
            pairs = self.twins.all_pairs()
            for at in range(0, len(pairs), BATCH):
                self._channel.send(Twins(pairs=pairs[at : at + BATCH]))
        self._channel.send(Prune())
        while isinstance(reply := self._reply(), Doomed):
            gone = [path for path in reply.paths if self._really_gone(path)]
            self._channel.send(Gone(paths=gone, more=reply.more))
            if not reply.more:
                break
        if not self._task.survey:
            found = (folder_of(self._root, folder) for folder in reversed(self._folders))
            folders = [entry for entry in found if entry is not None]
            for at in range(0, len(folders), BATCH):
                self._channel.send(Folders(entries=folders[at : at + BATCH]))
        self._channel.send(Mark(number=1, durable=True))
        while not isinstance(reply := self._reply(), Reached):
            pass
        self.progress.finished()
        return reply

    def _really_gone(self, path: bytes) -> bool:
        """Not only moved while the tree was listed."""
        name = os.fsdecode(path)
        found = entry_of(self._root, name)
        if found is None:
            return True
        return not (self._binding.enters(name) if found.kind == FOLDER else self._binding.covers(name))

    def _reply(self) -> Said:
        reply = self._course.replies.get()
        if isinstance(reply, Refused):
            raise refused(self._binding.path, reply.why)
        if isinstance(reply, OSError) and not isinstance(reply, Broken):
            raise MirrorError(
                f"{reply.filename or self._binding.path} cannot be read: {reply.strerror}",
                hint="Give hsorch access to it, or exclude it from the binding.",
                code="HS675",
            ) from reply
        if isinstance(reply, Exception):
            raise reply
        return reply
