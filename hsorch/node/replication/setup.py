"""What a replicator needs to know of its group, and where it keeps things: one JSON file of the installer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from hsorch.errors import NodeError
from hsorch.node.paths import Paths
from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.gate import Level
from hsorch.node.replication.queue import CAP_BYTES
from hsorch.node.replication.space import Limits
from hsorch.node.replication.tls import Keys
from hsorch.spec import Wire


class Road(Wire, frozen=True, kw_only=True):
    """One link between the nodes: this end's address and the other's."""

    link: str = ""
    address: str
    peer: str


class Returns(Wire, frozen=True, kw_only=True):
    """After what the node that was the source becomes the other one's target by itself (held.py)."""

    takeover: bool = True
    switch: bool = True


class Setup(Wire, frozen=True, kw_only=True):
    """job: 32 hex digits, the same on both nodes. link, address, peer: of the data link; one port on both."""

    job: str
    node: str
    bindings: tuple[Binding, ...]
    """As bindings.resolve() gives them; their order is part of the stream and the same on both nodes."""
    address: str
    peer: str
    port: int
    link: str = ""
    spare: tuple[Road, ...] = ()
    """Links that the data take, in this order, while the data link is down."""
    warn_bytes: int = Limits.warn
    stop_bytes: int = Limits.stop
    """Free space of a volume at which replication warns, and stops."""
    queue_bytes: int = CAP_BYTES
    level: Level = "none"
    """What a flush of the application waits for: none (logical), received or durable (complete)."""
    returns: Returns = Returns()

    @property
    def ordered(self) -> tuple[Binding, ...]:
        return tuple(binding for binding in self.bindings if binding.kind == "ordered")

    @property
    def watched(self) -> tuple[Binding, ...]:
        return tuple(binding for binding in self.bindings if binding.kind == "watched")

    @property
    def roads(self) -> tuple[Road, ...]:
        """The preferred one first."""
        return (Road(link=self.link, address=self.address, peer=self.peer), *self.spare)

    @property
    def limits(self) -> Limits:
        return Limits(self.warn_bytes, self.stop_bytes)


@dataclass(frozen=True)
class Places:
    """Files of one group's replication on this node."""

    home: Path
    run: Path

    @classmethod
    def of(cls, paths: Paths) -> Places:
        return cls(paths.var / "replication", paths.run)

    @property
    def setup(self) -> Path:
        return self.home / "setup.json"

    @property
    def meta(self) -> Path:
        return self.home / "meta"

    @property
    def journal(self) -> Path:
        """Journal of the source, spool of the standby: the same records, so the same folder."""
        return self.home / "journal"

    @property
    def mark(self) -> Path:
        """Nothing of it is true after a reboot; and memory has room, and no faults, while a disk may not."""
        return self.run / "mark"

    @property
    def hot(self) -> Path:
        return self.home / "hot"

    @property
    def dirty(self) -> Path:
        return self.home / "dirty"

    @property
    def bound(self) -> Path:
        """What this node remembers of its bound folders."""
        return self.home / "bound.json"

    @property
    def folders(self) -> Path:
        """The set of bound folders that all this stands for."""
        return self.home / "folders.json"

    @property
    def given_up(self) -> Path:
        """There while nothing is replicated any more: what is written meanwhile is recorded by nobody."""
        return self.home / "given-up"

    @property
    def quarantine(self) -> Path:
        return self.home / "quarantine"

    @property
    def reserve(self) -> Path:
        return self.home / "reserve"

    @property
    def control(self) -> Path:
        return self.run / "replicator.sock"

    @property
    def trial(self) -> Path:
        """Where it is tried whether this node can mount at all."""
        return self.run / "trial"

    @property
    def keys(self) -> Keys:
        return Keys(self.home / "own.crt", self.home / "own.key", self.home / "peer.crt")


def load(places: Places) -> Setup:
    """Raises NodeError HS685: missing, or not of this version."""
    try:
        return msgspec.json.decode(places.setup.read_bytes(), type=Setup)
    except (OSError, msgspec.DecodeError) as error:
        raise NodeError(
            f"the replicator cannot use {places.setup}: {error}",
            hint="run `hsorch apply`: it writes the file on both nodes",
            code="HS685",
        ) from error
