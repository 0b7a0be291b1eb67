"""The agent process of one machine: drives the real core exactly as the node runtime does.

Actions in order, nothing after a Persist before the disk has it, a Tick whenever the core wants one,
results as events. It can be frozen, killed and started again; what it did to the machine stays.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from hsorch.node.core import decide as core
from hsorch.node.core.actions import (
    Action,
    Answer,
    Arm,
    AskWitness,
    Disarm,
    Emit,
    Exit,
    Fence,
    Persist,
    ProbeIsolation,
    ProbeStore,
    Run,
    Send,
)
from hsorch.node.core.state import State
from hsorch.node.core.types import (
    Durable,
    Epoch,
    Event,
    Instant,
    IsolationResult,
    Operation,
    Persisted,
    Received,
    ResourceOutcome,
    ResourceResult,
    StoreProbed,
    Tick,
)
from hsorch.sim.clock import MS, SECOND
from hsorch.sim.talk import Talk

if TYPE_CHECKING:
    from hsorch.sim.machine import Machine

RESTART = 100 * MS
"""The watchdog notices a dead agent and has a new one running."""
_NEVER = 1 << 62
_SPIN = 100
_INBOX = 512
"""Beats that wait for a frozen agent; the socket buffer drops the rest."""


class Agent:
    def __init__(self, machine: Machine) -> None:
        self.state: State | None = None
        """None: not running."""
        self.frozen = False
        self.may_run = True
        """False: each new agent dies at once (crash loop)."""
        self.left = False
        """It stopped by its own Exit."""
        self.seen = Epoch()
        """Highest epoch of another holder that it has read in a fresh beat."""
        self.life = 0
        """Counts starts and deaths: results for a dead agent are dropped."""
        self._machine = machine
        self._inbox: deque[Event] = deque()
        self._pending: deque[Action] = deque()
        self._writing = False
        self._talk: Talk | None = None
        """With the replicator; None: nothing is replicated."""
        self._ticked = self._spins = 0
        """Local time of the last tick, and how many there were at that instant."""
        self._tick_at = _NEVER
        """Local time of the entry in the queue that will tick."""

    # -------------------------------------------------------------------------------------- life, death

    def start(self) -> None:
        """A full disk cannot count the start: the agent ends at once, and is started again."""
        machine, world = self._machine, self._machine.world
        if machine.disk.full:
            world.note(machine.name, "agent cannot start: no space left on device")
            world.timeline.after(RESTART, self._revive, self.life)
            return
        now = world.now
        self.life += 1
        self.left = False
        self.seen = machine.epoch
        wall = machine.clock.wall(now)
        incarnation = machine.disk.next_incarnation(wall // SECOND)
        self.state, actions = core.begin(
            machine.spec,
            machine.name,
            machine.disk.durable,
            f"{machine.name}-boot{machine.boots}",
            incarnation,
            Instant(machine.clock.local(now)),
            wall,
            forgotten=machine.disk.forgotten,
        )
        world.note(machine.name, "agent starts", incarnation)
        self._pending.extend(actions)
        self._talk = Talk(self, machine.replica) if machine.replica is not None else None
        self._carry_out()

    def kill(self) -> None:
        """Effects, watchdog and boot id stay; memory, and what was on its way to the disk, is lost."""
        if self.state is not None:
            self.lose()
            self._machine.world.timeline.after(RESTART, self._revive, self.life)

    def lose(self) -> None:
        self.life += 1
        self.state = None
        self._tick_at = _NEVER
        self._inbox.clear()
        self._pending.clear()
        self._writing = False
        self._machine.services.cancel()

    def start_again(self) -> None:
        """An agent that left is started by whoever started it before."""
        if self._machine.powered and self.left:
            self.start()

    def set_frozen(self, frozen: bool) -> None:
        was, self.frozen = self.frozen, frozen
        if was and not frozen:
            self.thaw()

    def thaw(self) -> None:
        """The clock is looked at first, then what waited is handled."""
        if self.state is not None and not self.blocked:
            self._step(self._tick())
            self._drain()

    def _revive(self, life: int) -> None:
        if life != self.life or not self._machine.powered:
            return
        if self._machine.still or not self.may_run:
            self._machine.world.timeline.after(RESTART, self._revive, life)
        else:
            self.start()

    # --------------------------------------------------------------------------------------------- events

    @property
    def blocked(self) -> bool:
        return self.frozen or self._writing or self._machine.still

    def deliver(self, event: Event) -> None:
        """Handle one event now, or when the agent can."""
        self.catch_up()
        if self.state is None:
            return
        if not self.blocked:
            self._step(event)
        elif len(self._inbox) < _INBOX or not isinstance(event, Received):
            self._inbox.append(event)

    def deliver_for(self, life: int, event: Event) -> None:
        """A result for the agent that asked; dropped when it is not the present one."""
        if life == self.life:
            self.deliver(event)

    def _drain(self) -> None:
        while self._inbox and self.state is not None and not self.blocked:
            self._step(self._inbox.popleft())

    def catch_up(self) -> None:
        """A tick that is due comes before whatever else comes at the same instant, as in the agent's loop."""
        if self.state is not None and not self.blocked and self._local_now() >= core.wake_at(self.state):
            self._step(self._tick())

    def _step(self, event: Event) -> None:
        assert self.state is not None
        machine = self._machine
        self.state, actions = core.decide(self.state, event, self._local_now())
        if isinstance(event, Received):
            fresh = event.beat.echo_incarnation == self.state.durable.incarnation
            told = event.beat.config
            if fresh and told.epoch > self.seen and told.holder != machine.name:
                self.seen = told.epoch
        self._pending.extend(actions)
        self._carry_out()
        machine.world.stepped(machine)
        if self._talk is not None and not self.blocked:
            self._talk.turn()

    def take(self, event: Event) -> None:
        """What the loop hands to the core between two events of the world."""
        if self.state is not None and not self.blocked:
            self.state, actions = core.decide(self.state, event, self._local_now())
            self._pending.extend(actions)
            self._carry_out()

    def _local_now(self) -> Instant:
        return Instant(self._machine.clock.local(self._machine.world.now))

    def _tick(self) -> Tick:
        now, clock = self._machine.world.now, self._machine.clock
        return Tick(wall=clock.wall(now), boottime=clock.boottime(now))

    def schedule_tick(self) -> None:
        """At most one entry in the queue that matters: it looks again when it comes too early."""
        if self.state is None:
            return
        want = core.wake_at(self.state)
        if want < self._tick_at:
            self._tick_at = want
            machine = self._machine
            machine.world.timeline.at(machine.clock.real_of(want), self._tick_due, want)

    def clock_changed(self) -> None:
        self._tick_at = _NEVER
        self.schedule_tick()

    def _tick_due(self, entry: int) -> None:
        if entry != self._tick_at:
            return
        self._tick_at = _NEVER
        if self.state is None or self.blocked:
            return
        local = self._machine.clock.local(self._machine.world.now)
        if local >= core.wake_at(self.state):
            self._spins = self._spins + 1 if local == self._ticked else 0
            self._ticked = local
            if self._spins > _SPIN:
                self._machine.world.spins(self._machine)
            else:
                self._step(self._tick())
        else:
            self.schedule_tick()

    # -------------------------------------------------------------------------------------------- actions

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
        self.schedule_tick()

    def _persist(self, durable: Durable) -> bool:
        """False: the rest of the list waits (slow disk) or is void (failed write, power loss)."""
        latency = self._machine.disk.latency
        if latency:
            self._writing = True
            self._machine.world.timeline.after(latency, self._written, self.life, durable)
            return False
        return self._write(durable)

    def _written(self, life: int, durable: Durable) -> None:
        if life != self.life:
            return
        if self.frozen or self._machine.still:
            self._machine.world.timeline.after(10 * MS, self._written, life, durable)
            return
        self._writing = False
        if self._write(durable):
            self._carry_out()
        self._drain()

    def _write(self, durable: Durable) -> bool:
        machine = self._machine
        if not machine.disk.write(durable):
            self._pending.clear()
            machine.world.note(machine.name, "cannot write its state")
            self._step(Persisted(ok=False, detail="no space left on device"))
            return False
        machine.world.persisted(machine, durable)
        if machine.crash_on_write:
            machine.crash_on_write = False
            machine.world.note(machine.name, "loses power right after that write")
            machine.power_off()
            return False
        if self.state is not None and self.state.broken:
            machine.world.timeline.after(0, self.deliver_for, self.life, Persisted(ok=True))
        return True

    def _perform(self, action: Action) -> None:
        machine, world = self._machine, self._machine.world
        match action:
            case Send(beat=beat, links=links):
                world.send(machine, beat, links)
            case Arm(until=until):
                machine.watchdog.arm(until)
            case Emit():
                world.emitted(machine, action)
            case Run():
                if action.operation is Operation.START:
                    world.starts(machine, action)
                machine.services.run(action, self._result, self.life)
            case AskWitness():
                world.ask_witness(machine, action)
            case Disarm():
                machine.watchdog.disarm()
            case Fence(reason=reason):
                world.note(machine.name, "fences", reason)
                machine.fence_for_agent()
            case ProbeIsolation():
                self._probe_isolation()
            case ProbeStore():
                world.timeline.after(machine.disk.latency, self._store_probed, self.life)
            case Answer():
                world.answered(machine, action)
            case Exit():
                world.note(machine.name, "agent leaves")
                self.lose()
                self.left = True
                machine.watchdog.disarm()
            case Persist():
                raise AssertionError("_carry_out keeps the order of writes")

    def _result(self, life: int, action: Run, outcome: ResourceOutcome, detail: str) -> None:
        result = ResourceResult(
            call=action.call,
            resource=action.resource,
            operation=action.operation,
            outcome=outcome,
            detail=detail,
        )
        self.deliver_for(life, result)

    def _store_probed(self, life: int) -> None:
        self.deliver_for(life, StoreProbed(ok=not self._machine.disk.full, detail="no space left on device"))

    def _probe_isolation(self) -> None:
        machine = self._machine
        asked = len(machine.spec.policy.isolation.addresses)
        found = asked if machine.world.on_lan(machine) else 0
        wait = 2 * MS if found else machine.spec.policy.isolation.timeout_ms * MS
        result = IsolationResult(answered=found, asked=asked)
        machine.world.timeline.after(wait, self.deliver_for, self.life, result)
