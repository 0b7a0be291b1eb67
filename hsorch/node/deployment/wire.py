"""What the deployment verbs read and write. Facts tolerate unknown fields: a node may run a newer runtime."""

from __future__ import annotations

from typing import Literal

import msgspec

from hsorch.spec import Identity, Spec
from hsorch.verbs import StatusReport

ServiceState = Literal["absent", "stopped", "running"]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what a node reports."""


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what a controller asks for."""

    cluster: str


class Machine(Report, frozen=True, kw_only=True):
    """What the operating system says; probe.py collects it, with or without the runtime."""

    hostname: str
    administrator: bool
    python: str
    """Absolute path of the interpreter that answers."""
    version: tuple[int, int]
    extensions: str
    """Suffix of its binary modules, e.g. `.cpython-311-x86_64-linux-gnu.so`."""
    wall: float
    """Seconds since 1970, UTC, when it answered."""
    systemd: bool
    at_boot: tuple[str, ...] = ()
    """Services that the system starts at boot by itself, e.g. `nginx.service`."""
    disk_free: int
    """Bytes free where hsorch keeps its state."""
    nics: dict[str, tuple[str, ...]] = {}
    """Interface → its addresses in CIDR form."""
    fuse: bool = False
    """Folders can be mounted over."""
    udp_ports: dict[int, str] = {}
    """Bound UDP port → who holds it, e.g. `dnsmasq (pid 812)`."""
    tcp_ports: dict[int, str] = {}
    """The same of TCP ports that are listened on."""
    tools: dict[str, str] = {}
    """Program → where it is; absent when not installed."""


class Lock(Report, frozen=True, kw_only=True):
    """Who is changing this node. Held by an operation id: the same id takes it again and renews it."""

    id: str
    owner: str
    operation: str
    since: float
    expires: float
    """Seconds since 1970 by the node's own clock."""


class Facts(Report, frozen=True, kw_only=True):
    """All that a plan needs of one node. Empty strings and None: not there."""

    machine: Machine
    runtime: str = ""
    """Name of the current runtime, `<version>-<digest>`."""
    wire: int = 0
    identity: Identity | None = None
    key: str = ""
    """Short fingerprint of the cluster key, never the key."""
    channel: str = ""
    """Short fingerprint of this node's certificate for the data channel."""
    channel_peer: str = ""
    """The same of the one that it trusts."""
    spec: Spec | None = None
    """The committed one."""
    digest: str = ""
    staged: str = ""
    """Digest of the staged spec."""
    lock: Lock | None = None
    service: ServiceState = "absent"
    running: str = ""
    """Name of the runtime that the living guard was started from; it may not be the current one any more."""
    agent: StatusReport | None = None
    trouble: str = ""
    """What could not be read, in words: a torn file, a spec of another wire version."""


class FactsQuery(Order, frozen=True, kw_only=True):
    """Input of facts."""


class TakeLock(Order, frozen=True, kw_only=True):
    id: str
    owner: str
    operation: str
    ttl_s: float = 900.0
    steal: str = ""
    """Id of another's lock that may be broken, by the operator's word."""


class ReleaseLock(Order, frozen=True, kw_only=True):
    id: str


class Enroll(Order, frozen=True, kw_only=True):
    identity: Identity
    key: str
    """Hex, 256 bit. Arrives on stdin only."""
    joins: bool = False
    """The pair is older than this machine's part in it: what it decided so far is only known to the peer."""


class ShowCertificate(Order, frozen=True, kw_only=True):
    """Make the key of the data channel unless it is there."""


class Certificate(Report, frozen=True, kw_only=True):
    pem: str


class Pin(Order, frozen=True, kw_only=True):
    """Trust this certificate of the peer on the data channel, and no other."""

    pem: str


class Stage(Order, frozen=True, kw_only=True):
    lock: str
    spec: Spec


class Commit(Order, frozen=True, kw_only=True):
    lock: str
    revision: int
    digest: str


class Abort(Order, frozen=True, kw_only=True):
    lock: str


class Service(Order, frozen=True, kw_only=True):
    action: Literal["install", "start", "stop", "remove"]
    limit_s: float = 90.0


class Leave(Order, frozen=True, kw_only=True):
    """Remove everything of this cluster from the node; the runtimes too when no other cluster is left."""


class Done(Report, frozen=True, kw_only=True):
    """changed: False when there was nothing to do."""

    changed: bool
    detail: str = ""
