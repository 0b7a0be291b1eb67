"""The agent's only event loop: descriptors, answers from worker threads, and one deadline.

A few lines over `selectors` instead of asyncio: one deadline is all the core needs, and an idle agent wakes
only for a frame or a tick.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")

MOST_IDLE = 4


@dataclass(frozen=True)
class _Broken:
    """In the place of an answer: the job raised."""

    error: Exception


class Loop(Generic[T]):
    """T: what worker threads post. Only `post` may be called from another thread (or a signal handler)."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._posted: SimpleQueue[T | _Broken] = SimpleQueue()
        self._idle: deque[SimpleQueue[Callable[[], T]]] = deque()
        """Of threads without a job; whoever takes one out has it alone."""
        self._wake, self._waker = socket.socketpair()
        self._wake.setblocking(False)
        self._waker.setblocking(False)
        self.watch(self._wake.fileno(), self._drain)

    def watch(self, descriptor: int, ready: Callable[[], None]) -> None:
        """Replaces an earlier watch of a descriptor that was closed and given out again."""
        self.unwatch(descriptor)
        self._selector.register(descriptor, selectors.EVENT_READ, ready)

    def unwatch(self, descriptor: int) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(descriptor)

    def post(self, item: T) -> None:
        self._put(item)

    def _put(self, item: T | _Broken) -> None:
        self._posted.put(item)
        # A full pipe means that the loop is being woken already.
        with contextlib.suppress(BlockingIOError):
            self._waker.send(b"\0")

    def work(self, name: str, job: Callable[[], T]) -> None:
        """Run job in a thread of its own, an idle one if there is any, and post what it returns.

        What a job raises is a bug, and `wait` raises it: an agent that ends is started again and fences, one
        that waits for ever for an answer does not.
        """
        if self._idle:
            self._idle.pop().put(job)
            return
        jobs: SimpleQueue[Callable[[], T]] = SimpleQueue()
        jobs.put(job)
        threading.Thread(target=self._serve, args=(jobs,), name=name, daemon=True).start()

    def _serve(self, jobs: SimpleQueue[Callable[[], T]]) -> None:
        """One thread; as many are started as jobs ran at once, and few of them wait for more."""
        while True:
            job = jobs.get()
            answer: T | _Broken
            try:
                answer = job()
            except Exception as error:
                answer = _Broken(error)
            stays = len(self._idle) < MOST_IDLE
            if stays:
                self._idle.append(jobs)
            self._put(answer)
            if not stays:
                return

    def wait(self, seconds: float) -> list[T]:
        """Serve what is ready, at the latest after `seconds`; returns what was posted."""
        for key, _ in self._selector.select(max(0.0, seconds)):
            key.data()
        posted: list[T] = []
        with contextlib.suppress(Empty):
            while True:
                item = self._posted.get_nowait()
                if isinstance(item, _Broken):
                    raise item.error
                posted.append(item)
        return posted

    def close(self) -> None:
        self._selector.close()
        self._wake.close()
        self._waker.close()

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wake.recv(4096):
                pass
