"""One node of the virtual world: power, agent process, watchdog, disk, services, clocks.

The agent half drives the real core exactly as the node runtime does: actions in order, nothing after a
Persist before the disk has it, a Tick whenever the core wants one, results as events. The watchdog half
works without the agent: what was armed fires, whatever the agent does.
"""

from __future__ import annotations

import random
from collections import deque
from typing import TYPE_CHECKING

from hsorch.node.core import decide as core
from hsorch.node.core.state import State
from hsorch.node.core.types import (
    Action,
    Answer,
    Arm,
    AskWitness,
    Disarm,
    Durable,
    Emit,
    Epoch,
    Event,
    Exit,
    Fence,
    Fenced,
    GuardState,
    Instant,
    IsolationResult,
    Operation,
    Persist,
    Persisted,
    ProbeIsolation,
    Received,
    Reconfigured,
    ResourceOutcome,
    ResourceResult,
    Run,
    Send,
    Tick,
)
from hsorch.sim.clock import MS, SECOND, Clock
from hsorch.sim.disk import Disk
from hsorch.sim.services import Services
from hsorch.spec import Spec

if TYPE_CHECKING:
    from hsorch.sim.world import World

AGENT_RESTART = 100 * MS
"""Guard notices a dead agent and has a new one running."""
_NEVER = 1 << 62
_INBOX = 512
"""Frames that wait for a frozen agent; the socket buffer drops the rest."""


class Machine:
    def __init__(self, world: World, spec: Spec, name: str, rng: random.Random, rate_ppb: int) -> None:
        self.world, self.spec, self.name, self.rng = world, spec, name, rng
        self.rate_ppb = rate_ppb
        self.clock = Clock(0, local=SECOND, wall=1_700_000_000 * SECOND, rate_ppb=rate_ppb)
        self.disk = Disk()
        self.services = Services(spec, world.timeline, world.effects_changed)
        self.state: State | None = None
        self.powered = False
        self.paused = False
        """The whole machine stands still (VM pause), its clock too."""
        self.processes_frozen = False
        """Every process stands still, watchdog too; kernel and clocks run on."""
        self.agent_frozen = False
        self.agent_may_run = True
        """False: each start of the agent dies at once (crash loop)."""
        self.guard_alive = True
        self.service_link = True
        self.crash_on_write = False
        self.boots = 0
        self.incarnation = 0
        self.armed: Instant | None = None
        self.fence_time = spec.policy.fence_ms * MS // 4
        self.seen = Epoch()
        """Highest epoch that this agent has read in a fresh beat."""
        self.thawed_at = -1
        self.left = False
        """The agent stopped by its own Exit."""
        self._inbox: deque[Event] = deque()
        self._pending: deque[Action] = deque()
        self._writing = False
        self._tick_at = _NEVER
        """Local time of the entry in the queue that will tick."""
        self._guard_check = -1
        self.life = 0
        """Counts powers, deaths of the agent: results for a dead agent are dropped."""

    # ----------------------------------------------------------------------------------------- power

    @property
    def still(self) -> bool:
        """Nothing on this machine runs: its effects cannot answer anybody."""
        return self.paused or self.processes_frozen

    @property
    def epoch(self) -> Epoch:
        return self.disk.durable.config.epoch if self.disk.durable else Epoch()

    def boot(self) -> None:
        if self.powered:
            return
        now = self.world.now
        self.boots += 1
        self.powered, self.guard_alive, self.left = True, True, False
        self.paused = self.processes_frozen = self.agent_frozen = False
        wall = self.clock.wall(now)
        self.clock = Clock(now, local=SECOND, wall=wall, rate_ppb=self.rate_ppb)
        self.world.note(self.name, "boots")
        self._start_agent()

    def power_off(self) -> None:
        if not self.powered:
            return
        self.powered = False
        self._lose_agent()
        self.armed = None
        self.services.drop()

    # ----------------------------------------------------------------------------------------- agent

    def kill_agent(self) -> None:
        """Effects, watchdog and boot id stay; memory and what was on its way to the disk is lost."""
        if self.powered and self.state is not None:
            self._lose_agent()
            self.world.timeline.after(AGENT_RESTART, self._revive, self.life)

    def _lose_agent(self) -> None:
        self.life += 1
        self.state = None
        self._tick_at = _NEVER
        self._inbox.clear()
        self._pending.clear()
        self._writing = False
        self.services.cancel()

    def _revive(self, life: int) -> None:
        if life != self.life or not self.powered or self.left:
            return
        if self.still or not self.agent_may_run:
            self.world.timeline.after(AGENT_RESTART, self._revive, life)
            return
        self._start_agent()

    def _start_agent(self) -> None:
        now = self.world.now
        self.life += 1
        durable = self.disk.durable
        self.seen = self.epoch
        self.incarnation = self.disk.next_incarnation(self.clock.wall(now) // SECOND)
        self.state, actions = core.begin(
            self.spec,
            self.name,
            durable,
            f"{self.name}-boot{self.boots}",
            self.incarnation,
            Instant(self.clock.local(now)),
            self.clock.wall(now),
            forgotten=self.disk.forgotten,
        )
        self.world.note(self.name, "agent starts", self.incarnation)
        self._pending.extend(actions)
        self._carry_out()

    def reconfigure(self, spec: Spec) -> None:
        self.spec = spec
        self.deliver(Reconfigured(spec=spec))

    def set_rate(self, rate_ppb: int) -> None:
        self.rate_ppb = rate_ppb
        self.clock.set_rate(self.world.now, rate_ppb)
        self._tick_at = _NEVER
        self._schedule_tick()

    def deliver(self, event: Event) -> None:
        """Hand one event to the agent; it waits while the agent is frozen or writes to its disk."""
        if self.state is None:
            return
        if self.agent_frozen or self.still or self._writing:
            if len(self._inbox) < _INBOX or not isinstance(event, Received):
                self._inbox.append(event)
            return
        self._step(event)

    def _step(self, event: Event) -> None:
        assert self.state is not None
        self.state, actions = core.decide(self.state, event, Instant(self.clock.local(self.world.now)))
        if isinstance(event, Received):
            beat = event.beat
            if beat.config.epoch > self.seen and beat.echo_incarnation == self.incarnation:
                self.seen = beat.config.epoch
        if actions:
            self._pending.extend(actions)
        self._carry_out()
        self.world.stepped(self)

    def thaw(self) -> None:
        """What waited is handled now; the clock is looked at first."""
        if self.state is None or self.agent_frozen or self.still or self._writing:
            return
        self._step(self._tick_event())
        while self._inbox and self.state is not None and not self._writing:
            self._step(self._inbox.popleft())

    def _tick_event(self) -> Tick:
        now = self.world.now
        return Tick(wall=self.clock.wall(now), boottime=self.clock.boottime(now))

    def _schedule_tick(self) -> None:
        """At most one entry in the queue that matters: it looks again when it comes too early."""
        if self.state is None:
            return
        want = core.wake_at(self.state)
        if want < self._tick_at:
            self._tick_at = want
            self.world.timeline.at(self.clock.real_of(want), self._tick_due, want)

    def _tick_due(self, entry: int) -> None:
        if entry != self._tick_at:
            return
        self._tick_at = _NEVER
        if self.state is None or self.agent_frozen or self.still or self._writing:
            return
        if self.clock.local(self.world.now) >= core.wake_at(self.state):
            self._step(self._tick_event())
        else:
            self._schedule_tick()

    # --------------------------------------------------------------------------------------- actions

    def _carry_out(self) -> None:
        pending = self._pending
        while pending:
            action = pending.popleft()
            if isinstance(action, Persist):
                if not self._persist(action.durable):
                    return
            else:
                self._perform(action)
                if self.state is None:
                    return
        self._schedule_tick()

    def _persist(self, durable: Durable) -> bool:
        """False: the rest of the list waits (slow disk) or is void (failed write)."""
        if self.disk.latency:
            self._writing = True
            self.world.timeline.after(self.disk.latency, self._written, self.life, durable)
            return False
        return self._finish_write(durable)

    def _written(self, life: int, durable: Durable) -> None:
        if life != self.life or not self.powered:
            return
        if self.still or self.agent_frozen:
            self.world.timeline.after(10 * MS, self._written, life, durable)
            return
        self._writing = False
        if self._finish_write(durable):
            self._carry_out()
        while self._inbox and self.state is not None and not self._writing:
            self._step(self._inbox.popleft())

    def _finish_write(self, durable: Durable) -> bool:
        if self.disk.write(self.world.now, durable):
            self.world.persisted(self, durable)
            if self.crash_on_write:
                self.crash_on_write = False
                self.world.note(self.name, "loses power right after that write")
                self.power_off()
                return False
            return True
        self._pending.clear()
        self._schedule_tick()
        self.world.note(self.name, "cannot write its state")
        self.world.timeline.after(0, self.deliver_for, self.life, Persisted(ok=False, detail="disk full"))
        return False

    def _perform(self, action: Action) -> None:
        world = self.world
        match action:
            case Send(beat, links):
                world.send(self, beat, links)
            case Arm(until):
                self._arm(until)
            case Emit():
                world.emitted(self, action)
            case Run():
                if action.operation is Operation.START:
                    world.starts(self, action)
                self.services.run(action, self._ran(self.life))
            case AskWitness():
                world.ask_witness(self, action)
            case Disarm():
                self.armed = None
            case Fence(reason):
                world.note(self.name, "fences", reason)
                self._fence(report=True)
            case ProbeIsolation():
                asked = len(self.spec.policy.isolation.addresses)
                found = asked if world.on_lan(self) else 0
                wait = 2 * MS if found else self.spec.policy.isolation.timeout_ms * MS
                result = IsolationResult(answered=found, asked=asked)
                world.timeline.after(wait, self.deliver_for, self.life, result)
            case Answer():
                world.answered(self, action)
            case Exit():
                world.note(self.name, "agent leaves")
                self.left = True
                self._lose_agent()
                self.armed = None
            case Persist():
                raise AssertionError("handled in order by _carry_out")

    def _ran(self, life: int):  # type: ignore[no-untyped-def]
        def done(action: Run, outcome: ResourceOutcome, detail: str) -> None:
            result = ResourceResult(
                call=action.call,
                resource=action.resource,
                operation=action.operation,
                outcome=outcome,
                detail=detail,
            )
            self.deliver_for(life, result)

        return done

    def deliver_for(self, life: int, event: Event) -> None:
        if life == self.life:
            self.deliver(event)

    # ------------------------------------------------------------------------------------- fence, guard

    def _fence(self, *, report: bool) -> None:
        self.services.cancel()
        self.world.timeline.after(MS, self._fence_addresses, self.boots)
        self.world.timeline.after(self.fence_time, self._fence_rest, self.boots, self.life if report else -1)

    def _fence_addresses(self, boot: int) -> None:
        if boot == self.boots and self.powered:
            self.services.drop_addresses()

    def _fence_rest(self, boot: int, life: int) -> None:
        if boot != self.boots or not self.powered:
            return
        self.services.drop()
        self.deliver_for(life, Fenced(ok=True))

    def _arm(self, until: Instant) -> None:
        self.armed = until if self.guard_alive else None
        self._watch()

    def _watch(self) -> None:
        """One entry in the queue at a time: most deadlines are pushed on long before they come."""
        if self.armed is None:
            return
        when = self.clock.real_of(self.armed)
        if self._guard_check < self.world.now:
            self._guard_check = when
            self.world.timeline.at(when, self._guard_looks)

    def _guard_looks(self) -> None:
        self._guard_check = -1
        if self.armed is None or not self.powered or not self.guard_alive or self.still:
            return
        if self.clock.local(self.world.now) < self.armed:
            self._watch()
            return
        self.armed = None
        if self.services.effects:
            self.world.note(self.name, "watchdog fires")
        self._fence(report=False)

    def guard_dies(self, back_after: int) -> None:
        """The agent is told, and told again when a new watchdog runs; the deadline must be armed anew."""
        self.guard_alive = False
        self.armed = None
        self.deliver(GuardState(alive=False))
        self.world.timeline.after(back_after, self._guard_back, self.boots)

    def _guard_back(self, boot: int) -> None:
        if boot == self.boots and self.powered:
            self.guard_alive = True
            self.deliver(GuardState(alive=True))

    # -------------------------------------------------------------------------------------------- freeze

    def set_still(self, *, paused: bool = False, frozen: bool = False) -> None:
        """Pause the machine, freeze its processes, or (both False) let it go on."""
        now = self.world.now
        if paused and not self.paused:
            self.clock.pause(now)
        elif self.paused and not paused:
            self.clock.resume(now)
        self.paused, self.processes_frozen = paused, frozen
        self.world.effects_changed()
        if not self.still:
            self.thawed_at = now
            self._guard_looks()
            self.thaw()
