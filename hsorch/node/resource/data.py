"""The group's replicated data as a resource: the replicator does the work, this tells it when.

Started, this node is the source and the folders are mounted; stopped, the peer has everything and the folders
are bare. What stands on it writes through the mounts, so it is the first to start and the last to stop.
"""

from __future__ import annotations

from typing import Protocol

from hsorch.errors import NodeError
from hsorch.node.resource.call import Call, Note
from hsorch.node.resource.records import Record
from hsorch.spec import Data
from hsorch.verbs import DataReport


class Replicator(Protocol):
    """The replicator of this node. All raise NodeError."""

    def status(self) -> DataReport: ...

    def order(self, verb: str, limit_s: float) -> DataReport:
        """`source`, `release` or `abort`; returns when it is done."""


class DataKind:
    """Implements hsorch.node.resource.call.Kind for Data."""

    def __init__(self, replicator: Replicator) -> None:
        self._replicator = replicator

    def start(self, call: Call, resource: Data) -> Note:
        with call.effect():
            call.records.put(Record(name=call.name, kind="data"))
        # Not inside the effect: finishing what is spooled may take long. A fence cuts the mounts in any case,
        # and what comes up after it is an old word that the next order overrules.
        seen = self._replicator.order("source", call.deadline.left())
        return Note(f"source of generation {seen.generation} at {seen.lsn}")

    def stop(self, call: Call, resource: Data) -> Note:
        """Raises NodeError HS616: the peer lacks something, so this is no stop to hand over on."""
        seen = self._replicator.order("release", call.deadline.left())
        if not seen.followed:
            raise NodeError(
                f"{call.name}: {seen.queue_bytes} bytes did not reach the peer",
                hint="let the peer come back; until then only this node has all of the data",
                code="HS616",
            )
        call.records.drop(call.name)
        return Note(f"the peer has everything up to {seen.lsn}")

    def kill(self, call: Call, resource: Data) -> Note:
        """Without the replicator's help if need be: it may be what hangs."""
        said = "the replicator let go"
        try:
            self._replicator.order("abort", call.deadline.left() / 2)
        except NodeError as error:
            said = error.message
        cut, faults = call.system.mounts.cut(folders(call))
        if faults:
            raise call.ran_out("; ".join(faults))
        call.records.drop(call.name)
        return Note(f"{said}; {len(cut)} mounts cut")

    def check(self, call: Call, resource: Data) -> Note:
        seen = self._replicator.status()
        if seen.role != "source" or not seen.mounted:
            raise NodeError(
                f"{call.name}: the replicator is {seen.role} and the folders are "
                f"{'mounted' if seen.mounted else 'not mounted'}",
                hint="it is started again by itself; the events of this node tell what happened",
                code="HS617",
            )
        return Note(seen.phase)


def folders(call: Call) -> list[str]:
    """Every bound folder; only ordered ones are ever mounted over."""
    replication = call.spec.replication
    return [binding.path for binding in replication.bindings] if replication is not None else []
