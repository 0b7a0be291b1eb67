"""The watchdog of one machine: fires at the armed instant of the machine's own clock, agent or no agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hsorch.node.core.types import GuardState, Instant

if TYPE_CHECKING:
    from hsorch.sim.machine import Machine


class Watchdog:
    def __init__(self, machine: Machine) -> None:
        self.alive = True
        self._machine = machine
        self._armed: Instant | None = None
        self._next_look = -1
        """Real time of its one entry in the queue: most deadlines move on long before they come."""

    def reset(self) -> None:
        """A new boot: alive, nothing armed."""
        self.alive = True
        self._armed = None

    def arm(self, until: Instant) -> None:
        if self.alive:
            self._armed = until
            self._watch()

    def disarm(self) -> None:
        self._armed = None

    def look(self) -> None:
        """Fire if the time has come; a watchdog that stands still looks when it goes on."""
        machine = self._machine
        self._next_look = -1
        if self._armed is None or not machine.powered or machine.still:
            return
        if machine.clock.local(machine.world.now) < self._armed:
            self._watch()
            return
        self._armed = None
        if machine.services.effects:
            machine.world.note(machine.name, "watchdog fires")
        machine.fence_by_watchdog()

    def die(self, back_after: int) -> None:
        """The agent is told, and told again when a new watchdog runs; its deadline must be armed anew."""
        machine = self._machine
        self.alive = False
        self._armed = None
        machine.agent.deliver(GuardState(alive=False))
        machine.world.timeline.after(back_after, self._back, machine.boots)

    def _back(self, boot: int) -> None:
        if boot == self._machine.boots and self._machine.powered:
            self.alive = True
            self._machine.agent.deliver(GuardState(alive=True))

    def _watch(self) -> None:
        machine = self._machine
        if self._armed is not None and self._next_look < machine.world.now:
            self._next_look = machine.clock.real_of(self._armed)
            machine.world.timeline.at(self._next_look, self.look)
