"""Document of a valid form → Cluster: defaults, units, the timing profile.

Never checks: what is of valid form can be built, also when it breaks rules. A section whose form is broken is
replaced by an empty one, and the rules that read it are not run (rules/table.py). Resources: build_group.py.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from pathlib import Path
from typing import Any, Literal

import msgspec

from hsorch.manifest.build_group import build_group
from hsorch.manifest.model import (
    Cluster,
    Connect,
    Isolation,
    LabConnect,
    Link,
    LocalConnect,
    Nic,
    Policy,
    Replication,
    Server,
    SshConnect,
)
from hsorch.manifest.units import milliseconds, rate, size
from hsorch.spec import Binding, HttpWitness, IsolationWitness, NoWitness, Secret, ShareWitness, Witness


class Timing(msgspec.Struct, frozen=True):
    """Milliseconds and heartbeats of a profile (docs/reference/manifest.md, policy.timing)."""

    interval: int
    max_missed: int
    suspect: int
    lease: int
    fence: int
    slack: int
    witness_timeout: int


PROFILES: Mapping[str, Timing] = {
    "default": Timing(250, 5, 1_000, 1_500, 400, 50, 300),
    "fast": Timing(40, 3, 120, 300, 80, 20, 120),
}


def build(data: Mapping[str, Any], broken: frozenset[str], folder: Path) -> Cluster:
    """folder: where relative paths on the controller start. broken: top-level keys that can't be read."""
    read = {key: value for key, value in data.items() if key not in broken}
    policy, timing = _policy(read.get("policy", {}), str(read.get("preferred", "")))
    servers = tuple(_server(name, raw, folder) for name, raw in read.get("servers", {}).items())
    return Cluster(
        name=read.get("cluster", ""),
        servers=servers,
        preferred=read.get("preferred", ""),
        links=tuple(_link(name, raw, timing) for name, raw in read.get("links", {}).items()),
        witness=_witness(read.get("witness", "none")),
        group=build_group(read.get("group", {"name": ""})),
        policy=policy,
        replication=_replication(read["replication"]) if "replication" in read else None,
        accept_risk=tuple(read.get("accept_risk", ())),
    )


def secret(raw: Mapping[str, Any]) -> Secret:
    """Sources that no node can read (keyring, command) leave it empty; the rule HS390 speaks of them."""
    return Secret(file=raw.get("file", ""), env=raw.get("env", ""))


def _server(name: str, raw: Mapping[str, Any], folder: Path) -> Server:
    nics = {
        role: Nic(role=role, name=nic["name"], address=_interface(nic["address"]))
        for role, nic in raw["nics"].items()
    }
    return Server(name=name, alias=raw.get("alias", ""), connect=_connect(raw["connect"], folder), nics=nics)


def _connect(raw: Mapping[str, Any], folder: Path) -> Connect:
    if "ssh" in raw:
        ssh = raw["ssh"]
        key = secret(ssh["key"]) if "key" in ssh else None
        if key is not None and key.file:
            key = Secret(file=_on_controller(key.file, folder))
        return SshConnect(
            host=ssh["host"],
            port=ssh.get("port", 22),
            user=ssh.get("user", ""),
            key=key,
            known_hosts=_on_controller(ssh.get("known_hosts", ""), folder),
            sudo=ssh.get("sudo", False),
        )
    return LocalConnect() if "local" in raw else LabConnect()


def _on_controller(path: str, folder: Path) -> str:
    home = os.path.expanduser(path)  # noqa: PTH111 - Path.expanduser raises where there is no such home
    return str(folder / home) if path else ""


def _link(name: str, raw: Mapping[str, Any], timing: Timing) -> Link:
    return Link(
        name=name,
        nic=raw["nic"],
        port=raw.get("port", 3000),
        interval=milliseconds(raw["interval"]) if "interval" in raw else timing.interval,
        max_missed=raw.get("max_missed", timing.max_missed),
        data=raw.get("data", False),
    )


def _witness(raw: str | Mapping[str, Any]) -> Witness:
    if isinstance(raw, str):
        return NoWitness()
    if "share" in raw:
        return ShareWitness(path=raw["share"])
    if "http" in raw:
        http = raw["http"]
        return HttpWitness(url=http["url"], token=secret(http["token"]), ca_file=http.get("ca", ""))
    return IsolationWitness() if "isolation" in raw else NoWitness()


def _replication(raw: Mapping[str, Any]) -> Replication:
    space = raw.get("free_space", {})
    everywhere = tuple(raw.get("exclude", ()))
    kinds: tuple[Literal["ordered", "watched"], ...] = ("ordered", "watched")
    return Replication(
        bindings=tuple(_binding(kind, item, everywhere) for kind in kinds for item in raw.get(kind, ())),
        ack=raw.get("ack", "durable"),
        port=raw.get("port", 3001),
        warn=size(space.get("warn", "5GiB")),
        stop=size(space.get("stop", "3GiB")),
    )


def _binding(
    kind: Literal["ordered", "watched"], raw: str | Mapping[str, Any], everywhere: tuple[str, ...]
) -> Binding:
    full: Mapping[str, Any] = {"path": raw} if isinstance(raw, str) else raw
    return Binding(
        path=full["path"],
        kind=kind,
        include=tuple(full.get("include", ())),
        exclude=(*full.get("exclude", ()), *everywhere),
        preset=full.get("preset", ""),
    )


def _policy(raw: Mapping[str, Any], preferred: str) -> tuple[Policy, Timing]:
    profile = raw.get("timing", "default")
    timing = PROFILES[profile]
    count, window = rate(raw.get("max_failovers", "3 per 1h"))
    on_conflict = raw.get("on_conflict", "preferred")
    isolation = raw.get("isolation", {})

    def time(key: str, default: int) -> int:
        return milliseconds(raw[key]) if key in raw else default

    policy = Policy(
        timing=profile,
        lease=time("lease", timing.lease),
        fence=time("fence", timing.fence),
        suspect=time("suspect", timing.suspect),
        slack=timing.slack,
        witness_timeout=time("witness_timeout", timing.witness_timeout),
        start_wait=time("start_wait", 60_000),
        witness_lost=raw.get("witness_lost", "prefer_incumbent"),
        witness_lost_after=time("witness_lost_after", 10_000),
        takeover=raw.get("takeover", "logical"),
        on_resource_error=raw.get("on_resource_error", "failover"),
        on_conflict=preferred if on_conflict == "preferred" else on_conflict,
        max_failovers=count,
        failover_window=window,
        reverse_replication=raw.get("reverse_replication", False),
        auto_resync_after_switch=raw.get("auto_resync_after_switch", True),
        isolation=Isolation(
            addresses=tuple(isolation.get("addresses", ())),
            max_missed=isolation.get("max_missed", 3),
            timeout=milliseconds(isolation.get("timeout", "1s")),
        ),
    )
    return policy, timing


def _interface(text: str) -> IPv4Interface | IPv6Interface:
    return ip_interface(text)
