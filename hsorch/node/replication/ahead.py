"""Frames are received ahead of their use: one thread opens what comes while another carries out what came.

The order stays; what is ahead is bounded, so that a slow disk still holds back the sender.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time

from hsorch.node.replication.wire import Broken, Channel, Frame, Room

DEPTH = 4
"""Frames that were received and not used yet, the one in use included."""


class Ahead:
    """Receives all frames of a channel from now on. next() belongs to one thread."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._free: queue.SimpleQueue[Room | None] = queue.SimpleQueue()
        self._ready: queue.SimpleQueue[tuple[Frame, Room] | Broken] = queue.SimpleQueue()
        self._used: Room | None = None
        for _ in range(DEPTH):
            self._free.put(Room())
        self._thread = threading.Thread(target=self._receive, name="ahead", daemon=True)
        self._thread.start()

    def next(self, timeout_s: float | None = None) -> Frame | None:
        """The next frame, whose body stands until the next call; None: none came in time. Raises Broken."""
        if self._used is not None:
            self._free.put(self._used)
            self._used = None
        try:
            found = self._ready.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if isinstance(found, Broken):
            self._ready.put(found)
            raise found
        frame, self._used = found
        return frame

    def drain(self, limit_s: float) -> None:
        """Take no notice of what comes, until the other end closed the channel: so it can hear the last word
        that it was told, instead of finding the channel broken."""
        until = time.monotonic() + limit_s
        with contextlib.suppress(Broken):
            while (left := until - time.monotonic()) > 0:
                self.next(left)

    def end(self) -> None:
        """The channel is closed, and no thread of this is inside any more."""
        self._channel.close()
        self._free.put(None)
        self._thread.join()

    def _receive(self) -> None:
        try:
            while (room := self._free.get()) is not None:
                frame = self._channel.receive(room=room)
                if frame is not None:
                    self._ready.put((frame, room))
        except Exception as end:  # whoever takes must not wait for a thread that is no more
            self._ready.put(end if isinstance(end, Broken) else Broken(f"cannot receive: {end!r}"))
