"""The two watchdogs that the core arms and disarms as one: the guard's instant and the kernel's switch.

The kernel's switch can be lost while the agent runs: a firewall that is reloaded flushes its rules. Then it
is made again, in a thread because that runs a program, and until it works the guard watches alone
(assurance `guard`). Nothing is decided here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from hsorch.node import clock
from hsorch.node.core.actions import Severity
from hsorch.node.events import EventLog
from hsorch.node.system.base import DeadMan
from hsorch.node.watch import Watch

RETRY_NS = 60 * clock.SECOND
"""Where the switch could not be made it is tried again after this."""
LOST = "the kernel has lost its dead-man switch: a firewall that was reloaded may have flushed its rules"


class Watchdogs:
    """Used by one thread; answers of the kernel take about 0.1 ms."""

    def __init__(self, watch: Watch, dead_man: DeadMan, addresses: Sequence[str], log: EventLog) -> None:
        """Makes the kernel's switch for these virtual addresses, without prefix."""
        self._watch = watch
        self._dead_man = dead_man
        self._addresses = addresses
        self._log = log
        self._wanted: Callable[[], bool] = lambda: True
        """What the kernel was told last: it is told again when the switch is new."""
        self._telling = threading.Lock()
        self._making = threading.Lock()
        self._at_work = False
        self.missing = dead_man.install(addresses)
        """Why the kernel has no switch; empty: it has."""
        self._retry_at = clock.now() + RETRY_NS

    def arm(self, until: int) -> None:
        """Effects end at `until` unless it is armed again."""
        self._watch.until = until
        self._tell(lambda: self._dead_man.arm(until))

    def release(self) -> None:
        """The right is exclusive: traffic passes without end."""
        self._tell(self._dead_man.open)
        self._watch.until = 0

    def block(self) -> None:
        """No effect is left: nothing to watch, and nothing passes."""
        self._tell(self._dead_man.block)
        self._watch.until = 0

    def protect(self, addresses: Sequence[str]) -> None:
        """Other virtual addresses from now on."""
        if addresses != self._addresses:
            self._addresses = addresses
            self._make()

    def remove(self) -> None:
        with self._making:
            self._dead_man.remove()

    def _tell(self, order: Callable[[], bool]) -> None:
        with self._telling:
            self._wanted = order
            taken = order()
        if taken or self._at_work or (self.missing and clock.now() < self._retry_at):
            return
        if not self.missing:
            self.missing = LOST
            self._log.add(Severity.ALARM, "dead_man_lost", LOST, code="HS662")
        self._make()

    def _make(self) -> None:
        self._at_work = True
        threading.Thread(target=self._install, name="dead-man", daemon=True).start()

    def _install(self) -> None:
        with self._making:
            missing = self._dead_man.install(self._addresses)
            with self._telling:
                if not missing and not self._wanted():
                    missing = LOST
            if self.missing and not missing:
                self._log.add(Severity.INFO, "dead_man_restored", "the kernel's dead-man switch works again")
            self.missing, self._retry_at, self._at_work = missing, clock.now() + RETRY_NS, False
