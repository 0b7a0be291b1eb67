"""What must hold of replicated data (D1 to D6): judged by what disks hold, and what people were told.

Nothing here believes the core, and nothing here happens: stream.py and world.py tell what did.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hsorch.node.core import data_rules
from hsorch.node.core.types import DataState
from hsorch.sim.clock import MS, SECOND
from hsorch.sim.replica import Replica

if TYPE_CHECKING:
    from hsorch.sim.world import World


class Judge:
    def __init__(self, world: World, *, complete: bool) -> None:
        self._world = world
        self._complete = complete
        self.written_at: dict[int, int] = {}
        self.confirmed: dict[int, int] = {}
        """Write → when the client was told that it is safe; without those whose loss was judged."""
        self._said: dict[str, int] = {}
        """Node → how many ms its takeover loses at most, as it said; -1: that is not known."""
        self._places: dict[tuple[int, int], int] = {}
        """(generation, lsn) → the write there."""
        policy = world.spec.policy
        self._patience = data_rules.DRY + 5 * SECOND + 2 * policy.lease_ms * MS
        """A flush waits for as long as a dry stream may last, and until the pair has drawn its conclusion."""

    def begins_write(self, replica: Replica) -> int:
        """A client writes at the end of what this source has; the number of the write."""
        number = len(self.written_at) + 1
        self.written_at[number] = self._world.now
        place = (replica.disk.lineage.current, replica.lsn)
        if self._places.setdefault(place, number) != number and not self._world.monitor.forgiven:
            self._broke("D2", f"two writes at place {place[1]} of generation {place[0]:x}")
        return number

    def waits(self, number: int, name: str) -> None:
        """The group serves on `name`, and the flush of this write is not answered."""
        waited = self._world.now - self.written_at[number]
        if waited > self._patience:
            self._broke("D6", f"a flush on {name} has waited for {waited // MS} ms")

    def confirm(self, number: int) -> None:
        self.confirmed[number] = self._world.now

    def said(self, name: str, lost_ms: int) -> None:
        """The node takes over, and says what is lost at most."""
        self._said[name] = lost_ms

    def ordered(self, name: str, known: DataState) -> None:
        """The core orders a start of the group's data, and knows this of them."""
        if known is DataState.INCONSISTENT:
            self._broke("D3", f"{name} is to start on an image that is no picture of one moment")

    def starts(self, replica: Replica) -> None:
        """The group's data are about to start on this node: what they are is looked at now."""
        name, disk = replica.machine.name, replica.disk
        held = set(disk.writes)
        lost = [number for number in self.confirmed if number not in held]
        if lost and self._complete and not self._world.monitor.forgiven:
            self._broke("D1", f"{name} starts without {len(lost)} writes that were confirmed")
        self._judge_bound(name, lost)
        for number in lost:
            del self.confirmed[number]

    def started(self, replica: Replica, other: Replica) -> None:
        """They have."""
        mine, theirs = replica.disk.lineage.current, other.disk.lineage.current
        if other.role == "source" and other.works and mine == theirs and not self._world.monitor.forgiven:
            self._broke("D2", f"both nodes are the source of generation {mine:x}")

    def overwrites(self, target: Replica, surplus: list[int], *, kept: bool) -> None:
        """A resync is about to go over writes that only the target has."""
        if surplus and not kept:
            self._broke("D4", f"{len(surplus)} writes of {target.machine.name} would be overwritten")

    def _judge_bound(self, name: str, lost: list[int]) -> None:
        """No more is lost than was said: so many of the last ms before the other node wrote last."""
        bound = self._said.pop(name, -1)
        if not lost or bound < 0:
            return
        ended = max(self.written_at.values())
        age = (ended - min(self.confirmed[number] for number in lost)) // MS
        if age > bound:
            self._broke("D5", f"{name} said {bound} ms at most, and lost the last {age} ms")

    def _broke(self, invariant: str, message: str) -> None:
        self._world.monitor.broke(invariant, self._world.now, message)
