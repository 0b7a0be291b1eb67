"""The pair that the core's stories are told of."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from hsorch.spec import (
    Group,
    HttpWitness,
    Ip,
    Isolation,
    Link,
    Nic,
    Node,
    NoWitness,
    Policy,
    Process,
    Secret,
    Spec,
)
from tests.unit.core.duo import Duo

MakeSpec = Callable[..., Spec]


def make_spec(*, witness: bool = True, desired: str = "in", **policy: object) -> Spec:
    """Two nodes, two links, one address and one program on it. Lease 1500, fence 400, suspect 1000 ms."""

    def node(name: str, host: int) -> Node:
        nics = {
            "service": Nic(name="eth0", address=f"10.77.0.{host}/24"),
            "heartbeat": Nic(name="eth1", address=f"10.78.0.{host}/24"),
        }
        return Node(name=name, nics=nics)

    base = Policy(lease_ms=1500, fence_ms=400, suspect_ms=1000, start_wait_ms=5000, on_conflict="a")
    return Spec(
        cluster="orders",
        nodes=(node("a", 11), node("b", 12)),
        preferred="a",
        links=tuple(
            Link(name=n, nic=nic, port=7701, interval_ms=200, max_missed=5)
            for n, nic in (("direct", "heartbeat"), ("lan", "service"))
        ),
        witness=HttpWitness(url="http://w", token=Secret(env="T")) if witness else NoWitness(),
        group=Group(
            name="orders",
            desired_state="in" if desired == "in" else "out",
            resources=(
                Ip(name="vip", address="10.77.0.10/24", nic="service"),
                Process(name="app", argv=("/bin/app",), depends_on=("vip",)),
            ),
        ),
        policy=replace(base, **policy),
    )


@pytest.fixture
def spec() -> Spec:
    return make_spec()


@pytest.fixture
def pair(spec: Spec) -> Duo:
    """Healthy: a is active, b is standby, the witness is seen by both."""
    duo = Duo(spec).boot().run(3_000)
    assert duo.active == "a"
    return duo


@pytest.fixture
def lonely_pair() -> Duo:
    """Healthy, without a witness."""
    return Duo(make_spec(witness=False)).boot().run(3_000)


@pytest.fixture
def guarded_pair() -> Duo:
    """Healthy, with reference addresses for isolation."""
    return Duo(make_spec(isolation=Isolation(addresses=("10.77.0.1",)))).boot().run(3_000)
