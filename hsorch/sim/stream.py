"""The data of the virtual world: a client that writes, and the stream between the two replicas.

A write is confirmed when the source says so, as a database confirms a commit. What must hold is judge.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hsorch.node.replication.generations import (
    MIRRORED,
    Meeting,
    adopted,
    meet,
    rejected,
    resync_began,
    resynced,
    selected,
)
from hsorch.node.replication.orders import HEARD_WITHIN_S
from hsorch.sim.clock import MS, SECOND
from hsorch.sim.judge import Judge
from hsorch.sim.replica import Replica

if TYPE_CHECKING:
    from hsorch.sim.machine import Machine
    from hsorch.sim.world import World

WRITE_EVERY = 40 * MS
RETRY = 250 * MS
HOP = 2 * MS
RESYNC = 300 * MS
NEAR = 64
"""A standby that lacks fewer writes is level enough to wait for."""
_SENDS = {Meeting.FIRST, *MIRRORED}


class DataWorld:
    def __init__(self, world: World, *, complete: bool) -> None:
        self.world = world
        self.complete = complete
        self.replicas = {name: Replica(m, complete) for name, m in world.machines.items()}
        self.cut = False
        """Only the data connection is down: heartbeats pass."""
        self.hop = HOP
        """A frame of the stream takes so long."""
        self.staged = bool(world.rng.getrandbits(1))
        """A resync is held back until it is whole; else it is applied as it comes."""
        self.resync = RESYNC
        self.judge = Judge(world, complete=complete)
        self._waiting = 0
        """Write that the client waits for; 0: none."""
        self._session = self._said_on = 0
        """The connection of now, and the one over which the standby was told last that it is complete."""
        self._generations = 0

    def start(self) -> None:
        self.world.timeline.after(RETRY, self._look)
        self.world.timeline.after(WRITE_EVERY, self._write)

    def new_generation(self) -> int:
        self._generations += 1
        return self._generations

    def agree(self, standby: str) -> bool:
        """The standby has everything that was confirmed, and would not be short of it."""
        follower = self.replicas[standby]
        whole = follower.connected and follower.disk.consistent
        return whole and (follower.disk.guarded or not self.complete)

    # -------------------------------------------------------------------------------- orders of a node

    def start_source(self, machine: Machine, *, alone: bool) -> str:
        """The group's data start on this node. What is wrong, or nothing: a torn image is refused."""
        replica = self.replicas[machine.name]
        if replica.disk.lineage.receiving and not replica.disk.consistent:
            return "no picture of one moment"
        self.judge.starts(replica)
        replica.become_source(alone=alone, epoch=(machine.epoch.major, machine.epoch.minor))
        self.judge.started(replica, self.replicas[self.world.peer[machine.name].name])
        self._break()
        return ""

    def damage(self, name: str, takes: int) -> None:
        """What the standby holds is no picture of one moment: a resync was begun there, and was cut off."""
        replica = self.replicas[name]
        other = self.replicas[self.world.peer[name].name]
        self.resync = takes
        self._break()
        if replica.role == "target" and other.role == "source" and other.works:
            disk = replica.disk
            disk.quarantine += _only_here(replica, other)
            disk.lineage = resync_began(disk.lineage, other.disk.lineage)
            disk.consistent = disk.guarded = False

    def thaw(self, replica: Replica) -> None:
        """The frozen flush is answered, too."""
        replica.thaw()
        self._answer_frozen(replica)

    def choose(self, winner: str) -> None:
        """An operator selects the source after a divergence; what the other side wrote is put away."""
        kept, lost = self.replicas[winner], self.replicas[self.world.peer[winner].name]
        self._break()
        kept.disk.lineage = selected(kept.ended_lineage(), self.new_generation())
        lost.disk.lineage = rejected(lost.ended_lineage(), kept.disk.lineage)
        lost.disk.quarantine += [w for w in lost.disk.writes if w not in kept.disk.writes]
        kept.refused = lost.refused = ""

    # ---------------------------------------------------------------------------------------- client

    def _write(self) -> None:
        self.world.timeline.after(WRITE_EVERY, self._write)
        machine = self.world.machines.get(self.world.client.served_by)
        if machine is None:
            self._waiting = 0
            return
        replica = self.replicas[machine.name]
        if replica.role != "source" or not replica.works:
            return
        if self._is_last(replica, self._waiting):
            self.judge.waits(self._waiting, machine.name)
            return
        self._waiting = number = self.judge.begins_write(replica)
        if replica.write(number):
            self._confirm()
        self._send(replica)

    def _is_last(self, replica: Replica, number: int) -> bool:
        return bool(number) and replica.disk.writes[-1:] == [number]

    def _answer_frozen(self, source: Replica) -> None:
        if source.open and self._is_last(source, self._waiting):
            self._confirm()

    def _confirm(self) -> None:
        self.judge.confirm(self._waiting)
        self._waiting = 0

    # ---------------------------------------------------------------------------------------- stream

    def passes(self) -> bool:
        """Frames of the data connection get through, over one link or another."""
        if self.cut:
            return False
        world = self.world
        names = tuple(world.machines)
        return any(all(not world.paths[link.name, name].cuts for name in names) for link in world.spec.links)

    def _look(self) -> None:
        """A connection that is dead is noticed; where there is none it is tried again."""
        self.world.timeline.after(RETRY, self._look)
        source = next((r for r in self.replicas.values() if r.role == "source" and r.works), None)
        connected = all(r.connected for r in self.replicas.values())
        if source is None:
            self._break()
            return
        target = self.replicas[self.world.peer[source.machine.name].name]
        if target.role != "target" or not target.works or not self.passes():
            self._break()
        elif not connected and not source.unguarding:
            self._meet(source, target)

    def _break(self) -> None:
        self._session += 1
        for replica in self.replicas.values():
            replica.connected = replica.mirroring = False

    def _meet(self, source: Replica, target: Replica) -> None:
        if source.disk.epoch < target.disk.epoch:
            self.world.note(target.machine.name, "refuses a source of an epoch that is over")
            return
        target.disk.epoch = source.disk.epoch
        verdict = meet(source.ended_lineage(), target.ended_lineage())
        prefix = source.disk.writes[: target.lsn] == target.disk.writes
        streams = verdict.meeting is Meeting.STREAM or (
            verdict.meeting is Meeting.SEND_DIRTY and target.lsn <= verdict.fork
        )
        if streams and prefix and target.disk.consistent:
            counted = 0 if source.open else source.acked
            same = source.disk.lineage.current == target.disk.lineage.current and target.lsn >= counted
            target.disk.guarded, target.disk.promised = target.disk.guarded and same, False
            self._connect(source, target)
            self._send(source)
        elif verdict.meeting in _SENDS:
            self._resync(source, target, verdict.rolled_back)
        else:
            source.refused = target.refused = verdict.meeting.value
            self.world.note(source.machine.name, "no stream", verdict.reason)

    def _connect(self, source: Replica, target: Replica) -> None:
        self._session += 1
        source.connected = target.connected = True
        source.acked = min(target.lsn, source.lsn)

    def _resync(self, source: Replica, target: Replica, rolled_back: int) -> None:
        """The standby is told first that it is not complete; then it gets what differs."""
        disk = target.disk
        surplus = _only_here(target, source)
        self.judge.overwrites(target, surplus, kept=bool(rolled_back))
        disk.quarantine += surplus
        disk.guarded = disk.promised = False
        source.unguarding = True
        waits = 0 if source.open else int(HEARD_WITHIN_S * SECOND)
        self.world.timeline.after(self.hop + waits, self._unguarded, source, source.part)
        if not self.staged:
            disk.lineage, disk.consistent = resync_began(disk.lineage, source.disk.lineage), False
        self._connect(source, target)
        source.mirroring = True
        self.world.note(source.machine.name, "resync begins")
        self.world.timeline.after(self.resync, self._resync_ends, self._session, source, target)

    def _unguarded(self, source: Replica, part: int) -> None:
        """The standby has said that it is not complete, and its agent has heard that."""
        if part == source.part:
            source.unguarding = False
            source.open, source.disk.guarded = True, False
            self._answer_frozen(source)

    def _resync_ends(self, session: int, source: Replica, target: Replica) -> None:
        if not self._stands(session, source, target):
            return
        source.mirroring = False
        target.disk.writes = list(source.disk.writes)
        target.disk.lineage = adopted(source.disk.lineage, source.lsn)
        target.disk.consistent = True
        source.disk.lineage = resynced(source.disk.lineage)
        self.world.note(source.machine.name, "resync ends")
        self._arrived(session, source, target, source.lsn)

    def _send(self, source: Replica) -> None:
        if source.connected and not source.mirroring:
            target = self.replicas[self.world.peer[source.machine.name].name]
            self.world.timeline.after(self.hop, self._arrives, self._session, source, target, source.lsn)

    def _stands(self, session: int, source: Replica, target: Replica) -> bool:
        if session != self._session:
            return False
        parts = (source.role, target.role) == ("source", "target")
        if not (parts and self.passes() and source.works and target.works):
            self._break()
            return False
        return True

    def _arrives(self, session: int, source: Replica, target: Replica, lsn: int) -> None:
        if self._stands(session, source, target) and not source.mirroring:
            if lsn > target.lsn:
                target.disk.writes += source.disk.writes[target.lsn : lsn]
            if target.disk.lineage.current != source.disk.lineage.current:
                target.disk.lineage = adopted(source.disk.lineage, target.lsn)
                source.disk.lineage = resynced(source.disk.lineage)
            self.world.timeline.after(self.hop, self._arrived, session, source, target, target.lsn)

    def _arrived(self, session: int, source: Replica, target: Replica, lsn: int) -> None:
        """The acknowledgement is back at the source."""
        if not self._stands(session, source, target):
            return
        source.acked = max(source.acked, lsn)
        if source.acked == source.lsn and self._is_last(source, self._waiting):
            self._confirm()
        near = source.lsn - source.acked < NEAR
        if self.complete and near and not source.unguarding and self._said_on != session:
            self._promise(source, target)

    def _promise(self, source: Replica, target: Replica) -> None:
        """First this side's promise, which outlives it; then flushes wait; then the standby counts on it."""
        source.disk.guarded, source.open = True, False
        self._said_on = self._session
        self.world.timeline.after(self.hop, self._promised, self._session, source, target)

    def _promised(self, session: int, source: Replica, target: Replica) -> None:
        if self._stands(session, source, target):
            target.disk.guarded = True


def _only_here(target: Replica, source: Replica) -> list[int]:
    """Writes that would be lost if the source's were put over the target's."""
    return sorted({*target.disk.writes} - {*source.disk.writes} - {*target.disk.quarantine})
