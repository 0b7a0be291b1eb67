"""The agent: the only event loop of the pair. Wires the pure core to the world and keeps its clock.

    python3 -m hsorch.node agent CLUSTER [WHY]

Events come in from links, witness, resources, NICs, the guard and operators; each goes through the core's
`decide`, and the actions that come out are carried out in order (perform.py). No rule lives here.
WHY: the reason that the guard gives for this start; it opens the event log of this run.
"""

from __future__ import annotations

import gc
import signal
import sys

from hsorch.errors import HsorchError
from hsorch.node import clock
from hsorch.node.core.actions import Action, Severity
from hsorch.node.core.decide import begin, decide, wake_at
from hsorch.node.core.types import Command, Event, GuardState, NicChanged, Tick, Verb, WitnessAnswer
from hsorch.node.data_events import DataNews
from hsorch.node.notify import ServiceManager
from hsorch.node.operator import Operator
from hsorch.node.paths import Paths
from hsorch.node.perform import Performer, World
from hsorch.node.run import command
from hsorch.node.setup import Setup, set_up
from hsorch.node.system.host import Watched, host

HOUSEKEEPING_NS = 250 * clock.MILLISECOND
REPAIR_NS = clock.SECOND
GUARD_SILENT_NS = 1500 * clock.MILLISECOND
"""The guard shows life twice a second; after this long it is frozen or gone."""
REPLACE_GUARD_NS = 3 * clock.SECOND
SUSPEND_NS = 5 * clock.MILLISECOND
"""Boot-time and monotonic clock part company by more than this only when the machine was suspended."""
PRIORITY = 10
GC_THRESHOLD = 50_000
SHUTDOWN_ORDER = "shutdown"
BY_HAND = "by hand"
ORDINARY_STARTS = ("start", BY_HAND)


class Agent:
    def __init__(self, setup: Setup, why: str) -> None:
        self.setup = setup
        self.world: World = setup.world
        self.performer = Performer(self.world)
        self._operator = Operator(self)
        self._guard_alive = True
        self._new_guard: Watched | None = None
        self._data_news = DataNews()
        self._guard_due = clock.now() + REPLACE_GUARD_NS
        self._repair_due = 0
        self._suspended = clock.boottime() - clock.now()
        self._carrier = self.world.system.network.watch()
        calm = Severity.INFO if why in ORDINARY_STARTS else Severity.WARNING
        self.world.log.add(calm, "agent_process", f"agent process started: {why}")
        if missing := self.world.watchdogs.missing:
            self.world.log.add(Severity.WARNING, "no_dead_man", missing, code="HS662")
        # Before the core's first beat: a restarted agent must be heard within its lease.
        self.repair_links()
        loaded = setup.loaded
        if loaded.forgotten:
            self.world.log.add(Severity.ALARM, "state_lost", loaded.detail, code="HS732")
        now = clock.now()
        self.state, actions = begin(
            self.world.spec,
            self.world.me,
            loaded.durable,
            self.world.system.boot_id(),
            setup.incarnation,
            now,
            clock.wall(),
            forgotten=loaded.forgotten,
        )
        self._carry_out(actions)

    def run(self) -> int:
        """Until the core says that nothing of the group is left here."""
        loop = self.world.loop
        loop.watch(self._carrier.fileno(), self._on_carrier)
        self._operator.open()
        if self.world.data is not None:
            self.world.data.start()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: loop.post(_shutdown()))
        for role, nic in self.world.spec.node(self.world.me).nics.items():
            if not self.world.system.network.carrier(nic.name):
                self.feed(NicChanged(nic=role, up=False))
        while not self.performer.exiting:
            self._turn()
        self._operator.close()
        if self.world.data is not None:
            self.world.data.stop()
        self.world.links.close()
        return 0

    def feed(self, event: Event) -> None:
        """One event through the core, and what follows from it.

        First of all the time: after a pause nothing may be done on a lease that is over (rule 13).
        """
        self._catch_up()
        self._decide(event)

    def _catch_up(self) -> None:
        now = clock.now()
        if now >= wake_at(self.state) or self._was_suspended(now):
            self._decide(Tick(wall=clock.wall(), boottime=clock.boottime()))

    def _decide(self, event: Event) -> None:
        self.state, actions = decide(self.state, event, clock.now())
        self._carry_out(actions)

    # ------------------------------------------------------------------ one turn

    def _turn(self) -> None:
        world, now = self.world, clock.now()
        until = self.performer.next_due(min(wake_at(self.state), now + HOUSEKEEPING_NS))
        posted = world.loop.wait((until - now) / clock.SECOND)
        now = clock.now()
        world.watch.agent_alive = now
        self._catch_up()
        for event in posted:
            if not isinstance(event, WitnessAnswer) or self.performer.answered_in_time(event):
                self.feed(event)
        for late in self.performer.overdue(now):
            self.feed(late)
        self._read_links()
        self._look_after_data()
        self._look_after_guard(now)
        if now >= self._repair_due:
            self._repair_due = now + REPAIR_NS
            self.repair_links()

    def _was_suspended(self, now: int) -> bool:
        apart = clock.boottime() - now
        moved = abs(apart - self._suspended) > SUSPEND_NS
        self._suspended = apart
        return moved

    def _carry_out(self, actions: tuple[Action, ...]) -> None:
        heard = self.performer.carry_out(actions, self.state)
        while heard is not None:
            self.state, actions = decide(self.state, heard, clock.now())
            heard = self.performer.carry_out(actions, self.state)

    # ------------------------------------------------------------------- sources

    def _read_links(self) -> None:
        """Reads without asking the selector: a turn that was woken by one link serves them all."""
        for name in self.world.links.descriptors():
            for event in self.world.links.read(name, clock.now):
                self.feed(event)

    def repair_links(self) -> None:
        """Open links that are closed and wake up for what comes in on them."""
        for name in self.world.links.repair():
            self.world.loop.watch(self.world.links.descriptors()[name], _wake)
        for ends in self.world.links.newly_taken_ports():
            owner = host().port_owner(ends.port) or "another program"
            self.world.log.add(
                Severity.ALARM,
                "port_in_use",
                f"{owner} holds UDP port {ends.port} of {ends.local}: this link is down",
                code="HS612",
            )

    def _on_carrier(self) -> None:
        nics = self.world.spec.node(self.world.me).nics
        for name, up in self._carrier.read():
            for role in [role for role, nic in nics.items() if nic.name == name]:
                self.feed(NicChanged(nic=role, up=up))

    def _look_after_data(self) -> None:
        data = self.world.data
        if data is not None:
            if (news := data.turn(self.state)) is not None:
                self.feed(news)
            data.confirm(self.state)
            for told in self._data_news.look(data.report):
                self.world.log.add(told.severity, told.kind, told.message, code=told.code, fields=told.fields)

    def _look_after_guard(self, now: int) -> None:
        alive = now - self.world.watch.guard_alive < GUARD_SILENT_NS
        if alive != self._guard_alive:
            self._guard_alive = alive
            self.feed(GuardState(alive=alive))
        if self._new_guard is not None and self._new_guard.exit_code() is not None:
            self._new_guard.close()
            self._new_guard = None
        if not alive and now >= self._guard_due:
            self._guard_due = now + REPLACE_GUARD_NS
            self._replace_guard()

    def _replace_guard(self) -> None:
        """A guard of ours were no child of systemd, which kills such a one instead of asking it to stop."""
        if not ServiceManager().present:
            self._new_guard = host().spawn(command("guard", self.world.spec.cluster, "--replace"))
        elif (frozen := host().watch(host().locked_by(self.setup.paths.guard_pid))) is not None:
            frozen.kill()
            frozen.close()


def _wake() -> None:
    """The turn itself reads every link."""


def _shutdown() -> Event:
    return Command(id=SHUTDOWN_ORDER, verb=Verb.SHUTDOWN, actor="service manager")


def main(argv: list[str]) -> int:
    if not 1 <= len(argv) <= 2:
        sys.stderr.write("usage: hsorch.node agent CLUSTER [WHY]\n")
        return 64
    try:
        agent = Agent(set_up(Paths(argv[0])), argv[1] if len(argv) == 2 else BY_HAND)
    except HsorchError as error:
        sys.stderr.write(f"{error.code}: {error.message}\nhint: {error.hint}\n")
        return int(error.exit_code)
    if refused := host().favour(PRIORITY):
        agent.world.log.add(Severity.INFO, "not_favoured", f"not granted to the agent: {'; '.join(refused)}")
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    return agent.run()
