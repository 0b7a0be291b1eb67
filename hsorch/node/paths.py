"""Where a node keeps things (docs/architecture.md, "On a node"). Names only: nothing here touches the disk.

Durable files live below /var/lib/hsorch, volatile ones below /run/hsorch; `root` moves both, for tests.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hsorch.errors import NodeError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


@dataclass(frozen=True)
class Paths:
    """All paths of one cluster on one node."""

    cluster: str
    root: Path = Path("/")

    def __post_init__(self) -> None:
        """Raises NodeError HS605 for what is no name: folders of a cluster are removed when it is left."""
        if not _NAME.fullmatch(self.cluster):
            raise NodeError(
                f"'{self.cluster}' is no name of a cluster",
                hint="letters, digits and inner dashes, as in the manifest",
                code="HS605",
            )

    @cached_property
    def home(self) -> Path:
        """Everything durable of all clusters, and the runtimes."""
        return self.root / "var/lib/hsorch"

    @cached_property
    def var(self) -> Path:
        return self.home / self.cluster

    @cached_property
    def run(self) -> Path:
        return self.root / "run/hsorch" / self.cluster

    # ------------------------------------------------------------------ durable

    @property
    def identity(self) -> Path:
        return self.var / "identity.json"

    @property
    def spec(self) -> Path:
        return self.var / "spec.json"

    @property
    def staged(self) -> Path:
        return self.var / "staged.json"

    @property
    def state(self) -> Path:
        return self.var / "state.json"

    @property
    def incarnation(self) -> Path:
        return self.var / "incarnation"

    @property
    def key(self) -> Path:
        return self.var / "key"

    @property
    def events(self) -> Path:
        return self.var / "events"

    @property
    def lock(self) -> Path:
        return self.var / "lock.json"

    @property
    def journal(self) -> Path:
        return self.var / "journal.json"

    @property
    def audit(self) -> Path:
        return self.var / "audit.log"

    @property
    def replication(self) -> Path:
        """Journal, spool, bookkeeping and keys of the replicator."""
        return self.var / "replication"

    @property
    def channel_certificate(self) -> Path:
        return self.replication / "own.crt"

    @property
    def channel_key(self) -> Path:
        """Made here, and never leaves this node."""
        return self.replication / "own.key"

    @property
    def channel_peer(self) -> Path:
        """The peer's certificate: the only one that is trusted."""
        return self.replication / "peer.crt"

    @property
    def runtimes(self) -> Path:
        return self.home / "runtime"

    @property
    def current_runtime(self) -> Path:
        return self.runtimes / "current"

    @property
    def on_boot(self) -> Path:
        return self.home / "on-boot"

    # ----------------------------------------------------------------- volatile

    @property
    def control(self) -> Path:
        return self.run / "control.sock"

    @property
    def guard_pid(self) -> Path:
        return self.run / "guard.pid"

    @property
    def agent_pid(self) -> Path:
        return self.run / "agent.pid"

    @property
    def replicator_pid(self) -> Path:
        return self.run / "replicator.pid"

    @property
    def replicator_control(self) -> Path:
        return self.run / "replicator.sock"

    @property
    def watch(self) -> Path:
        """Memory shared by guard and agent (hsorch.node.watch)."""
        return self.run / "watch"

    @property
    def resources(self) -> Path:
        """What runs of the group: one JSON file per resource."""
        return self.run / "resources"

    @property
    def log(self) -> Path:
        """Standard error of guard and agent where no service manager collects it."""
        return self.var / "runtime.log"
