"""A pair on loopback addresses: enough for everything that needs no namespaces."""

from __future__ import annotations

import pytest

from hsorch.node.core.types import Beat, Config, Epoch, Role
from hsorch.spec import Group, Link, Nic, Node, NoWitness, Policy, Spec

CLUSTER_ID = "00112233445566778899aabbccddeeff"
KEY = bytes(range(32))


@pytest.fixture
def cluster_id() -> str:
    return CLUSTER_ID


@pytest.fixture
def key() -> bytes:
    return KEY


@pytest.fixture
def spec(unused_port: int) -> Spec:
    return Spec(
        cluster="plant",
        nodes=(
            Node(name="a", nics={"service": Nic(name="lo", address="127.0.0.11/8")}),
            Node(name="b", nics={"service": Nic(name="lo", address="127.0.0.12/8")}),
        ),
        preferred="a",
        links=(Link(name="lan", nic="service", port=unused_port, interval_ms=200, max_missed=5),),
        witness=NoWitness(),
        group=Group(name="g", resources=()),
        policy=Policy(lease_ms=1500, fence_ms=400, suspect_ms=1000, on_conflict="a"),
    )


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.11", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def beat() -> Beat:
    return Beat(
        wire=1,
        cluster="plant",
        sender="a",
        boot="boot-1",
        incarnation=7,
        seq=1,
        config=Config(epoch=Epoch(1, 2), holder="a"),
        role=Role.ACTIVE,
        acting=True,
        renew=True,
    )
