"""The virtual world: two nodes, their links, a witness and a client, run by one queue of virtual time.

Same spec, same seed, same faults: same run, event for event. What goes wrong is put in by faults.py; what
must hold is judged by invariants.py.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from hsorch.node.core import data_rules, facts
from hsorch.node.core.actions import Answer, AskWitness, Emit, Run, Severity
from hsorch.node.core.types import Beat, Command, Durable, Received, Role, Verb, WitnessAnswer, WitnessOutcome
from hsorch.sim.client import Client
from hsorch.sim.clock import MS, Timeline
from hsorch.sim.invariants import Actor, Monitor
from hsorch.sim.machine import Machine
from hsorch.sim.network import Path
from hsorch.sim.stream import DataWorld
from hsorch.sim.witness import Register, WitnessMode
from hsorch.spec import IsolationWitness, NoWitness, Spec

Story = Callable[[int, str, str, tuple[Any, ...]], None]
"""Receives (real time, who, what, details) of each thing worth telling."""


@dataclass(slots=True)
class _Ask:
    machine: Machine
    life: int
    action: AskWitness
    answered: bool = False


class World:
    """rates: errors of the two clocks in parts per 10^9. story: None in sweeps, where nobody listens."""

    def __init__(
        self, spec: Spec, seed: int = 0, *, rates: tuple[int, int] = (0, 0), story: Story | None = None
    ) -> None:
        self.spec = msgspec.structs.replace(
            spec, group=msgspec.structs.replace(spec.group, desired_state="in")
        )
        self.rng = random.Random(seed)
        self.story = story
        self.timeline = Timeline()
        self.client = Client()
        self.register = Register()
        self.memories = {n.name: Register() for n in spec.nodes}
        """In the place of the register under the isolation heuristic: what each node granted itself."""
        self.heuristic = isinstance(spec.witness, IsolationWitness)
        self.has_witness = not isinstance(spec.witness, NoWitness)
        self.monitor = Monitor(
            fence=spec.policy.fence_ms * MS + spec.policy.slack_ms * MS,
            blind=(spec.policy.suspect_ms // 2 + spec.policy.fence_ms + spec.policy.slack_ms) * MS,
            moves_allowed=2 * spec.policy.max_failovers,
            forgiven=self.heuristic,
        )
        names = [n.name for n in spec.nodes]
        self.paths = {(link.name, name): Path() for link in spec.links for name in names}
        self.machines = {
            name: Machine(self, self.spec, name, rate) for name, rate in zip(names, rates, strict=True)
        }
        self.data = DataWorld(self, complete=spec.policy.takeover == "complete") if spec.replication else None
        """None: nothing is replicated."""
        self.peer = {names[0]: self.machines[names[1]], names[1]: self.machines[names[0]]}
        self.off_lan: set[str] = set()
        """Nodes that reach neither client, witness nor reference addresses."""
        self.no_witness: set[str] = set()
        """Nodes that cannot reach the witness."""
        self.deaf_to_arp = 0
        """Nanoseconds for which clients keep the old hardware address after a move (row 41)."""
        self.beats: dict[str, Beat] = {}
        """Last beat that each node sent."""
        self.answers: dict[str, Answer] = {}
        self.alarms: list[tuple[int, str, str, str]] = []
        """(real time, node, kind, code) of warnings and alarms."""
        self.healed = False
        """True: no scheduled fault strikes any more."""
        self.start_of_faults = 0
        self._links = tuple(link.name for link in spec.links)
        self._orders = 0

    # --------------------------------------------------------------------------------------- running

    @property
    def now(self) -> int:
        return self.timeline.now

    def start(self) -> None:
        if self.data is not None:
            for name, machine in self.machines.items():
                machine.replica = self.data.replicas[name]
            self.data.start()
        for machine in self.machines.values():
            machine.boot()

    def run_for(self, span: int) -> None:
        """Until the time is over or an invariant broke."""
        self.run_until(self.now + span, lambda: False)

    def run_until(self, end: int, condition: Callable[[], bool]) -> bool:
        """Steps of 20 ms until the condition holds; False when time ran out or an invariant broke."""
        while not self.monitor.violations:
            if condition():
                return True
            if self.now >= end:
                return False
            self.timeline.run_until(min(end, self.now + 20 * MS))
        return False

    def healthy(self) -> bool:
        """An in-sync pair: one serves under a lease, the other is a standby that could take over.

        Without a witness the best there is: one serves alone, the other follows and waits for an operator.
        """
        acting = self.beats.get(self.client.served_by)
        if acting is None or any(m.agent.state is None for m in self.machines.values()):
            return False
        other = self.beats.get(self.peer[acting.sender].name)
        if other is None or other.config != acting.config or acting.config.holder != acting.sender:
            return False
        if self.data is not None and not (acting.image.level and self.data.agree(other.sender)):
            return False
        if not self.has_witness:
            return acting.role is Role.ACTIVE_SOLO and other.role is Role.OBSERVER
        return (
            acting.role is Role.ACTIVE
            and other.role is Role.STANDBY
            and not (other.proposed or acting.proposed or other.stale)
        )

    def active(self) -> Machine:
        """The node that acts, or else the one that last had the right to."""
        for machine in self.machines.values():
            if machine.powered and machine.services.effects:
                return machine
        newest = max(self.machines.values(), key=lambda m: m.epoch)
        durable = newest.disk.durable
        return self.machines[durable.config.holder if durable else self.spec.preferred]

    def standby(self) -> Machine:
        return self.peer[self.active().name]

    def order(self, machine: Machine, verb: Verb, target: str = "") -> str:
        """An operator's verb; the id of its answer."""
        self._orders += 1
        name = f"order-{self._orders}"
        self.note("operator", f"orders {verb} on", machine.name, target)
        self.monitor.expect_move()
        if verb is Verb.TAKEOVER:
            self.monitor.forgiven = True
        machine.agent.deliver(Command(id=name, verb=verb, actor="operator", target=target))
        return name

    def choose(self, machine: Machine) -> None:
        """An operator selects this node's data as the ones that count, by the rule of the node itself."""
        assert self.data is not None
        self.note("operator", "selects as source", machine.name)
        state = machine.agent.state
        active = facts.active_node(state, state.now) if state is not None else ""
        if state is None or not data_rules.leads(machine.name, active, state.durable.config.holder):
            self.alarms.append((self.now, machine.name, "choose_refused", "HS749"))
            self.note(machine.name, "refuses", "its data are not the ones in use")
        else:
            self.data.choose(machine.name)

    def note(self, who: str, what: str, *details: Any) -> None:
        if self.story is not None:
            self.story(self.now, who, what, details)

    # ------------------------------------------------------------------------- what machines do to it

    def send(self, sender: Machine, beat: Beat, links: tuple[str, ...]) -> None:
        self.beats[sender.name] = beat
        receiver = self.peer[sender.name]
        for link in links or self._links:
            for delay in self.paths[link, sender.name].arrivals(self.rng):
                self.timeline.after(delay, self._arrives, receiver, link, beat)

    def _arrives(self, receiver: Machine, link: str, beat: Beat) -> None:
        if receiver.powered:
            receiver.agent.deliver(Received(link=link, beat=beat))

    def on_lan(self, machine: Machine) -> bool:
        return machine.powered and machine.service_link and machine.name not in self.off_lan

    def persisted(self, machine: Machine, durable: Durable) -> None:
        self.monitor.persisted(self.now, machine.name, durable.config)
        if self.story is not None:
            self.note(machine.name, "writes", durable)

    def starts(self, machine: Machine, action: Run) -> None:
        self.monitor.starts(self.now, self._actor(machine))
        state = machine.agent.state
        if self.data is not None and state is not None and machine.services.items[action.resource].data:
            self.data.judge.ordered(machine.name, state.data)
        self.note(machine.name, "starts", action.resource)

    def emitted(self, machine: Machine, emit: Emit) -> None:
        if emit.severity is not Severity.INFO:
            self.alarms.append((self.now, machine.name, emit.kind, emit.code))
        if self.data is not None and emit.kind in ("takeover_begin", "takeover_forced"):
            self.data.judge.said(machine.name, emit.fields["lost_ms"])
        if self.story is not None:
            self.note(machine.name, emit.kind, emit.message)

    def answered(self, machine: Machine, answer: Answer) -> None:
        self.answers[answer.id] = answer
        self.note(machine.name, "answers", "ok" if answer.ok else f"refused {answer.code}", answer.message)

    def effects_changed(self) -> None:
        acting, serving = [], ""
        for machine in self.machines.values():
            if not machine.powered or machine.still or not machine.services.effects:
                continue
            acting.append(self._actor(machine))
            if machine.services.serving and self.on_lan(machine):
                serving = machine.name
        self.monitor.acting(self.now, acting)
        self._serve(serving)

    def _serve(self, name: str) -> None:
        if self.deaf_to_arp and name and name != self.client.served_by:
            self.timeline.after(self.deaf_to_arp, self._heard_arp, name)
            return
        if name != self.client.served_by:
            self.note("client", f"is served by {name}" if name else "gets no answer")
        self.client.serving(self.now, name)

    def _heard_arp(self, name: str) -> None:
        machine = self.machines[name]
        if machine.services.serving and self.on_lan(machine):
            self.client.serving(self.now, name)

    def spins(self, machine: Machine) -> None:
        """The agent would burn its processor: nothing else gets done, so the run ends here."""
        self.monitor.broke("I8", self.now, f"{machine.name} wants a tick again and again at one instant")

    def stepped(self, machine: Machine) -> None:
        """Called by a machine that has handled an event."""
        if machine.agent.seen > machine.epoch and machine.services.effects:
            self.monitor.stepped(self.now, self._actor(machine))
        elif self.monitor.newer:
            self.monitor.in_step(machine.name)

    def _actor(self, machine: Machine) -> Actor:
        return Actor(machine.name, machine.epoch, machine.agent.seen, machine.thawed_at)

    # ------------------------------------------------------------------------------------- the witness

    def ask_witness(self, machine: Machine, action: AskWitness) -> None:
        ask = _Ask(machine, machine.agent.life, action)
        self.timeline.after(action.limit, self._no_reply, ask)
        if self._reaches_witness(machine):
            trip = MS // 2 + self.rng.randrange(MS)
            slow = self.register.mode is WitnessMode.SLOW
            late = 7 * self.spec.policy.lease_ms * MS if slow else 0
            self.timeline.after(trip + late, self._at_witness, ask, trip)

    def _reaches_witness(self, machine: Machine) -> bool:
        return (
            self.register.mode is not WitnessMode.DOWN
            and self.on_lan(machine)
            and machine.name not in self.no_witness
        )

    def _at_witness(self, ask: _Ask, trip: int) -> None:
        if self.register.mode is WitnessMode.DOWN:
            return
        action, owner = ask.action, ask.machine.name
        register = self.memories[owner] if self.heuristic else self.register
        if action.create:
            if self.heuristic and self._objection(ask.machine):
                return
            outcome, holder = register.create(action.major, owner)
            self.note("witness", f"major {action.major}: {outcome} {holder}, asked by {owner}")
        else:
            outcome, holder = register.read(action.major)
        answer = WitnessAnswer(
            request=action.request,
            major=action.major,
            outcome=outcome,
            owner=holder,
            witness_id=register.identity,
        )
        self.timeline.after(trip, self._reply, ask, answer)

    def _objection(self, machine: Machine) -> bool:
        """Who does not carry the address must find peer and address silent on every network."""
        if any(i.running for i in machine.services.items.values() if i.address):
            return False
        peer = self.peer[machine.name]
        wires = any(not path.cuts for (_, sender), path in self.paths.items() if sender == peer.name)
        return peer.powered and not peer.paused and (wires or self.on_lan(peer))

    def _reply(self, ask: _Ask, answer: WitnessAnswer) -> None:
        if not ask.answered and self._reaches_witness(ask.machine):
            ask.answered = True
            ask.machine.agent.deliver_for(ask.life, answer)

    def _no_reply(self, ask: _Ask) -> None:
        if not ask.answered:
            ask.answered = True
            failed = WitnessAnswer(
                request=ask.action.request,
                major=ask.action.major,
                outcome=WitnessOutcome.FAILED,
                detail="no answer in time",
            )
            ask.machine.agent.deliver_for(ask.life, failed)
