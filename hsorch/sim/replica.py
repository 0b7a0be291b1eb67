"""The replicator of one node in the virtual world: what it holds, the part it plays, what it says.

Data are numbered writes in order. What the parts may do is as in hsorch.node.replication; what two of them do
when they meet is decided by the very code of the node (generations.py). The stream between them is stream.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hsorch.node.data_report import report_of
from hsorch.node.replication.generations import Lineage, begin, go_on_alone, reached
from hsorch.node.replication.orders import ReplicationStatus, Role
from hsorch.sim.clock import MS
from hsorch.verbs import DataReport

if TYPE_CHECKING:
    from hsorch.sim.machine import Machine


@dataclass(slots=True)
class ReplicaDisk:
    """What survives a power loss."""

    writes: list[int] = field(default_factory=list)
    lineage: Lineage = field(default_factory=Lineage)
    was: Role = "none"
    consistent: bool = False
    guarded: bool = False
    """As source: flushes wait for the standby. As target: the source says so."""
    promised: bool = False
    """As target: as source, before, it had promised so."""
    epoch: tuple[int, int] = (0, 0)
    quarantine: list[int] = field(default_factory=list)


class Replica:
    """A process of its own: it goes on when the agent stands still, and is gone with the power."""

    def __init__(self, machine: Machine, complete: bool) -> None:
        self.machine = machine
        self.complete = complete
        """Flushes are to wait for the standby."""
        self.disk = ReplicaDisk()
        self.role: Role = "none"
        self.runs = True
        self.held = False
        """Somebody has files of its folders open: it is not made a target."""
        self.open = True
        """As source: flushes are answered without the standby."""
        self.part = 0
        """Counts the parts it played."""
        self.connected = False
        self.mirroring = False
        self.unguarding = False
        """As source: the standby knows that it is not complete, its agent may not."""
        self.acked = 0
        """As source: how far the standby's disk holds the writes."""
        self.refused = ""
        self.drained = False

    @property
    def lsn(self) -> int:
        return len(self.disk.writes)

    @property
    def works(self) -> bool:
        return self.runs and self.machine.powered and not self.machine.still

    def status(self) -> ReplicationStatus:
        disk, source = self.disk, self.role == "source"
        level = source and self.connected and not self.mirroring
        queue = self.lsn - self.acked if source else 0
        return ReplicationStatus(
            role=self.role, was=disk.was, state="", mode="durable" if self.complete else "none",
            connected=self.connected, consistent=disk.consistent, blank=disk.lineage.blank,
            mirroring=self.mirroring,
            guarded=disk.guarded and (self.role != "source" or not self.open), level=level, queue=queue,
            lag_ms=self._lag_ms() if queue else 0, generation=disk.lineage.current,
            ancestors=tuple(fork.generation for fork in disk.lineage.ancestors()), lsn=self.lsn,
            epoch=disk.epoch,
        )  # fmt: skip

    def report(self) -> DataReport:
        return report_of(self.status(), drained=self.drained)

    def _lag_ms(self) -> int:
        first = self.disk.writes[self.acked] if self.acked < self.lsn else self.disk.writes[-1]
        world = self.machine.world
        return (world.now - world.data.judge.written_at.get(first, 0)) // MS if world.data else 0

    # ---------------------------------------------------------------------------------------- orders

    def become_source(self, *, alone: bool, epoch: tuple[int, int]) -> None:
        disk = self.disk
        lineage = disk.lineage
        if not lineage.current:
            lineage = begin(self._new_generation())
        elif alone or disk.was == "target":
            lineage = go_on_alone(lineage, self._new_generation(), self.lsn)
        told = disk.promised or (disk.guarded and disk.was == "source")
        guarded = told and not alone and self.complete
        self.role, disk.was, disk.lineage, disk.consistent = "source", "source", lineage, True
        disk.epoch, disk.guarded, self.open = max(disk.epoch, epoch), guarded, not guarded
        disk.promised = False
        self.part += 1
        self.acked, self.drained, self.refused = 0, False, ""

    def become_target(self, *, epoch: tuple[int, int]) -> None:
        if self.role == "target" or self.held:
            return
        self._let_go()
        disk = self.disk
        was_source = disk.was == "source"
        disk.promised = disk.promised or (disk.guarded and was_source)
        disk.guarded = disk.guarded and not was_source
        self.role, disk.was, disk.epoch = "target", "target", max(disk.epoch, epoch)
        self.drained = False

    def release(self) -> bool:
        """Ends the part once the standby has everything; False: not yet."""
        level = self.connected and not self.mirroring and self.acked == self.lsn
        if self.role != "source" or not level:
            return False
        self._let_go()
        self.drained = True
        return True

    def abort(self) -> None:
        """Fenced, or without power: nothing is promised any more."""
        self._let_go()
        self.drained = False

    def thaw(self) -> None:
        """Only with no standby connected; a line of writes of its own begins before any flush is answered."""
        if self.role == "source" and not self.connected:
            self.disk.lineage = go_on_alone(self._lineage(), self._new_generation(), self.lsn)
            self.disk.guarded, self.open = False, True

    def authorize(self, epoch: tuple[int, int]) -> None:
        self.disk.epoch = max(self.disk.epoch, epoch)

    def write(self, number: int) -> bool:
        """A write that is flushed. True: it may be confirmed at once."""
        self.disk.writes.append(number)
        return self.open

    def ended_lineage(self) -> Lineage:
        return self._lineage()

    def _lineage(self) -> Lineage:
        return reached(self.disk.lineage, self.lsn)

    def _let_go(self) -> None:
        self.disk.lineage = self._lineage()
        self.part += 1
        self.role, self.connected, self.mirroring, self.unguarding = "none", False, False, False

    def _new_generation(self) -> int:
        world = self.machine.world
        assert world.data is not None
        return world.data.new_generation()
