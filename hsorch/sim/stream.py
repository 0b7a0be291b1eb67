"""The data of the virtual world: a client that writes, the stream between the two replicas, what must hold.

A write is confirmed when the source says so, as a database confirms a commit. D1 to D5 are judged on what the
disks hold and what clients were told, never on what the core believes.
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
from hsorch.sim.clock import MS
from hsorch.sim.replica import Replica

if TYPE_CHECKING:
    from hsorch.sim.machine import Machine
    from hsorch.sim.world import World

WRITE_EVERY = 40 * MS
RETRY = 250 * MS
HOP = 2 * MS
RESYNC = 300 * MS
_SENDS = {Meeting.FIRST, *MIRRORED}


class DataWorld:
    def __init__(self, world: World, *, complete: bool) -> None:
        self.world = world
        self.complete = complete
        self.replicas = {name: Replica(m, complete) for name, m in world.machines.items()}
        self.cut = False
        """Only the data connection is down: heartbeats pass."""
        self.staged = True
        """A resync is held back until it is whole; else it is applied as it comes."""
        self.resync = RESYNC
        self.written_at: dict[int, int] = {}
        self.confirmed: dict[int, int] = {}
        """Write → when the client was told that it is safe."""
        self.told: dict[str, tuple[int, int]] = {}
        """Node → when it said what its takeover loses at most, and how many ms."""
        self._places: dict[tuple[int, int], int] = {}
        self._waiting = 0
        """Write that the client waits for; 0: none."""
        self._session = 0
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

    def start_source(self, machine: Machine, *, alone: bool) -> None:
        """The group's data start on this node: what they are is looked at now."""
        replica, monitor = self.replicas[machine.name], self.world.monitor
        self._judge(machine, replica)
        replica.become_source(alone=alone, epoch=(machine.epoch.major, machine.epoch.minor))
        other = self.replicas[self.world.peer[machine.name].name]
        same = other.disk.lineage.current == replica.disk.lineage.current
        if other.role == "source" and other.works and same and not monitor.forgiven:
            monitor.broke("D2", self.world.now, f"both nodes are the source of generation {same:x}")
        self._break()

    def damage(self, name: str, takes: int) -> None:
        """What the standby holds is no picture of one moment until a resync has gone over it."""
        replica = self.replicas[name]
        other = self.replicas[self.world.peer[name].name]
        self.resync = takes
        self._break()
        if replica.role == "target" and other.role == "source" and other.works:
            disk = replica.disk
            disk.lineage = resync_began(disk.lineage, other.disk.lineage)
            disk.consistent = disk.guarded = False

    def thaw(self, replica: Replica) -> None:
        """The frozen flush is answered, too."""
        replica.thaw()
        if replica.open and self._waiting in replica.disk.writes:
            self._confirm(self._waiting)

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
        if self._waiting in replica.disk.writes or replica.role != "source" or not replica.works:
            return
        number = len(self.written_at) + 1
        self.written_at[number] = self.world.now
        self._is_one_line(replica, number)
        self._waiting = number
        if replica.write(number):
            self._confirm(number)
        self._send(replica)

    def _is_one_line(self, replica: Replica, number: int) -> None:
        place = (replica.disk.lineage.current, replica.lsn)
        if self._places.setdefault(place, number) != number and not self.world.monitor.forgiven:
            self.world.monitor.broke("D2", self.world.now, f"two writes at place {place[1]}")

    def _confirm(self, number: int) -> None:
        self.confirmed[number] = self.world.now
        if self._waiting == number:
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
        elif not connected:
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
        surplus = sorted({*disk.writes} - {*source.disk.writes} - {*disk.quarantine})
        if surplus and not rolled_back:
            self.world.monitor.broke(
                "D4", self.world.now, f"{len(surplus)} writes of {target.machine.name} would be overwritten"
            )
        disk.quarantine += surplus
        disk.guarded = source.disk.guarded = False
        source.open = True
        if not self.staged:
            disk.lineage, disk.consistent = resync_began(disk.lineage, source.disk.lineage), False
        self._connect(source, target)
        source.mirroring = True
        self.world.note(source.machine.name, "resync begins")
        self.world.timeline.after(self.resync, self._resync_ends, self._session, source, target)

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
            self.world.timeline.after(HOP, self._arrives, self._session, source, target, source.lsn)

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
            self.world.timeline.after(HOP, self._arrived, session, source, target, target.lsn)

    def _arrived(self, session: int, source: Replica, target: Replica, lsn: int) -> None:
        """The acknowledgement is back at the source."""
        if not self._stands(session, source, target):
            return
        source.acked = max(source.acked, lsn)
        if not source.open:
            if self._waiting and self._waiting in source.disk.writes[max(0, lsn - 64) : lsn]:
                self._confirm(self._waiting)
        elif self.complete and source.acked == source.lsn:
            self._guard(source, target)

    def _guard(self, source: Replica, target: Replica) -> None:
        """The gate is shut, the standby stores that it is complete, and only then the source says so."""
        source.open = False
        target.disk.guarded = source.disk.guarded = True

    # ------------------------------------------------------------------------------------ what must hold

    def _judge(self, machine: Machine, replica: Replica) -> None:
        monitor, now, name = self.world.monitor, self.world.now, machine.name
        if not replica.disk.consistent and replica.disk.lineage.receiving:
            monitor.broke("D3", now, f"{name} starts on an image that is no picture of one moment")
        if monitor.forgiven:
            return
        held = set(replica.disk.writes)
        lost = [number for number in self.confirmed if number not in held]
        if lost and self.complete:
            monitor.broke("D1", now, f"{name} starts without {len(lost)} writes that were confirmed")
        self._judge_bound(name, lost)
        for number in lost:
            del self.confirmed[number]

    def _judge_bound(self, name: str, lost: list[int]) -> None:
        """`logical` loses, but no more than it said."""
        at, bound = self.told.pop(name, (0, -1))
        if not lost or self.complete or bound < 0:
            return
        oldest = min(self.confirmed[number] for number in lost)
        if at - oldest > bound * MS:
            self.world.monitor.broke(
                "D5", at, f"{name} said {bound} ms at most, and lost a write {(at - oldest) // MS} ms old"
            )
