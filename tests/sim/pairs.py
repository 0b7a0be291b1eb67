"""Pairs that the simulator's tests run: both timing profiles, each kind of witness."""

from __future__ import annotations

from typing import Literal

import msgspec

from hsorch.sim.with_data import with_data
from hsorch.spec import (
    Group,
    HttpWitness,
    Ip,
    IsolationWitness,
    Link,
    Nic,
    Node,
    NoWitness,
    Policy,
    Process,
    Secret,
    ShareWitness,
    Spec,
    Witness,
)

DEFAULT = Policy(lease_ms=1500, fence_ms=400, suspect_ms=1000, on_conflict="a")
FAST = Policy(lease_ms=300, fence_ms=80, suspect_ms=120, slack_ms=20, witness_timeout_ms=120, on_conflict="a")
HTTP = HttpWitness(url="http://10.77.0.9:7700", token=Secret(file="/etc/hsorch/token"))
WITNESSES: dict[str, Witness] = {
    "http": HTTP,
    "share": ShareWitness(path="/mnt/witness"),
    "none": NoWitness(),
    "isolation": IsolationWitness(),
}


def pair(policy: Policy = DEFAULT, witness: Witness = HTTP) -> Spec:
    """Two nodes, two links, one address, one program that depends on it."""
    fast = policy.lease_ms < 1000
    interval, missed = (40, 3) if fast else (250, 5)

    def node(name: str, host: int) -> Node:
        return Node(
            name=name,
            nics={
                "service": Nic(name="eth0", address=f"10.77.0.{host}/24"),
                "heartbeat": Nic(name="eth1", address=f"10.78.0.{host}/24"),
            },
        )

    return Spec(
        cluster="orders",
        nodes=(node("a", 11), node("b", 12)),
        preferred="a",
        links=(
            Link(name="hb", nic="heartbeat", port=7701, interval_ms=interval, max_missed=missed),
            Link(name="lan", nic="service", port=7701, interval_ms=interval, max_missed=missed),
        ),
        witness=witness,
        group=Group(
            name="orders",
            desired_state="in",
            resources=(
                Ip(name="IP-orders", address="10.77.0.10/24", nic="service"),
                Process(name="app", argv=("/usr/bin/app",), depends_on=("IP-orders",)),
            ),
        ),
        policy=policy,
    )


def isolation_policy(policy: Policy) -> Policy:
    isolation = msgspec.structs.replace(policy.isolation, addresses=("10.77.0.1",))
    return msgspec.structs.replace(policy, isolation=isolation)


def replicated(takeover: Literal["complete", "logical"], policy: Policy = DEFAULT) -> Spec:
    """A pair whose program writes into a replicated folder."""
    return with_data(pair(policy), takeover)
