"""Between the agent and its replicator: orders go one way, what the data are like comes back.

A thread of its own asks, because the replicator may be slow; nothing here can delay a heartbeat. The one
order that weakens a promise, `thaw`, is given only after the core was told that flushes are not guarded.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import msgspec
from msgspec import structs

from hsorch.errors import HsorchError
from hsorch.node import control
from hsorch.node.core import facts, rules
from hsorch.node.core.state import State
from hsorch.node.core.types import DataChanged, DataState
from hsorch.node.paths import Paths
from hsorch.node.replication.orders import Drained, DrainInput, ReplicationStatus, RoleInput
from hsorch.verbs import DataReport, LimitReport

ASK_EVERY_S = 0.25
STATUS_WITHIN_S = 2.0
ORDER_WITHIN_S = 30.0
NEAR_BYTES = 1024 * 1024
"""A queue shorter than this is on its way."""
SILENT = 8
"""Questions in a row without an answer until nothing is known of the data any more."""


@dataclass
class Authority:
    """In whose name this node speaks to its replicator; the agent keeps it up to date."""

    epoch: tuple[int, int] = (0, 0)
    alone: bool = False


class Door:
    """The replicator's local socket. Implements hsorch.node.resource.data.Replicator."""

    def __init__(self, paths: Paths, authority: Authority) -> None:
        self._paths = paths
        self._authority = authority
        self._drained = False
        self._guarded_at = 0

    def status(self) -> DataReport:
        return self._report(self._ask("status", None, STATUS_WITHIN_S))

    def order(self, verb: str, limit_s: float) -> DataReport:
        """source, target, release, abort or thaw. Raises NodeError, RefusedError."""
        match verb:
            case "source":
                self._drained, self._guarded_at = False, 0
                self._role(RoleInput(role="source", alone=self._authority.alone), limit_s)
                # A standby that can't follow as it is gets everything anew; what it had is set aside there.
                return self._report(self._ask("resync", None, STATUS_WITHIN_S))
            case "target":
                self._drained = False
                return self._role(RoleInput(role="target", force=True), limit_s)
            case "abort":
                return self._role(RoleInput(role="none", force=True), limit_s)
            case "thaw":
                return self._report(self._ask("thaw", None, limit_s))
        return self._release(limit_s)

    def _release(self, limit_s: float) -> DataReport:
        """Everything above is stopped by now, so nothing is written any more."""
        wanted = DrainInput(limit_s=limit_s / 2)
        body = msgspec.json.encode(wanted)
        self._drained = control.ask_replicator(self._paths, "drain", body, Drained, limit_s).ok
        return self._role(RoleInput(role="none"), limit_s / 2)

    def _role(self, wanted: RoleInput, limit_s: float) -> DataReport:
        return self._report(self._ask("role", wanted, limit_s))

    def _ask(self, verb: str, body: msgspec.Struct | None, limit_s: float) -> ReplicationStatus:
        data = b"{}" if body is None else msgspec.json.encode(body)
        return control.ask_replicator(self._paths, verb, data, ReplicationStatus, max(0.1, limit_s))

    def _report(self, seen: ReplicationStatus) -> DataReport:
        source = seen.role == "source"
        mirroring = seen.mirroring or (seen.role == "target" and seen.connected and not seen.consistent)
        phase = "mirror" if mirroring else "live" if seen.connected else "connecting"
        return DataReport(
            role=seen.role,
            state=_state(seen),
            phase="stopped" if seen.role == "none" else "behind" if seen.behind else phase,
            connected=seen.connected,
            mounted=source,
            guarded=self._is_guarded(seen),
            frozen=seen.frozen,
            followed=self._drained if seen.role == "none" else _is_followed(seen),
            generation=f"{seen.generation:016x}" if seen.generation else "",
            lsn=seen.lsn,
            speed=seen.speed,
            sent_bytes=seen.copied,
            queue_bytes=seen.queue,
            left_bytes=seen.dirty,
            lag_bytes=seen.queue if source else -1,
            lag_ms=seen.lag_ms if source else -1,
            troubles=_troubles(seen),
        )

    def _is_guarded(self, seen: ReplicationStatus) -> bool:
        """Flushes that were answered before the gate shut count only once the standby holds them, too."""
        if seen.role != "source" or seen.mode == "none" or not seen.guarded:
            self._guarded_at = 0
            return False
        self._guarded_at = self._guarded_at or seen.lsn
        return seen.applied >= self._guarded_at or not seen.connected


def _state(seen: ReplicationStatus) -> str:
    if seen.role == "source":
        return "complete"
    if seen.role == "none" or seen.fault or not (seen.consistent or seen.generation):
        return "unknown"
    if not seen.consistent:
        return "inconsistent"
    return "logical" if seen.mode == "none" else "complete"


def _is_followed(seen: ReplicationStatus) -> bool:
    level = seen.connected and not seen.mirroring and not seen.behind
    return seen.role == "source" and level and seen.applied > 0 and seen.queue < NEAR_BYTES


def _troubles(seen: ReplicationStatus) -> tuple[LimitReport, ...]:
    found = []
    if seen.fault:
        found.append(LimitReport(code="HS618", message=seen.fault, hint="See to the disk it names."))
    if seen.role != "none" and not seen.connected:
        message = f"The data do not flow: {seen.state}."
        found.append(LimitReport(code="HS619", message=message, hint="See to the other node and the link."))
    return tuple(found)


@dataclass(frozen=True)
class _Answer:
    """What the replicator said, and in which round it was asked. report None: it does not answer."""

    round: int
    report: DataReport | None


class DataDriver:
    """`turn` and `confirm` belong to the agent's loop; the thread alone speaks to the replicator."""

    def __init__(self, door: Door, authority: Authority) -> None:
        self._door = door
        self._authority = authority
        self._lock = threading.Lock()
        self._round = 0
        self._order = ""
        self._answer = _Answer(0, None)
        self._told = DataChanged(state=DataState.UNKNOWN)
        self._ended = threading.Event()

    @property
    def report(self) -> DataReport | None:
        return self._answer.report

    def start(self) -> None:
        threading.Thread(target=self._run, name="data", daemon=True).start()

    def stop(self) -> None:
        self._ended.set()

    def turn(self, state: State) -> DataChanged | None:
        """Once a turn of the loop: what the core must hear, if anything, before `confirm` is called."""
        config = state.durable.config
        self._authority.epoch = (config.epoch.major, config.epoch.minor)
        self._authority.alone = rules.may_write_alone(state)
        answer = self._answer
        if answer.round < self._round:
            return None
        seen = answer.report
        if seen is not None and not facts.acting(state) and _is_to_follow(state, seen):
            self._ask_for("target")
        said = _said(seen)
        if seen is not None and _may_thaw(state, seen):
            said = structs.replace(said, guarded=False)
        if said == self._told:
            return None
        self._told = said
        return said

    def confirm(self, state: State) -> None:
        """The core has heard that nothing is guarded; is it exclusive still, flushes may go on alone."""
        answer = self._answer
        if answer.round < self._round or answer.report is None or self._told.guarded:
            return
        if _may_thaw(state, answer.report):
            self._ask_for("thaw")

    def _ask_for(self, order: str) -> None:
        """Answers to what was asked before count no more."""
        with self._lock:
            self._round += 1
            self._order = order

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        silent = 0
        while not self._ended.wait(0 if self._order else ASK_EVERY_S):
            with self._lock:
                asked, order = self._round, self._order
                self._order = ""
            try:
                report = self._door.order(order, ORDER_WITHIN_S) if order else self._door.status()
            except HsorchError:
                # Refused or not heard: the next plain question tells how things stand.
                silent += 1
                if silent >= SILENT:
                    self._answer = _Answer(asked, None)
                continue
            silent = 0
            self._answer = _Answer(asked, report)


def _is_to_follow(state: State, seen: DataReport) -> bool:
    """The group is off here: whoever was the source is none any more, and who holds nothing follows."""
    return seen.role == "source" or (seen.role == "none" and not facts.is_holder(state))


def _may_thaw(state: State, seen: DataReport) -> bool:
    return seen.role == "source" and seen.guarded and not seen.connected and rules.may_write_alone(state)


def _said(seen: DataReport | None) -> DataChanged:
    if seen is None:
        return DataChanged(state=DataState.UNKNOWN)
    return DataChanged(
        state=DataState(seen.state),
        guarded=seen.guarded,
        followed=seen.followed,
        behind_bytes=seen.lag_bytes,
        behind_ms=seen.lag_ms,
    )
