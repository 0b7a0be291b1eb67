"""The port for the runtime's own processes: one of each, watched, favoured, and who is on the other end.

Resources have their own port (base.py); nothing here touches what the group runs.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from hsorch.errors import NodeError


def host() -> Host:
    """This machine's. Raises NodeError HS650 where the runtime does not work yet."""
    if sys.platform != "linux":
        raise NodeError(
            f"the runtime does not work on {sys.platform}",
            hint="protect Linux machines, or wait for the release that carries this system",
            code="HS650",
        )
    from hsorch.node.system.linux.host import LinuxHost

    return LinuxHost()


class Lock(Protocol):
    """Held until closed or until the process ends, however it ends."""

    def close(self) -> None: ...


class Watched(Protocol):
    """A process that cannot be confused with a later one of the same number."""

    pid: int

    def fileno(self) -> int:
        """Readable once the process has ended."""

    def ended(self) -> bool: ...

    def exit_code(self) -> int | None:
        """None: still running, or not our child and so unknown. Negative: the signal that ended it."""

    def terminate(self) -> None:
        """Ask it to end; no error when it is gone."""

    def kill(self) -> None: ...

    def wait(self, seconds: float) -> bool:
        """True when it has ended by then."""

    def close(self) -> None: ...


class Host(Protocol):
    def lock(self, path: Path) -> Lock | None:
        """Take the pid file for this process; None: a live process has it (see locked_by)."""

    def locked_by(self, path: Path) -> int:
        """pid of the live process that holds it; 0: nobody."""

    def spawn(self, argv: Sequence[str]) -> Watched:
        """A child in a session of its own, with nothing on its standard input. Raises OSError."""

    def watch(self, pid: int) -> Watched | None:
        """None: no such process; 0 is none (locked_by)."""

    def favour(self, priority: int) -> list[str]:
        """Real-time priority (not inherited), memory kept in RAM, last to be killed when memory runs out.

        Best effort; returns what the system did not grant.
        """

    def peer(self, connection: socket.socket) -> tuple[int, int]:
        """(user id, pid) of a local client."""

    def may_operate(self, user_id: int) -> bool:
        """The super-user and the agent's own user."""

    def port_owner(self, port: int) -> str:
        """Who listens on this UDP port, for people; empty when it cannot be seen."""
