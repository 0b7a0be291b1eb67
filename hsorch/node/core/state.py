"""What one node of the pair knows: the immutable State that `decide` maps to the next one.

Values only. Derived facts are in facts.py, safety rules in rules.py, transitions in the other files.
Instants are nanoseconds of this node's monotonic clock; 0 means "never".
"""

from __future__ import annotations

from enum import StrEnum

from hsorch.node.core.shown import ResourceStatus
from hsorch.node.core.types import (
    Beat,
    Config,
    DataState,
    Durable,
    Epoch,
    Image,
    Instant,
    NodeName,
    Role,
    Span,
    Value,
    Verb,
)
from hsorch.spec import Spec

MS = 1_000_000
SECOND = 1_000 * MS
NEVER = Instant(0)


class Timing(Value, frozen=True):
    """The manifest's timings in nanoseconds."""

    interval: Span
    lease: Span
    fence: Span
    suspect: Span
    slack: Span
    drift_ppm: int
    start_wait: Span
    witness_limit: Span
    witness_lost: Span
    isolation: Span


class ClockMemory(Value, frozen=True):
    """The three clocks at the last tick (rule 13)."""

    mono: Instant
    wall: int
    boottime: int = 0
    """As far ahead of `mono` as it was ever seen; 0: not yet read."""


class Peer(Value, frozen=True):
    """What was heard of the other node."""

    incarnation: int = 0
    seq: int = 0
    """Of the newest beat, fresh or not: older ones are dropped."""
    beat: Beat | None = None
    """The newest fresh beat; None until the peer has answered this run of ours."""
    heard: Instant = NEVER
    since: Instant = NEVER
    """Start of the present unbroken contact."""
    echo_seq: int = 0
    echoed: Instant = NEVER
    """When the peer last showed that it hears us."""
    asked: Instant = NEVER
    """When the peer last asked for the lease, or began a new run."""
    data_unknown: Instant = NEVER
    """Since when, in the present contact, the peer says that it does not know its data."""
    source: Image = Image()
    """What the peer said last as the source of the data."""
    source_at: Instant = NEVER


class LinkMemory(Value, frozen=True):
    name: str
    timeout: Span
    heard: Instant = NEVER
    up: bool = False
    incarnation: int = 0
    seq: int = 0
    received: int = 0
    lost: int = 0
    rejected: int = 0
    rtt_us: int = 0


class Lease(Value, frozen=True):
    """Both ends of the lease: what the holder was granted, what the standby granted."""

    until: Instant = NEVER
    """Holder: effects must be off from then on."""
    proven: bool = False
    """Holder: granted to this run, not just assumed from the last run of this agent."""
    asked: tuple[tuple[int, Instant], ...] = ()
    """Holder: (seq, send instant) of requests that may still be granted."""
    answered: Instant = NEVER
    """Holder: send instant of the newest granted request, or when asking began."""
    waits_from: Instant = NEVER
    """Standby: the last grant, the adoption of the config, or the start of this run."""
    waits: Span = Span(0)
    """Standby: length of the wait that the last grant calls for."""
    released: bool = False
    """Standby: the holder's effects are known to have ended."""
    grants: int = 0
    """Standby: seq of the holder's beat whose request is granted."""


class WitnessMemory(Value, frozen=True):
    request: int = 0
    asked: Instant = NEVER
    """When the question in flight was asked; NEVER: none is."""
    proposed: bool = False
    """A proposal of this run for major+1 is unresolved."""
    due: Instant = NEVER
    """Next question."""
    ok: bool = False
    lost_since: Instant = NEVER
    """NEVER: not lost."""
    replaced: str = ""
    """Identity of a register that is not the trusted one."""
    major: int = -1
    owner: NodeName = ""
    """Newest fact: this register exists and names this owner. A register never changes."""
    forced: int = -1
    """Register that a forced takeover tries to create; -1: none."""


class Member(Value, frozen=True):
    """One resource of the group as this node runs it."""

    name: str
    status: ResourceStatus = ResourceStatus.STOPPED
    call: int = 0
    """The check in flight; 0: none."""
    due: Instant = NEVER
    misses: int = 0
    detail: str = ""


class Phase(StrEnum):
    OFF = "off"
    """Verified: no effect here."""
    CHECKING = "checking"
    """A restarted agent asks what still runs."""
    STARTING = "starting"
    ON = "on"
    STOPPING = "stopping"
    """On the way to OFF; or a local restart when `again` is set."""
    FENCING = "fencing"
    """All off at once; not OFF until verified."""


class Group(Value, frozen=True):
    phase: Phase = Phase.OFF
    members: tuple[Member, ...] = ()
    current: str = ""
    """Resource of the call in flight."""
    call: int = 0
    since: Instant = NEVER
    """Start of the present phase."""
    reason: str = ""
    again: bool = False
    """Start again once stopped (a local restart)."""
    restarts: int = 0
    """Local restarts in a row."""
    failed: Instant = NEVER
    """When this node last gave up on the group; NEVER: it did not."""
    failure: str = ""
    """Which resource it gave up on, and why."""
    release: str = ""
    """Not empty: the group goes to the peer as soon as it is off; the reason."""
    fenced: bool = False
    """Every effect is verified gone; only stop scripts that an unclean end owes still run."""
    retry: Instant = NEVER
    """Next attempt of a fence that could not be verified."""


class IsolationMemory(Value, frozen=True):
    missed: int = 0
    due: Instant = NEVER
    isolated: bool = False


class Pending(Value, frozen=True):
    """An operator's verb that is under way."""

    id: str
    verb: Verb
    target: NodeName
    epoch: Epoch
    """In which the verb began: a later one tells that the group has moved since."""
    since: Instant
    deadline: Instant


class State(Value, frozen=True):
    """Everything one node knows and has promised."""

    spec: Spec
    me: NodeName
    peer_name: NodeName
    timing: Timing
    digest: str
    durable: Durable
    stored: Durable
    """The durable part before the last Persist."""
    started: Instant
    clock: ClockMemory
    now: Instant
    awake_from: Instant = NEVER
    """When this node was last late itself: what came meanwhile it had not heard by then."""
    seq: int = 0
    due: Instant = NEVER
    """Next beat."""
    shown: tuple[object, ...] = ()
    """What the last beat said of the things that are told at once."""
    calls: int = 0
    peer: Peer = Peer()
    links: tuple[LinkMemory, ...] = ()
    lease: Lease = Lease()
    witness: WitnessMemory = WitnessMemory()
    group: Group = Group()
    isolation: IsolationMemory = IsolationMemory()
    nics_down: tuple[str, ...] = ()
    guard_alive: bool = True
    data: DataState = DataState.NONE
    guarded: bool = False
    """As source: every flush waits for the standby."""
    followed: bool = False
    """As source: the peer holds everything, but for what is on its way."""
    image: Image = Image()
    """What lies here."""
    data_starts: int = 0
    """How often the group's data were started by this run: what was said of them before counts no more."""
    heard_of: Epoch = Epoch()
    """The highest epoch that the replicator here, which has a memory of its own, has heard of."""
    dry_since: Instant = NEVER
    """Since when no data flow, as this node sees it; NEVER: they flow."""
    broken: bool = False
    """The disk refuses: nothing can be promised."""
    missed: Config | None = None
    """What the peer held while the disk refused, if it superseded what is stored here."""
    store_due: Instant = NEVER
    """Next probe of the disk."""
    store_asked: Instant = NEVER
    """Since when the disk owes the answer to a probe; NEVER: it does not."""
    store_proven: Instant = NEVER
    """When the last probe that the disk took was asked for; NEVER: none, or it has refused since."""
    leaving: bool = False
    left: bool = False
    want: str = ""
    """Wish to the holder: hand over to this node; the reason."""
    pending: Pending | None = None
    role: Role = Role.STARTING_UP
    alarms: tuple[str, ...] = ()
    """Kinds of alarms that are up."""
    outage: Span = Span(0)
    """Length of the last move as this node saw it."""
    lost_service: Instant = NEVER
    """Since when this node knows of nobody who acts, with the group in."""
