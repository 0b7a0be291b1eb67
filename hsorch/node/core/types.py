"""Values of the failover core: state, events, and the one message between nodes.

The core is `decide(state, event, now) -> (state, actions)` (decide.py); actions are in actions.py. `now` and
every instant are nanoseconds of the node's own monotonic clock; they never cross the wire. Structs are
immutable.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NewType

import msgspec

from hsorch.node.core.shown import LinkStat, ResourceStatus
from hsorch.spec import Spec

Instant = NewType("Instant", int)
Span = NewType("Span", int)
"""Nanoseconds, as all instants, of the local monotonic clock."""
NodeName = str


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all core values."""


class Epoch(msgspec.Struct, frozen=True, order=True):
    """Majors are decided by the witness alone; minors by the pair inside a major."""

    major: int = 0
    minor: int = 0


class Config(Value, frozen=True, kw_only=True):
    """Who may act in an epoch: PAIR(holder) needs the peer's lease, SOLO(holder) is exclusive."""

    epoch: Epoch
    holder: NodeName
    solo: bool = False


class Desired(StrEnum):
    """What the operators want of the group; agreed by (version, node), newest wins."""

    IN = "in"
    OUT = "out"


class Intent(Value, frozen=True, kw_only=True):
    """Operators' standing wish, gossiped in every beat; the higher (version, by) wins."""

    version: int = 0
    by: NodeName = ""
    desired: Desired = Desired.OUT
    maintenance: bool = False
    """True: resources are left alone, no automatic move; leases go on."""


class DataState(StrEnum):
    """State of a node's replicated data (REQ-G13); NONE: nothing is replicated."""

    NONE = "none"
    COMPLETE = "complete"
    """Everything that the application was told is safe is here."""
    LOGICAL = "logical"
    """A picture of one moment; the last writes may be missing."""
    OUTDATED = "outdated"
    """A picture of one moment, but the peer went on without this node, or something else touched it."""
    INCONSISTENT = "inconsistent"
    """No picture of one moment: a mirror or resync is under way."""
    BLANK = "blank"
    """Nothing was ever replicated here."""
    UNKNOWN = "unknown"
    """The replicator does not answer."""


class Image(Value, frozen=True, kw_only=True):
    """What lies on a node, as its replicator says; part of every beat.

    generation: hex name of the line of writes, empty: none. ancestors: lines it goes on from, newest first.
    """

    generation: str = ""
    ancestors: tuple[str, ...] = ()
    lsn: int = 0
    """Where it ends: as source what was written, as target what was received."""
    source: bool = False
    """This node wrote last: it is the source, or was it and followed nobody since."""
    flows: bool = False
    """The data connection stands."""
    level: bool = False
    """As source: the peer has an image of this very line, and what it lacks is on its way."""
    behind_bytes: int = -1
    behind_ms: int = -1
    """As source: what the peer lacks; -1: not known."""


class Role(StrEnum):
    """A node's place in the protocol, as shown by status."""

    STARTING_UP = "init"
    OBSERVER = "observer"
    """Holds no rights: out of date, or the vote is given up."""
    STANDBY = "standby"
    SUSPECT = "suspect"
    WAITING = "waiting"
    PROPOSING = "proposing"
    STARTING = "starting"
    ACTIVE = "active"
    """Effects on, under the peer's lease (PAIR)."""
    ACTIVE_SOLO = "active-solo"
    """Effects on, exclusive (SOLO)."""
    RELEASING = "releasing"
    FENCING = "fencing"
    FENCED = "fenced"
    IDLE = "idle"
    """Holder while the group is out."""


class Durable(Value, frozen=True, kw_only=True):
    """What a node must never forget. Written before any message or effect that depends on it."""

    config: Config
    evidence: bool = True
    """The peer is known to have reached this major durably (rule 8)."""
    stale: bool = False
    """This node's data are behind: the peer went on alone, or this node was set back or has forgotten."""
    intent: Intent = Intent()
    boot: str = ""
    incarnation: int = 0
    """Counts agent starts; orders the frames of one node."""
    failovers: tuple[int, ...] = ()
    """Wall-clock seconds of recent automatic takeovers (flap limit)."""
    unclean: tuple[str, ...] = ()
    """Resources whose start ran without a matching stop (REQ-F09)."""
    cleared: bool = False
    """The group may start on whatever whole image is here: the peer handed everything over, or an operator
    said so."""
    witness_id: str = ""
    """Identity of the witness this node trusts; another one confirms nothing (fault 17)."""


class Beat(Value, frozen=True, kw_only=True):
    """The one message: a node's whole public state, sent on every link each interval and on change.

    seq rises with each beat of one incarnation, so an older beat can never overwrite a newer one. A beat
    whose echo is not the receiver's own run serves discovery only. grants names one beat of the receiver.
    """

    wire: int
    cluster: str
    """Name of the cluster; its random id is checked by the link, outside the core."""
    sender: NodeName
    boot: str
    incarnation: int
    seq: int
    echo_incarnation: int = 0
    echo_seq: int = 0
    config: Config
    role: Role
    acting: bool
    """Effects may be present (starting, active, releasing or fencing)."""
    proposed: bool = False
    """An unresolved proposal of this run of the sender may be at the witness."""
    stale: bool = False
    renew: bool = False
    """Asks for the lease, counted from this beat's send time."""
    hold: int = 0
    """Longest time in ns that the sender's effects may outlast a request (L+F): what a grant waits for."""
    grants: int = 0
    """seq of the receiver's beat (of echo_incarnation) whose lease request is granted; 0: none."""
    intent: Intent = Intent()
    data: DataState = DataState.NONE
    image: Image = Image()
    revision: int = 0
    digest: str = ""
    leaving: bool = False
    """Clean shutdown of this node: effects are gone, treat as release."""
    want: str = ""
    """Not empty: the sender asks the holder to hand over to it; the reason."""
    release: str = ""
    """Not empty: the sender is handing over, or handed over; the reason."""
    witness_ok: bool = False
    """The sender's last question to the witness was answered."""
    able: bool = True
    """As can_take, whatever the data here: a holder that hands over sees to those itself."""
    can_take: bool = True
    """Nothing speaks against a start of the group here: data, flaps, isolation, service link, disk."""
    resources: tuple[tuple[str, ResourceStatus], ...] = ()
    links: tuple[LinkStat, ...] = ()
    isolated: bool = False


# ---------------------------------------------------------------- events: what the world tells the core


class Tick(Value, frozen=True, kw_only=True, tag=True):
    """Time passed: due at wake_at(state), harmless at any time. Nanoseconds; a jump between the clocks
    ends leases (rule 13)."""

    wall: int
    boottime: int
    """CLOCK_BOOTTIME: counts suspend."""


class Received(Value, frozen=True, kw_only=True, tag=True):
    """An authenticated beat of this cluster arrived on a link."""

    link: str
    beat: Beat


class Rejected(Value, frozen=True, kw_only=True, tag=True):
    """A frame was dropped before the core: forged, other cluster, other wire version."""

    link: str
    why: str


class WitnessOutcome(StrEnum):
    CREATED = "created"
    EXISTS = "exists"
    ABSENT = "absent"
    FAILED = "failed"
    """No answer in time, read-only, wrong identity: not confirmed."""


class WitnessAnswer(Value, frozen=True, kw_only=True, tag=True):
    """Reply to AskWitness `request`. owner is set for CREATED (me) and EXISTS."""

    request: int
    major: int
    outcome: WitnessOutcome
    owner: NodeName = ""
    witness_id: str = ""
    """Identity of the register; a change means it was replaced (fault 17)."""
    detail: str = ""


class Operation(StrEnum):
    START = "start"
    STOP = "stop"
    KILL = "kill"
    CHECK = "check"


class ResourceOutcome(StrEnum):
    OK = "ok"
    FAILED = "failed"
    TIMEOUT = "timeout"


class ResourceResult(Value, frozen=True, kw_only=True, tag=True):
    """Reply to Run `call`."""

    call: int
    resource: str
    operation: Operation
    outcome: ResourceOutcome
    detail: str = ""


class Fenced(Value, frozen=True, kw_only=True, tag=True):
    """Reply to Fence: ok says that every effect was verified gone."""

    ok: bool
    detail: str = ""


class Persisted(Value, frozen=True, kw_only=True, tag=True):
    """ok=False: a Persist failed (full disk, I/O error); the rest of its list of actions was not carried
    out, and this is the very next event. ok=True: told only of one that succeeds on a broken disk."""

    ok: bool
    detail: str = ""


class StoreProbed(Value, frozen=True, kw_only=True, tag=True):
    """Reply to ProbeStore: whether the disk took it. One that hangs never answers."""

    ok: bool
    detail: str = ""


class NicChanged(Value, frozen=True, kw_only=True, tag=True):
    """Carrier or presence of the NIC in this role changed."""

    nic: str
    up: bool


class IsolationResult(Value, frozen=True, kw_only=True, tag=True):
    """Reply to ProbeIsolation: how many reference addresses answered."""

    answered: int
    asked: int


class GuardState(Value, frozen=True, kw_only=True, tag=True):
    """The watchdog process answers, or does not."""

    alive: bool


class Verb(StrEnum):
    BRING_IN = "bring-in"
    BRING_OUT = "bring-out"
    SWITCH = "switch"
    SET_ACTIVE = "set-active"
    MAINTENANCE_ON = "maintenance-on"
    MAINTENANCE_OFF = "maintenance-off"
    TAKEOVER = "takeover"
    """Only with force; a new major by the operator's word (rule 8d)."""
    SHUTDOWN = "shutdown"
    """This node's agent stops: release, then leave."""


class Command(Value, frozen=True, kw_only=True, tag=True):
    """An operator's verb, already confirmed by the command line. target: for set-active and switch."""

    id: str
    verb: Verb
    actor: str
    target: NodeName = ""


class DataChanged(Value, frozen=True, kw_only=True, tag=True):
    """What the replicator of this node says of its data (rule 12).

    guarded: as source, no flush of the application is answered any more without the standby, and none will be
    before this node was told otherwise. followed: the peer holds everything, or is about to.
    """

    state: DataState
    guarded: bool = False
    followed: bool = False
    image: Image = Image()
    epoch: Epoch = Epoch()
    """The highest one that the replicator has heard of: it takes nothing from a source of a lower one."""


class Reconfigured(Value, frozen=True, kw_only=True, tag=True):
    """A new committed spec is in force."""

    spec: Spec


Event = (
    Tick | Received | Rejected | WitnessAnswer | ResourceResult | Fenced | Persisted | StoreProbed
    | NicChanged | IsolationResult | GuardState | DataChanged | Command | Reconfigured
)  # fmt: skip
