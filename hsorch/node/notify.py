"""Talk to the service manager that started us, where there is one: systemd's sd_notify(3) protocol.

Without NOTIFY_SOCKET every call does nothing.
"""

from __future__ import annotations

import contextlib
import os
import socket


class ServiceManager:
    def __init__(self) -> None:
        address = os.environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        microseconds = int(os.environ.get("WATCHDOG_USEC", "0"))
        self._every = microseconds * 1000 // 3
        self._last = 0

    @property
    def present(self) -> bool:
        return bool(self._address)

    def ready(self) -> None:
        self._tell("READY=1")

    def stopping(self) -> None:
        self._tell("STOPPING=1")

    def alive(self, now: int) -> None:
        """Feed the manager's own watchdog, when the unit has one."""
        if self._every and now - self._last >= self._every:
            self._last = now
            self._tell("WATCHDOG=1")

    def _tell(self, text: str) -> None:
        if not self._address:
            return
        # A manager that does not listen must not stop the guard.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.setblocking(False)
            channel.sendto(text.encode(), self._address)
