"""How the source reaches its standby: by the data link, by a spare one while that is down, and back again."""

from __future__ import annotations

import contextlib
import threading

from hsorch.node.replication.setup import Road, Setup
from hsorch.node.replication.tls import Keys
from hsorch.node.replication.wire import Broken, Channel, connect

CONNECT_S = 3.0
LOOK_S = 2.0
STEADY = 3
"""So many looks in a row must find the data link healthy before the data go back to it: it may flap."""


class Roads:
    """dial() from any thread; close() ends the thread that looks after the preferred link."""

    def __init__(self, setup: Setup, keys: Keys, *, look_s: float = LOOK_S) -> None:
        self._roads, self._port = setup.roads, setup.port
        self._keys = keys
        self._look_s = look_s
        self._lock = threading.Lock()
        self._at = 0
        """The road that worked last."""
        self._open: list[tuple[Channel, int]] = []
        """With the number of the road that each takes."""
        self._closed = threading.Event()
        threading.Thread(target=self._look_back, name="roads", daemon=True).start()

    def change(self, setup: Setup) -> None:
        """Who uses a channel dials again, over the roads that there are now."""
        with self._lock:
            if (setup.roads, setup.port) == (self._roads, self._port):
                return
            self._roads, self._port, self._at = setup.roads, setup.port, 0
            before, self._open = self._open, []
        for channel, _ in before:
            channel.close()

    @property
    def link(self) -> str:
        """The link that is used now, or will be tried first."""
        return self._roads[self._at].link

    def dial(self) -> Channel:
        """Over the road that worked last, else the next one. Raises Broken: over none."""
        roads, start, faults = self._roads, self._at, []
        for step in range(len(roads)):
            number = (start + step) % len(roads)
            try:
                channel = self._connect(roads[number])
            except Broken as fault:
                faults.append(str(fault))
                continue
            with self._lock:
                if roads is not self._roads:
                    channel.close()
                    raise Broken("the links have changed meanwhile")
                self._at = number
                self._open = [(c, n) for c, n in self._open if not c.closed]
                self._open.append((channel, number))
            return channel
        raise Broken("; ".join(faults))

    def stop(self) -> None:
        self._closed.set()

    def _connect(self, road: Road) -> Channel:
        return connect(road.peer, self._port, self._keys, local=road.address, timeout_s=CONNECT_S)

    def _look_back(self) -> None:
        healthy = 0
        while not self._closed.wait(self._look_s):
            healthy = healthy + 1 if self._at and self._preferred_works() else 0
            if healthy < STEADY:
                continue
            with self._lock:
                self._at, spare = 0, [channel for channel, number in self._open if number]
            for channel in spare:
                channel.close()  # whoever uses it dials again

    def _preferred_works(self) -> bool:
        with contextlib.suppress(Broken):
            self._connect(self._roads[0]).release()
            return True
        return False
