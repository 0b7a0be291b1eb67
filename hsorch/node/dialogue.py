"""What the agent says to its replicator and when, and what the core gets to hear: without threads or sockets.

The one order that weakens a promise, `thaw`, is given only after the core was told that flushes are not
guarded. What the replicator was asked before an order was given counts no more: it may say how things were.
"""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import structs

from hsorch.node.core import data_rules, facts
from hsorch.node.core.state import NEVER, State
from hsorch.node.core.types import DataChanged, DataState, Epoch, Image, Instant
from hsorch.verbs import DataReport

UNTOLD = (-1, 0)
"""An epoch below every real one."""


@dataclass(frozen=True)
class Heard:
    """What the replicator said, in which round it was asked, and when it answered. None: nothing yet."""

    round: int = 0
    report: DataReport | None = None
    at: Instant = NEVER
    true_at: Instant = NEVER
    """What the report says was so then, or later."""


class Dialogue:
    """`turn` comes before the core hears the news, `confirm` after it; `order` is what to do next."""

    def __init__(self) -> None:
        self.round = 0
        self.order = ""
        """`target`, `abort`, `thaw`, `reload` or `epoch`; taken by whoever carries it out."""
        self.epoch = UNTOLD
        """In whose name the replicator was told to speak last."""
        self.revision = -1
        """Of the spec that the replicator was last told of: what it reads was written anew then."""
        self._told = DataChanged(state=DataState.UNKNOWN)
        self._starts = 0

    def turn(self, state: State, heard: Heard, now: Instant) -> DataChanged | None:
        """What the core must hear, if anything."""
        if state.data_starts != self._starts:
            self._starts, self._told = state.data_starts, DataChanged(state=DataState.UNKNOWN)
            self.round += 1
        if heard.round < self.round:
            return None
        seen = heard.report if now - heard.at < data_rules.FRESH else None
        if seen is not None and not self.order:
            self._direct(state, seen)
        said = _said(seen)
        if self.order == "epoch" or _epoch(state) > self.epoch:
            # The stream is opened anew in the name of this epoch. Until it stands a move would be refused, so
            # the pair is not called protected: an operator who read that must not be told something else.
            said = structs.replace(said, followed=False, image=structs.replace(said.image, level=False))
        if seen is not None and _may_thaw(state, seen):
            said = structs.replace(said, guarded=False)
        if said == self._told:
            return None
        self._told = said
        return said

    def confirm(self, state: State, heard: Heard) -> None:
        """The core has heard that nothing is guarded; is it exclusive still, flushes may go on alone."""
        if heard.round < self.round or heard.report is None or self._told.guarded:
            return
        if _may_thaw(state, heard.report):
            self._ask_for("thaw")

    def failed(self, order: str) -> None:
        """Refused or not heard: what the replicator has to know is told again."""
        if order == "epoch":
            self.epoch = UNTOLD
        elif order == "reload":
            self.revision = -1

    def _direct(self, state: State, seen: DataReport) -> None:
        """Where the group is off, who was the source is none any more; who does not hold it follows. A holder
        that is off stays the one that wrote last: it may go on."""
        if state.spec.revision != self.revision:
            self.revision = state.spec.revision
            self._told = DataChanged(state=DataState.UNKNOWN)
            self._ask_for("reload")
            return
        off, holder = not facts.acting(state), facts.is_holder(state)
        if state.durable.config.epoch.major < 0:
            return  # it forgot who holds the group: what it wrote last may be the newest
        if off and holder and seen.role == "source":
            self._ask_for("abort")
        elif off and not holder and seen.role != "target":
            self._ask_for("target")
        elif _epoch(state) > self.epoch:
            self.epoch = _epoch(state)
            self._ask_for("epoch")

    def _ask_for(self, order: str) -> None:
        self.round += 1
        self.order = order


def _epoch(state: State) -> tuple[int, int]:
    epoch = state.durable.config.epoch
    return epoch.major, epoch.minor


def _may_thaw(state: State, seen: DataReport) -> bool:
    waits = seen.role == "source" and seen.guarded and not seen.connected
    return waits and data_rules.may_write_alone(state)


def _said(seen: DataReport | None) -> DataChanged:
    if seen is None:
        return DataChanged(state=DataState.UNKNOWN)
    return DataChanged(
        state=DataState(seen.state),
        guarded=seen.guarded,
        followed=seen.followed,
        epoch=Epoch(*seen.epoch),
        image=Image(
            generation=seen.generation,
            ancestors=seen.ancestors,
            lsn=seen.lsn,
            source=seen.wrote_last,
            flows=seen.connected,
            level=seen.level,
            behind_bytes=seen.lag_bytes,
            behind_ms=seen.lag_ms,
        ),
    )
