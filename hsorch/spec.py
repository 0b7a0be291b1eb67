"""The wire contract between controller and node: what a pair is to become.

Both nodes hold the same Spec, byte for byte; a node learns from its Identity which of the two it is.
All times are whole milliseconds here; the failover core turns them into nanoseconds once.
Nothing in here is secret: `Secret` says where a node finds one.
"""

from __future__ import annotations

import functools
import hashlib
from typing import Literal

import msgspec

from hsorch import WIRE as WIRE


class Wire(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Base of all that is stored on or sent to a node."""


class Nic(Wire, frozen=True, kw_only=True):
    name: str
    address: str
    """CIDR, e.g. 10.77.0.11/24."""


class Node(Wire, frozen=True, kw_only=True):
    name: str
    alias: str = ""
    nics: dict[str, Nic]
    """By role: `service`, `heartbeat`, ..."""


class Link(Wire, frozen=True, kw_only=True):
    name: str
    nic: str
    """Role of the NIC on both nodes."""
    port: int
    interval_ms: int
    max_missed: int
    data: bool = False


class Secret(Wire, frozen=True, kw_only=True):
    """Where a node finds a secret. Exactly one field is set."""

    file: str = ""
    env: str = ""


class NoWitness(Wire, frozen=True, kw_only=True, tag="none"):
    """Takeover after a crash needs an operator (profile N1)."""


class ShareWitness(Wire, frozen=True, kw_only=True, tag="share"):
    path: str


class HttpWitness(Wire, frozen=True, kw_only=True, tag="http"):
    url: str
    token: Secret
    ca_file: str = ""


class IsolationWitness(Wire, frozen=True, kw_only=True, tag="isolation"):
    """Heuristic by reference addresses (profile N3): unsound, needs accept_risk in the manifest."""


Witness = NoWitness | ShareWitness | HttpWitness | IsolationWitness


class TcpCheck(Wire, frozen=True, kw_only=True, tag="tcp"):
    host: str
    port: int


class HttpCheck(Wire, frozen=True, kw_only=True, tag="http"):
    url: str
    """http:// or https://; `{vip}` is already filled in."""
    expect_status: int = 200
    ca_file: str = ""
    verify: bool = True


class CommandCheck(Wire, frozen=True, kw_only=True, tag="command"):
    argv: tuple[str, ...]


Check = TcpCheck | HttpCheck | CommandCheck


class Resource(Wire, frozen=True, kw_only=True):
    """What the group starts in dependency order and stops in reverse (REQ-D03, REQ-D05)."""

    name: str
    depends_on: tuple[str, ...] = ()
    start_limit_ms: int = 30_000
    stop_limit_ms: int = 30_000
    check_interval_ms: int = 1_000
    check_limit_ms: int = 5_000
    max_check_failures: int = 2
    """Consecutive failed checks until the resource counts as failed."""
    restarts: int = 1
    """Local restarts in a row before the policy decides (restart, then failover)."""


class Ip(Resource, frozen=True, kw_only=True, tag="ip"):
    address: str
    """CIDR."""
    nic: str
    """Role of the NIC on both nodes."""
    virtual_mac: str = ""
    announcements: int = 5


class Service(Resource, frozen=True, kw_only=True, tag="service"):
    unit: str
    probe: Check | None = None


class Process(Resource, frozen=True, kw_only=True, tag="process"):
    argv: tuple[str, ...]
    directory: str = ""
    user: str = ""
    environment: dict[str, str] = {}
    probe: Check | None = None


class Script(Resource, frozen=True, kw_only=True, tag="script"):
    start: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    check: tuple[str, ...] = ()
    required: bool = True
    """False: a failing script is a warning (`advisory`)."""
    run_stop_after_unclean: bool = False


class Probe(Resource, frozen=True, kw_only=True, tag="probe"):
    """Checks something that another resource runs; starting it waits until the check passes."""

    check: Check


class Data(Resource, frozen=True, kw_only=True, tag="data"):
    """The group's replicated data: started, they are mounted here and this node is their source. Everything
    else of the group stands on them."""


AnyResource = Ip | Service | Process | Script | Probe | Data


class Group(Wire, frozen=True, kw_only=True):
    name: str
    desired_state: Literal["in", "out"] = "out"
    """What a first apply makes of the group; afterwards operations rule."""
    resources: tuple[AnyResource, ...]
    """In start order: a topological order of depends_on, ties by manifest order."""


class Binding(Wire, frozen=True, kw_only=True):
    """One path that is replicated, as the manifest says it (globs: hsorch.node.replication.bindings)."""

    path: str
    kind: Literal["ordered", "watched"]
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    preset: Literal["", "mariadb", "sqlite"] = ""


class Replication(Wire, frozen=True, kw_only=True):
    """Which data follow the active node, and what an acknowledged write is worth."""

    bindings: tuple[Binding, ...]
    port: int = 3001
    """TCP, on the links with data: true."""
    ack: Literal["none", "received", "durable"] = "none"
    """What a flush of the application waits for: nothing, or the standby's memory or disk."""
    warn_bytes: int = 5 << 30
    stop_bytes: int = 3 << 30
    """Free space of each volume at which replication warns, and stops (REQ-J11)."""


class Isolation(Wire, frozen=True, kw_only=True):
    addresses: tuple[str, ...] = ()
    max_missed: int = 3
    timeout_ms: int = 1_000


class Policy(Wire, frozen=True, kw_only=True):
    lease_ms: int
    fence_ms: int
    """Fence budget F: lease end to all effects gone."""
    suspect_ms: int
    drift_ppm: int = 1_000
    slack_ms: int = 50
    start_wait_ms: int = 60_000
    witness_timeout_ms: int = 300
    witness_lost: Literal["prefer_incumbent", "require_both"] = "prefer_incumbent"
    witness_lost_after_ms: int = 10_000
    takeover: Literal["complete", "logical", "unconditional"] = "logical"
    on_resource_error: Literal["failover", "restart", "alarm"] = "failover"
    on_conflict: str
    """Name of the node that stays when two actives meet."""
    max_failovers: int = 3
    failover_window_ms: int = 3_600_000
    reverse_replication: bool = False
    """After a takeover under `logical` the old active node follows by itself (REQ-G05)."""
    auto_resync_after_switch: bool = True
    """After a switch the old active node follows by itself (REQ-G10)."""
    isolation: Isolation = Isolation()


class Spec(Wire, frozen=True, kw_only=True):
    """One protected pair."""

    wire: int = WIRE
    cluster: str
    revision: int = 0
    """Counts committed specs; 0 until the controller assigns one. Not part of the digest."""
    nodes: tuple[Node, Node]
    preferred: str
    links: tuple[Link, ...]
    witness: Witness
    group: Group
    policy: Policy
    replication: Replication | None = None
    """None: nothing is replicated."""

    def peer_of(self, name: str) -> Node:
        first, second = self.nodes
        return second if first.name == name else first

    def node(self, name: str) -> Node:
        return next(n for n in self.nodes if n.name == name)


class Identity(Wire, frozen=True, kw_only=True):
    """Which node of which pair this machine is; written once by the installer."""

    cluster: str
    cluster_id: str
    """Random 128-bit hex, made at the first apply: two clusters of one name never mix."""
    node: str


_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(Spec)


def encode(value: msgspec.Struct) -> bytes:
    """Canonical JSON bytes."""
    return _encoder.encode(value)


def decode_spec(data: bytes) -> Spec:
    """Raises msgspec.ValidationError with the path of the fault."""
    return _decoder.decode(data)


def digest(spec: Spec) -> str:
    """SHA-256 (hex) over the spec without its revision: equal on both nodes or an alarm (REQ-M13).

    Of what the spec says, not of how it came about: a default that was written out changes nothing.
    (msgspec leaves a default out by identity, so encode() may differ before and after a journey.)
    """
    return hashlib.sha256(_encoder.encode(_said(msgspec.structs.replace(spec, revision=0)))).hexdigest()


def _said(value: object) -> object:
    """Plain values, without what equals its default."""
    if isinstance(value, msgspec.Struct):
        tag = value.__struct_config__.tag
        said: dict[str, object] = {} if tag is None else {"type": tag}
        for name, default in _defaults(type(value)):
            field = getattr(value, name)
            if default is msgspec.NODEFAULT or field != default:
                said[name] = _said(field)
        return said
    if isinstance(value, tuple):
        return [_said(item) for item in value]
    if isinstance(value, dict):
        return {name: _said(item) for name, item in value.items()}
    return value


@functools.cache
def _defaults(kind: type[msgspec.Struct]) -> tuple[tuple[str, object], ...]:
    """Each field with its default; NODEFAULT: it has none."""
    return tuple(
        (
            field.name,
            field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory(),
        )
        for field in msgspec.structs.fields(kind)
    )
