"""One node of the virtual world: power, clock, disk, services, and the two processes that run on it."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from hsorch.node.core.types import Durable, Epoch, Fenced, Operation, Reconfigured
from hsorch.sim.agent import Agent
from hsorch.sim.clock import MS, SECOND, Clock
from hsorch.sim.disk import Disk
from hsorch.sim.replica import Replica, ReplicaDisk
from hsorch.sim.services import LATE, Services
from hsorch.sim.talk import alone
from hsorch.sim.watchdog import Watchdog
from hsorch.spec import Spec

if TYPE_CHECKING:
    from hsorch.sim.world import World

_WALL_AT_START = 1_700_000_000 * SECOND


class Machine:
    """Off until boot(). A boot starts the agent; memory is lost with the power, the disk is not."""

    def __init__(self, world: World, spec: Spec, name: str, rate_ppb: int) -> None:
        self.world, self.spec, self.name = world, spec, name
        self.clock = Clock(0, local=SECOND, wall=_WALL_AT_START, rate_ppb=rate_ppb)
        self.disk = Disk()
        self.replica: Replica | None = None
        """None: nothing is replicated."""
        self.services = Services(spec, world.timeline, world.effects_changed, self._data)
        self.agent = Agent(self)
        self.watchdog = Watchdog(self)
        self.powered = False
        self.suspended = False
        """The present pause is a suspend that the kernel will know of."""
        self.paused = False
        """The whole machine stands still (VM pause), its clock too."""
        self.processes_frozen = False
        """Every process stands still, watchdog too; kernel and clock run on."""
        self.thawed_at = -1
        """Real time at which it last went on as a whole; negative: it never stood still."""
        self.service_link = True
        self.fence_works = True
        self.fence_time = spec.policy.fence_ms * MS // 4
        """Until every process is gone; addresses go within the first millisecond."""
        self.crash_on_write = False
        self.boots = 0
        self._snapshot: tuple[Durable | None, ReplicaDisk | None] = None, None
        self._rate_ppb = rate_ppb

    @property
    def still(self) -> bool:
        """Nothing runs here: effects cannot answer anybody."""
        return self.paused or self.processes_frozen

    @property
    def epoch(self) -> Epoch:
        return self.disk.durable.config.epoch if self.disk.durable else Epoch()

    def boot(self) -> None:
        if self.powered:
            return
        now = self.world.now
        self.boots += 1
        self.powered = True
        self.paused = self.processes_frozen = self.agent.frozen = False
        self.clock = Clock(now, local=SECOND, wall=self.clock.wall(now), rate_ppb=self._rate_ppb)
        self.watchdog.reset()
        self.world.note(self.name, "boots")
        self.agent.start()

    def power_off(self) -> None:
        if self.powered:
            self.powered = False
            self.agent.lose()
            self.watchdog.reset()
            self.services.drop()

    def take_snapshot(self) -> None:
        kept = copy.deepcopy(self.replica.disk) if self.replica is not None else None
        self._snapshot = self.disk.durable, kept

    def restore_snapshot(self) -> None:
        self.disk.durable, kept = self._snapshot
        if self.replica is not None and kept is not None:
            self.replica.disk = copy.deepcopy(kept)

    def _data(self, order: Operation) -> str:
        """Start or end of the group's data on this node; returns what is wrong, or nothing."""
        replica, data = self.replica, self.world.data
        if order is Operation.KILL and replica is not None:
            replica.abort()
            return ""
        if replica is None or data is None or not replica.works:
            return "the replicator gives no answer"
        if order is Operation.START:
            return data.start_source(self, alone=alone(self.agent))
        if order is Operation.STOP:
            return "" if replica.release() else LATE
        if order is Operation.CHECK and replica.role != "source":
            return f"the replicator is {replica.role}"
        return ""

    def set_still(self, *, paused: bool = False, frozen: bool = False) -> None:
        """Pause the machine, freeze its processes, or (both False) let it go on."""
        now = self.world.now
        if paused and not self.paused:
            self.clock.pause(now)
        elif self.paused and not paused:
            self.clock.resume(now, suspended=self.suspended)
        self.paused, self.processes_frozen = paused, frozen
        if not self.still:
            self.thawed_at = now
        self.world.effects_changed()
        if not self.still:
            self.watchdog.look()
            self.agent.thaw()

    def set_rate(self, rate_ppb: int) -> None:
        self._rate_ppb = rate_ppb
        self.clock.set_rate(self.world.now, rate_ppb)
        self.agent.clock_changed()

    def reconfigure(self, spec: Spec) -> None:
        self.spec = spec
        self.agent.deliver(Reconfigured(spec=spec))

    # ---------------------------------------------------------------------------------------------- fence

    def fence_for_agent(self) -> None:
        """Ends all effects and reports it, unless something cannot be killed."""
        self.services.cancel()
        if self.fence_works:
            self._fence(self.agent.life)
        else:
            failed = Fenced(ok=False, detail="a process cannot be killed")
            self.world.timeline.after(self.fence_time, self.agent.deliver_for, self.agent.life, failed)

    def fence_by_watchdog(self) -> None:
        """Ends all effects, and the agent that let it come to this; a new one starts."""
        self._fence(-1)
        self.agent.frozen = False
        self.agent.kill()

    def _fence(self, life: int) -> None:
        self.world.timeline.after(MS, self._fence_addresses, self.boots)
        self.world.timeline.after(self.fence_time, self._fence_rest, self.boots, life)

    def _fence_addresses(self, boot: int) -> None:
        if boot == self.boots and self.powered:
            self.services.drop_addresses()

    def _fence_rest(self, boot: int, life: int) -> None:
        if boot == self.boots and self.powered:
            self.services.drop()
            self.agent.deliver_for(life, Fenced(ok=True))
