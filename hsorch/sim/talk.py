"""What an agent and its replicator say to each other, in virtual time: the dialogue of the node itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hsorch.node.core import data_rules
from hsorch.node.core.types import Instant
from hsorch.node.dialogue import Dialogue, Heard
from hsorch.sim.clock import MS

if TYPE_CHECKING:
    from hsorch.sim.agent import Agent
    from hsorch.sim.replica import Replica

ASK_EVERY = 250 * MS
ANSWER = 2 * MS


class Talk:
    """One per life of the agent; what it asks and hears stands still whenever the agent does."""

    def __init__(self, agent: Agent, replica: Replica) -> None:
        self._agent = agent
        self._replica = replica
        self._world = replica.machine.world
        self._life = agent.life
        self._dialogue = Dialogue()
        self._heard = Heard()
        self._ask()

    def turn(self) -> None:
        """After each event of the agent, as its loop does."""
        state = self._agent.state
        if state is None:
            return
        news = self._dialogue.turn(state, self._heard, self._now())
        if news is not None:
            self._agent.take(news)
        if (state := self._agent.state) is not None:
            self._dialogue.confirm(state, self._heard)
            if self._dialogue.order:
                self._carry_out()

    def _now(self) -> Instant:
        return Instant(self._replica.machine.clock.local(self._world.now))

    def _gone(self) -> bool:
        return self._agent.life != self._life or self._agent.state is None

    def _ask(self) -> None:
        if self._gone():
            return
        self._world.timeline.after(ASK_EVERY, self._ask)
        if self._replica.works and not self._agent.blocked:
            self._world.timeline.after(ANSWER, self._answered, self._dialogue.round)

    def _carry_out(self) -> None:
        order, self._dialogue.order = self._dialogue.order, ""
        self._world.timeline.after(ANSWER, self._do, order, self._dialogue.round)

    def _do(self, order: str, asked: int) -> None:
        state, replica = self._agent.state, self._replica
        if self._gone() or state is None or not replica.works:
            return
        epoch = state.durable.config.epoch
        if order == "target":
            replica.become_target(epoch=(epoch.major, epoch.minor))
        elif order == "abort":
            replica.abort()
        elif order == "epoch":
            replica.authorize((epoch.major, epoch.minor))
        elif order == "thaw" and self._world.data is not None:
            self._world.data.thaw(replica)
        self._answered(asked)

    def _answered(self, asked: int) -> None:
        if self._gone() or self._agent.blocked or not self._replica.works:
            return
        self._heard = Heard(asked, self._replica.report(), self._now())
        self._agent.catch_up()
        self.turn()


def alone(agent: Agent) -> bool:
    return agent.state is not None and data_rules.may_write_alone(agent.state)
