"""Where the target takes connections: on every link. Who is served how is the purpose's business.

Only the enrolled peer gets this far (wire.py). While reception is paused, it is told why.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Mapping

from hsorch.errors import HsorchError
from hsorch.node.replication.folders import likeness
from hsorch.node.replication.messages import Hello, Refused, foreign
from hsorch.node.replication.setup import Setup
from hsorch.node.replication.tls import Keys
from hsorch.node.replication.wire import Broken, Channel, Listener

HELLO_S = 10.0
AGAIN_S = 1.0

Serve = Callable[[Channel, Hello], None]
"""Returns, or raises Broken, OSError or HsorchError, when the channel is of no more use."""


class Reception:
    """Listening when made; nobody is served before open()."""

    def __init__(self, setup: Setup, keys: Keys) -> None:
        """Raises OSError when no link's address can be listened on."""
        self._port = setup.port
        self._keys = keys
        self._folders = likeness(setup.ordered)
        self._serve: Mapping[str, Serve] = {}
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._listeners: dict[str, Listener] = {}
        self._channels: set[Channel] = set()
        self._paused = ""
        addresses = [road.address for road in setup.roads]
        faults = [fault for address in addresses if (fault := self._listen(address)) is not None]
        if not self._listeners:
            raise faults[0]
        for address in addresses:
            threading.Thread(target=self._accept, args=(address,), name="listener", daemon=True).start()

    def open(self, serve: Mapping[str, Serve]) -> None:
        """serve: by Hello.purpose."""
        self._serve = serve

    def pause(self, why: str) -> None:
        """Nothing is taken until `why` is empty; who is connected is sent away. Idempotent."""
        self._paused = why
        if why:
            self._hang_up()

    def stop(self) -> None:
        self._closed.set()
        with self._lock:
            for listener in self._listeners.values():
                listener.close()
        self._hang_up()

    def _hang_up(self) -> None:
        with self._lock:
            channels = list(self._channels)
        for channel in channels:
            channel.close()

    def _listen(self, address: str) -> OSError | None:
        try:
            listener = Listener(address, self._port, self._keys)
        except OSError as error:
            return error
        with self._lock:
            self._listeners[address] = listener
            if self._closed.is_set():
                listener.close()
        return None

    def _accept(self, address: str) -> None:
        """An address that is not there yet (its link is down) is tried again."""
        while not self._closed.is_set():
            listener = self._listeners.get(address)
            if listener is None:
                self._closed.wait(AGAIN_S)
                self._listen(address)
                continue
            with contextlib.suppress(Broken):
                caller = listener.wait(1.0)
                if caller is not None:
                    meet = threading.Thread(
                        target=self._meet, args=(listener, caller), name="meet", daemon=True
                    )
                    meet.start()

    def _meet(self, listener: Listener, caller: socket.socket) -> None:
        """Strangers that say nothing keep nobody waiting."""
        try:
            channel = listener.greet(caller)
        except Broken:
            return
        with self._lock:
            self._channels.add(channel)
        try:
            with contextlib.suppress(Broken, OSError, HsorchError):  # the source was told, or is gone
                self._converse(channel)
        finally:
            with self._lock:
                self._channels.discard(channel)
            channel.release()

    def _converse(self, channel: Channel) -> None:
        frame = channel.receive(HELLO_S)
        if frame is None or not isinstance(frame.message, Hello):
            return
        serve = self._serve.get(frame.message.purpose)
        why = foreign(frame.message, self._folders) or self._paused
        if why or self._closed.is_set() or serve is None:
            channel.send(Refused(why=why or "this node does not take part now"))
            return
        serve(channel, frame.message)
