"""Between the agent and its replicator: orders go one way, what the data are like comes back.

A thread of its own asks, because the replicator may be slow; nothing here can delay a heartbeat. What is said
and when is dialogue.py's business.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import msgspec
from msgspec.structs import replace

from hsorch.errors import HsorchError
from hsorch.node import clock, control
from hsorch.node.core import data_rules
from hsorch.node.core.state import State
from hsorch.node.core.types import DataChanged
from hsorch.node.data_report import report_of
from hsorch.node.dialogue import Dialogue, Heard
from hsorch.node.paths import Paths
from hsorch.node.replication.orders import Drained, DrainInput, EpochInput, ReplicationStatus, Role, RoleInput
from hsorch.verbs import DataReport

ASK_EVERY_S = 0.25
STATUS_WITHIN_S = 2.0
ORDER_WITHIN_S = 30.0
SILENT_NS = 2 * clock.SECOND
"""After so long without an answer there is nothing to report any more."""


@dataclass
class Authority:
    """In whose name this node speaks to its replicator; the agent keeps it up to date."""

    epoch: tuple[int, int] = (0, 0)
    alone: bool = False


class Door:
    """The replicator's local socket. Implements hsorch.node.resource.data.Replicator."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self.authority = Authority()
        self._drained = False

    def status(self) -> DataReport:
        return self._report(self._ask("status", None, STATUS_WITHIN_S))

    def order(self, verb: str, limit_s: float) -> DataReport:
        """source, target, release, abort, thaw, reload or epoch. Raises NodeError, RefusedError."""
        match verb:
            case "source":
                self._drained = False
                return self._role("source", limit_s, alone=self.authority.alone)
            case "target":
                self._drained = False
                return self._role("target", limit_s, force=True)
            case "abort":
                return self._role("none", limit_s, force=True)
            case "thaw" | "reload":
                return self._report(self._ask(verb, None, limit_s))
            case "epoch":
                epoch = EpochInput(epoch=self.authority.epoch)
                return self._report(self._ask("authority", epoch, limit_s))
        return self._release(limit_s)

    def _release(self, limit_s: float) -> DataReport:
        """Everything above is stopped by now, so nothing is written any more."""
        wanted = DrainInput(limit_s=limit_s / 2)
        body = msgspec.json.encode(wanted)
        drained = control.ask_replicator(self._paths, "drain", body, Drained, limit_s)
        self._drained = drained.ok
        return msgspec.structs.replace(self._role("none", limit_s / 2), queue_bytes=drained.lacks)

    def _role(self, role: Role, limit_s: float, *, alone: bool = False, force: bool = False) -> DataReport:
        wanted = RoleInput(role=role, alone=alone, force=force, epoch=self.authority.epoch)
        return self._report(self._ask("role", wanted, limit_s))

    def _ask(self, verb: str, body: msgspec.Struct | None, limit_s: float) -> ReplicationStatus:
        data = b"{}" if body is None else msgspec.json.encode(body)
        return control.ask_replicator(self._paths, verb, data, ReplicationStatus, max(0.1, limit_s))

    def _report(self, seen: ReplicationStatus) -> DataReport:
        return report_of(seen, drained=self._drained)


class DataDriver:
    """`turn` and `confirm` belong to the agent's loop; the thread alone speaks to the replicator."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._dialogue = Dialogue()
        self._lock = threading.Lock()
        self._heard = Heard()
        self._why: HsorchError | None = None
        self._ended = threading.Event()

    @property
    def report(self) -> DataReport | None:
        return self._heard.report

    def shown(self) -> DataReport | None:
        """The report as it stands now: the peer may lack as well what was written since."""
        heard = self._heard
        if heard.report is None or heard.report.lag_ms < 0:
            return heard.report
        age_ms = -(-(clock.now() - heard.true_at) // clock.MILLISECOND)
        return replace(heard.report, lag_ms=heard.report.lag_ms + age_ms)

    @property
    def why_unheard(self) -> HsorchError | None:
        """What the last question came to, where it brought no report."""
        return self._why

    def start(self) -> None:
        threading.Thread(target=self._run, name="data", daemon=True).start()

    def stop(self) -> None:
        self._ended.set()

    def turn(self, state: State) -> DataChanged | None:
        """Once a turn of the loop: what the core must hear, if anything, before `confirm` is called."""
        config = state.durable.config
        authority = self._door.authority
        authority.epoch = (config.epoch.major, config.epoch.minor)
        authority.alone = data_rules.may_write_alone(state)
        with self._lock:
            return self._dialogue.turn(state, self._heard, clock.now())

    def confirm(self, state: State) -> None:
        """The core has heard what `turn` said."""
        with self._lock:
            self._dialogue.confirm(state, self._heard)

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        while not self._ended.wait(0 if self._dialogue.order else ASK_EVERY_S):
            with self._lock:
                asked, order = self._dialogue.round, self._dialogue.order
                self._dialogue.order = ""
            begun = clock.now()
            try:
                report = self._door.order(order, ORDER_WITHIN_S) if order else self._door.status()
            except (HsorchError, OSError, msgspec.DecodeError) as error:
                # Refused, not heard or not understood: the next plain question tells how things stand.
                self._dialogue.failed(order)
                self._why = error if isinstance(error, HsorchError) else None
                if clock.now() - self._heard.at > SILENT_NS:
                    self._heard = Heard(asked, None, clock.now())
                continue
            now = clock.now()  # an order is answered once it is done
            self._heard, self._why = Heard(asked, report, now, now if order else begun), None
