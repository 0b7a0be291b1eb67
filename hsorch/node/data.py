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
from hsorch.verbs import DataOrder, DataReport

ASK_EVERY_S = 0.25
STATUS_WITHIN_S = 2.0
ORDER_WITHIN_S = 5.0
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

    def status(self) -> DataReport:
        return self.order("status", STATUS_WITHIN_S)

    def order(self, verb: str, limit_s: float, level: int = 0) -> DataReport:
        said = DataOrder(epoch=self._authority.epoch, alone=self._authority.alone, level=level)
        body = msgspec.json.encode(said)
        return control.ask_replicator(self._paths, verb, body, DataReport, max(0.1, limit_s))


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
        self._level = 0
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
            self._ask_for("thaw", answer.report.level)

    def _ask_for(self, order: str, level: int = 0) -> None:
        """Answers to what was asked before count no more."""
        with self._lock:
            self._round += 1
            self._order, self._level = order, level

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        silent = 0
        while not self._ended.wait(0 if self._order else ASK_EVERY_S):
            with self._lock:
                asked, order, level = self._round, self._order, self._level
                self._order = ""
            try:
                report = self._door.order(order, ORDER_WITHIN_S, level) if order else self._door.status()
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
