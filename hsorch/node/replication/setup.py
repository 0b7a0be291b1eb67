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
from hsorch.node.replication.tls import Keys
from hsorch.spec import Wire


class Setup(Wire, frozen=True, kw_only=True):
    """job: 32 hex digits, the same on both nodes. address, peer: of the data link, one port on both."""

    job: str
    node: str
    bindings: tuple[Binding, ...]
    """As bindings.resolve() gives them; their order is part of the stream and the same on both nodes."""
    address: str
    peer: str
    port: int
    queue_bytes: int = CAP_BYTES
    level: Level = "none"
    """What a flush of the application waits for: none (logical), received or durable (complete)."""


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
        return self.home / "mark"

    @property
    def aside(self) -> Path:
        """What stood in the way of the stream and was recorded by nobody."""
        return self.home / "aside"

    @property
    def control(self) -> Path:
        return self.run / "replicator.sock"

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
