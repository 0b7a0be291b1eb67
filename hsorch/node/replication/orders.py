"""What the agent asks of its replicator and what it is told: values only (the local door, door.py)."""

from __future__ import annotations

from typing import Literal

import msgspec

from hsorch.node.replication.gate import Level
from hsorch.node.replication.generations import Lineage
from hsorch.verbs import BindingReport, LimitReport

Role = Literal["none", "source", "target"]
HEARD_WITHIN_S = 2.5
"""By then an agent has heard what its replicator knows, or counts it as silent (node/data.py)."""


class RoleInput(msgspec.Struct, frozen=True, kw_only=True):
    """alone: source without the peer (takeover), a new generation. force: unmount even what is in use.

    epoch: of the failover core; a peer that speaks for a lower one is refused. asked: an operator wants it,
    whatever the policy says of a node that was the source.
    """

    role: Role
    asked: bool = False
    alone: bool = False
    force: bool = False
    epoch: tuple[int, int] = (0, 0)


class EpochInput(msgspec.Struct, frozen=True, kw_only=True):
    """In whose name this node speaks from now on, whatever part it plays; a lower one is ignored."""

    epoch: tuple[int, int]


class DrainInput(msgspec.Struct, frozen=True, kw_only=True):
    limit_s: float = 60.0


class Drained(msgspec.Struct, frozen=True, kw_only=True):
    """lacks: bytes that the standby has not got."""

    ok: bool
    lacks: int = 0


class ConfirmInput(msgspec.Struct, frozen=True, kw_only=True):
    """path: a watched binding; empty: all of them. Deletions that the guard holds back are let through."""

    path: str = ""


class ChooseInput(msgspec.Struct, frozen=True, kw_only=True):
    """Whose data count. winner None: this side's. Otherwise the other side's, which chose itself before."""

    winner: Lineage | None = None


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """lineage: of this side from now on."""

    lineage: Lineage


class ReplicationStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the agent shows. Bytes, milliseconds. queue: written here, not yet held by the standby."""

    role: Role
    state: str
    mode: Level
    connected: bool = False
    mounted: bool = True
    """As source: the mounts of its ordered folders are there."""
    consistent: bool = False
    blank: bool = False
    """Nothing was ever replicated here, whatever part is played; not so once a first mirror has begun."""
    mirroring: bool = False
    copied: int = 0
    queue: int = 0
    behind: bool = False
    """The queue is over its cap: only places are noted, a resync of `dirty` bytes follows."""
    dirty: int = 0
    left: int = 0
    """Bytes that a mirror, resync or verify has still to look at."""
    lag_ms: int = 0
    speed: int = 0
    frozen: int = 0
    """Flushes of the application that wait for the standby."""
    guarded: bool = False
    """A flush that returns now is held by the standby, too."""
    generation: int = 0
    lsn: int = 0
    applied: int = 0
    ancestors: tuple[int, ...] = ()
    """Generations that this one goes on from, newest first."""
    was: Role = "none"
    """The part that was played last, also where none is played now."""
    epoch: tuple[int, int] = (0, 0)
    """The highest one that was heard of: a source of a lower one is refused."""
    level: bool = False
    """As source: the standby has an image of this generation, and what it lacks is on its way."""
    verify_needed: str = ""
    refused: str = ""
    """Code of why nothing is replicated until an operator decides; the text is in `state`."""
    verifying: bool = False
    checked: int = 0
    """Bytes compared by the comparison that runs, or ran last."""
    differing: int = -1
    """Of those, found different; -1: there was none yet."""
    repaired: int = 0
    """Names that it had to put right."""
    verified_ns: int = 0
    """When both sides were last compared, since the epoch; 0: never."""
    fault: str = ""
    fault_code: str = "HS618"
    link: str = ""
    """Which link carries the data now."""
    bindings: tuple[BindingReport, ...] = ()
    space: str = "ok"
    troubles: tuple[LimitReport, ...] = ()
    """What keeps the data from being safe, besides a connection that is not there."""
