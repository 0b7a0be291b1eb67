"""What must hold in every run, whatever happens (docs/simulator.md): I1 to I8, D1 to D6.

The world tells the monitor what really happened; nothing here trusts a claim of the core. The D are about
replicated data, and are judged in judge.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hsorch.node.core.types import Config, Epoch
from hsorch.sim.clock import MS

TITLES = {
    "I1": "at most one node has effects",
    "I2": "one configuration per epoch",
    "I3": "nobody acts in an epoch after it has seen another's higher one",
    "I6": "service is back in bounded time after a single fault",
    "I7": "a bounded number of automatic moves in a window",
    "D1": "under `complete` nothing that clients were told is safe is lost by itself",
    "D2": "one source of each generation, one write at each place",
    "D3": "no start on an image that is no picture of one moment",
    "D4": "nothing that only one side has is overwritten without quarantine",
    "D5": "no more is lost than the takeover said",
    "D6": "no flush waits for long where the group serves",
    "I8": "once all is healed the pair is in sync without an operator",
}
DATA = ("D1", "D2", "D3", "D4", "D5", "D6")
"""Applicable where something is replicated."""


@dataclass(frozen=True, slots=True)
class Violation:
    invariant: str
    at: int
    """Real nanoseconds."""
    message: str

    def __str__(self) -> str:
        return f"{self.invariant} ({TITLES[self.invariant]}) at {self.at / 1e9:.3f} s: {self.message}"


@dataclass(frozen=True, slots=True)
class Actor:
    """A node with effects right now."""

    name: str
    epoch: Epoch
    seen: Epoch
    thawed_at: int
    """Real time of its last thaw as a whole machine; negative: never."""


@dataclass(slots=True)
class Monitor:
    """fence: time a node is allowed between learning that it must stop and the end of its effects."""

    fence: int
    blind: int
    """Time that a machine which stood still may act before it is fenced."""
    moves_allowed: int
    forgiven: bool = False
    """An operator forced a takeover, or the witness is the unsound heuristic: overlaps are its price."""
    violations: list[Violation] = field(default_factory=list)
    exceptions: list[str] = field(default_factory=list)
    """Overlaps that user mode cannot prevent: a whole machine stood still with effects and went on."""
    overlaps: int = 0
    """Overlaps while forgiven."""
    moves: list[int] = field(default_factory=list)
    """Real times of automatic changes of the acting node."""
    newer: dict[str, int] = field(default_factory=dict)
    """Acting nodes that know of a higher epoch than their own, since when."""
    _configs: dict[Epoch, dict[str, Config]] = field(default_factory=dict)
    """Who holds, or held, what in each epoch."""
    _last_actor: str = ""
    _ordered: bool = False

    def broke(self, invariant: str, at: int, message: str) -> None:
        self.violations.append(Violation(invariant, at, message))

    def expect_move(self) -> None:
        """An operator ordered the next change of the acting node."""
        self._ordered = True

    def acting(self, now: int, actors: list[Actor]) -> None:
        """Called at each change of effects."""
        if len(actors) > 1:
            self._overlap(now, actors)
        if len(actors) == 1 and actors[0].name != self._last_actor:
            self._moved(now, actors[0].name)

    def persisted(self, now: int, node: str, config: Config) -> None:
        known = self._configs.setdefault(config.epoch, {})
        other = next((c for c in known.values() if c != config), None)
        if other is not None and not self.forgiven:
            self.broke(
                "I2", now, f"{node} wrote {text(config)} though {text(other)} exists in the same epoch"
            )
        known[node] = config

    def forgets(self, node: str) -> None:
        """Its disk is lost: what no other node holds never was."""
        for known in self._configs.values():
            known.pop(node, None)

    def starts(self, now: int, actor: Actor) -> None:
        """A start begins on this node."""
        if actor.epoch < actor.seen and not self.forgiven:
            self.broke(
                "I3",
                now,
                f"{actor.name} starts in {epoch_text(actor.epoch)} after it saw {epoch_text(actor.seen)}",
            )

    def stepped(self, now: int, actor: Actor) -> None:
        """An agent with effects has handled an event while a higher epoch than its own was known to it."""
        since = self.newer.setdefault(actor.name, now)
        if now - since > self.fence and not self.forgiven:
            self.broke(
                "I3",
                now,
                f"{actor.name} still acts in {epoch_text(actor.epoch)} "
                f"{(now - since) // MS} ms after it saw {epoch_text(actor.seen)}",
            )

    def in_step(self, name: str) -> None:
        self.newer.pop(name, None)

    def _overlap(self, now: int, actors: list[Actor]) -> None:
        names = " and ".join(a.name for a in actors)
        thawed = [a for a in actors if a.thawed_at >= 0 and now - a.thawed_at <= self.blind]
        if thawed:
            self.exceptions.append(
                f"{names} both had effects at {now / 1e9:.3f} s: {thawed[0].name} as a whole stood still "
                f"past its lease and is being fenced"
            )
        elif self.forgiven:
            self.overlaps += 1
        else:
            self.broke("I1", now, f"{names} have effects")

    def _moved(self, now: int, name: str) -> None:
        if self._last_actor and not self._ordered:
            self.moves.append(now)
            if len(self.moves) > self.moves_allowed:
                self.broke("I7", now, f"{len(self.moves)} automatic moves in one window")
        self._last_actor = name
        self._ordered = False


def epoch_text(epoch: Epoch) -> str:
    return f"{epoch.major}.{epoch.minor}"


def text(config: Config) -> str:
    return f"{epoch_text(config.epoch)} {'SOLO' if config.solo else 'PAIR'}({config.holder})"
