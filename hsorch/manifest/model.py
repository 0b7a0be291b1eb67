"""What a manifest means: the frozen Cluster that all later stages read.

Durations are whole milliseconds, addresses are ipaddress interfaces, defaults are filled in. What is the same
on the wire (witness, checks, secrets) is taken from hsorch.spec. Nothing in here checks anything: see rules/.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Interface, IPv6Interface
from typing import Literal

import msgspec

from hsorch.spec import Binding, Check, Secret, Witness

Interface = IPv4Interface | IPv6Interface
"""An address with its network, e.g. 10.77.0.11/24."""
Milliseconds = int
DRIFT_PPM = 1_000
"""Bound on the rate error of a monotonic clock (Linux slews by up to 500 ppm)."""
Profile = Literal["default", "fast"]


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all values of the model."""


class LabConnect(Value, frozen=True, kw_only=True, tag="lab"):
    """A node of the embedded lab, made by apply."""


class LocalConnect(Value, frozen=True, kw_only=True, tag="local"):
    """The machine hsorch runs on."""


class SshConnect(Value, frozen=True, kw_only=True, tag="ssh"):
    """key, known_hosts: paths on the controller, absolute when the manifest's folder is."""

    host: str
    port: int = 22
    user: str = ""
    key: Secret | None = None
    known_hosts: str = ""
    sudo: bool = False


Connect = LabConnect | LocalConnect | SshConnect


class Nic(Value, frozen=True, kw_only=True):
    role: str
    name: str
    address: Interface


class Server(Value, frozen=True, kw_only=True):
    name: str
    alias: str = ""
    connect: Connect
    nics: Mapping[str, Nic]
    """By role."""


class Link(Value, frozen=True, kw_only=True):
    name: str
    nic: str
    """Role of the NIC on both servers."""
    port: int
    interval: Milliseconds
    max_missed: int
    data: bool = False


class Health(Value, frozen=True, kw_only=True):
    """How a resource is checked; no check: only that it runs."""

    check: Check | None = None
    interval: Milliseconds = 1_000
    timeout: Milliseconds = 5_000
    max_failures: int = 2


class Resource(Value, frozen=True, kw_only=True):
    """depends_on is complete: explicit names are resolved, the implicit chain is filled in."""

    name: str
    depends_on: tuple[str, ...] = ()
    start_limit: Milliseconds = 30_000
    stop_limit: Milliseconds = 30_000
    restarts: int = 1
    health: Health = Health()
    path: tuple[str | int, ...] = ()
    """Where in the manifest it is written."""


class Vip(Resource, frozen=True, kw_only=True, tag="ip"):
    address: Interface
    nic: str
    virtual_mac: str = ""
    announcements: int = 5


class Service(Resource, frozen=True, kw_only=True, tag="service"):
    unit: str


class Process(Resource, frozen=True, kw_only=True, tag="process"):
    command: tuple[str, ...]
    directory: str = ""
    user: str = ""
    environment: Mapping[str, str] = {}


class Script(Resource, frozen=True, kw_only=True, tag="script"):
    start: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    check: tuple[str, ...] = ()
    required: bool = True
    run_stop_after_unclean: bool = False


class Probe(Resource, frozen=True, kw_only=True, tag="probe"):
    """Its check is health.check."""


AnyResource = Vip | Service | Process | Script | Probe


class Group(Value, frozen=True, kw_only=True):
    name: str
    desired_state: Literal["in", "out"] = "out"
    resources: tuple[AnyResource, ...] = ()
    """In manifest order: vips, scripts, services, processes, probes."""

    @property
    def vips(self) -> tuple[Vip, ...]:
        return tuple(r for r in self.resources if isinstance(r, Vip))


class Isolation(Value, frozen=True, kw_only=True):
    addresses: tuple[str, ...] = ()
    max_missed: int = 3
    timeout: Milliseconds = 1_000


class Policy(Value, frozen=True, kw_only=True):
    timing: Profile = "default"
    lease: Milliseconds
    fence: Milliseconds
    suspect: Milliseconds
    slack: Milliseconds
    witness_timeout: Milliseconds
    start_wait: Milliseconds = 60_000
    witness_lost: Literal["prefer_incumbent", "require_both"] = "prefer_incumbent"
    witness_lost_after: Milliseconds = 10_000
    takeover: Literal["complete", "logical", "unconditional"] = "logical"
    on_resource_error: Literal["failover", "restart", "alarm"] = "failover"
    on_conflict: str = ""
    """Name of the server that stays when two actives meet."""
    max_failovers: int = 3
    failover_window: Milliseconds = 3_600_000
    reverse_replication: bool = False
    auto_resync_after_switch: bool = True
    isolation: Isolation = Isolation()


class Replication(Value, frozen=True, kw_only=True):
    """Which data follow the active server. Sizes in bytes; bindings as written, ordered ones first."""

    bindings: tuple[Binding, ...] = ()
    ack: Literal["received", "durable"] = "durable"
    """What `takeover: complete` waits for; the other policies wait for nothing."""
    port: int = 3001
    warn: int = 5 << 30
    stop: int = 3 << 30


class Cluster(Value, frozen=True, kw_only=True):
    """One protected pair. A cluster that load() hands out has two servers and broke no rule."""

    name: str
    servers: tuple[Server, ...]
    preferred: str
    links: tuple[Link, ...]
    witness: Witness
    group: Group
    policy: Policy
    replication: Replication | None = None
    accept_risk: tuple[str, ...] = ()

    def server(self, name: str) -> Server:
        return next(s for s in self.servers if s.name == name)
