"""The contract of the narrow door: what `hsorch node VERB` reads on stdin and writes on stdout.

Every verb answers with one Reply. The control socket of the agent speaks the same, one JSON line each way.
"""

from __future__ import annotations

from typing import Any

import msgspec

from hsorch.spec import Wire


class Reply(Wire, frozen=True, kw_only=True):
    """Envelope of every answer. ok=False: code, message, hint and detail as in hsorch.errors."""

    ok: bool
    data: msgspec.Raw = msgspec.Raw(b"null")
    code: str = ""
    message: str = ""
    hint: str = ""
    detail: str = ""


class EventRecord(Wire, frozen=True, kw_only=True):
    """One line of the event log (REQ-H26); also what `hsorch events --format json` prints."""

    id: int
    """Rises by one per node."""
    time: str
    """UTC, RFC 3339 with milliseconds."""
    severity: str
    node: str
    group: str
    kind: str
    message: str
    code: str = ""
    resource: str = ""
    operation_id: str = ""
    fields: dict[str, Any] = msgspec.field(default_factory=dict)


class LinkReport(Wire, frozen=True, kw_only=True):
    name: str
    local: str
    remote: str
    up: bool
    received: int
    lost: int
    rejected: int
    rtt_us: int
    age_ms: int
    """Since the last accepted frame; -1: never."""
    error: str = ""
    """Why this end cannot open the link or send on it."""


class ResourceReport(Wire, frozen=True, kw_only=True):
    name: str
    kind: str
    status: str
    detail: str = ""
    since: str = ""


class LimitReport(Wire, frozen=True, kw_only=True):
    """One reason why this node cannot take over, or the pair is not protected."""

    code: str
    message: str
    hint: str


class BindingReport(Wire, frozen=True, kw_only=True):
    """One bound folder as this node's replicator sees it."""

    path: str
    kind: str
    """`ordered` or `watched`."""
    state: str
    """`live`, `mirror`, `verify`, `resync`, `behind`, `held` (deletions wait), `lost`, `stopped`."""
    detail: str = ""
    """Why it is stopped, where that is known."""
    left_files: int = 0
    left_bytes: int = 0
    held: int = 0
    """Deletions at the source that are held back from the target."""
    verified: str = ""
    """UTC, RFC 3339; empty: never."""


class DataReport(Wire, frozen=True, kw_only=True):
    """The replicated data as this node's replicator sees them (REQ-H23). -1: not known."""

    role: str
    """`none`, `source` (the application writes here) or `target`."""
    state: str
    """hsorch.node.core.types.DataState of what lies on this node."""
    phase: str
    """`stopped`, `connecting`, `mirror`, `verify`, `resync`, `live` or `behind`."""
    mode: str = ""
    """What a flush of the application means: `complete` (the standby holds it, too) or `logical`."""
    connected: bool = False
    mounted: bool = False
    guarded: bool = False
    """As source: no flush is answered without the target, and none will be before `thaw`."""
    frozen: int = 0
    """Flushes of the application that wait now."""
    followed: bool = False
    """The target holds everything, but for what is on its way to it; after `release`: everything."""
    link: str = ""
    level: bool = False
    """As source: the target has an image of this generation, and what it lacks is on its way."""
    wrote_last: bool = False
    """This node is the source, or was it and followed nobody since."""
    epoch: tuple[int, int] = (0, 0)
    """Highest one, major and minor, that the replicator has heard of; it refuses a source of a lower one."""
    generation: str = ""
    ancestors: tuple[str, ...] = ()
    """Generations that this one goes on from, newest first."""
    lsn: int = 0
    speed: int = 0
    """Bytes a second."""
    sent_bytes: int = 0
    queue_bytes: int = 0
    left_bytes: int = 0
    left_ms: int = -1
    lag_bytes: int = -1
    lag_ms: int = -1
    """What a takeover would lose at most, by this node's knowledge."""
    verified: str = ""
    """UTC, RFC 3339: when both sides were last compared; empty: never."""
    checked_bytes: int = 0
    """Of the comparison that runs, or ran last."""
    differing_bytes: int = -1
    """Found different by it, and sent anew; -1: there was none yet."""
    differing_names: int = 0
    """Names of files and folders that it had to put right, or their attributes."""
    bindings: tuple[BindingReport, ...] = ()
    space: str = "ok"
    """`ok`, `warn`, `stop` or `lost`: the worst volume of this node."""
    troubles: tuple[LimitReport, ...] = ()


class StatusReport(Wire, frozen=True, kw_only=True):
    """One node's view. The two lights: up = the group answers here or at the peer; protected = a crash of
    the active node would be survived now."""

    cluster: str
    node: str
    peer: str
    version: str
    wire: int
    revision: int
    digest: str
    role: str
    epoch_major: int
    epoch_minor: int
    holder: str
    solo: bool
    active: str
    """Node with effects, as this node knows it; empty: none known."""
    up: bool
    protected: bool
    desired: str
    maintenance: bool
    stale: bool
    peer_seen: bool
    peer_role: str
    peer_epoch_major: int = 0
    peer_epoch_minor: int = 0
    peer_revision: int = 0
    peer_digest: str = ""
    lease_left_ms: int = 0
    """As holder: until fencing; as standby: until it may propose. 0: none runs."""
    witness: str
    """`none`, `ok`, `unreachable`, `replaced`, `heuristic`."""
    assurance: str
    """What fences a frozen node: `kernel` (dead-man switch), `guard`, `hardware`."""
    guard_alive: bool
    links: tuple[LinkReport, ...] = ()
    resources: tuple[ResourceReport, ...] = ()
    limits: tuple[LimitReport, ...] = ()
    data: DataReport | None = None
    """None: nothing is replicated, or the replicator gives no answer (a limit says so)."""
    events: tuple[EventRecord, ...] = ()
    """Newest last; at most 10."""
    last_outage_ms: int = -1
    """Measured length of the group's last move as this node saw it; -1: none yet."""


class Operate(Wire, frozen=True, kw_only=True):
    """Input of `hsorch node operate`: an operator's verb (hsorch.node.core.types.Verb), confirmed."""

    cluster: str
    verb: str
    actor: str
    id: str
    target: str = ""
    timeout_ms: int = 60_000


class EventsQuery(Wire, frozen=True, kw_only=True):
    """Input of `hsorch node events`."""

    cluster: str
    after: int = 0
    """Only records with a greater id."""
    limit: int = 200
    severity: str = ""
    kind: str = ""
