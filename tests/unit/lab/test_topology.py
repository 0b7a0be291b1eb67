"""From a Spec to machines and cables, and from faults to rules of the switches."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from hsorch.errors import LabError
from hsorch.lab.faults import KINDS, Fault, parse
from hsorch.lab.topology import Topology, topology_of
from hsorch.lab.wires import carrier_batch, rules
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
    Secret,
    ShareWitness,
    Spec,
)

TOKEN = Secret(file="/var/lib/hsorch/witness.token")
WITNESS = HttpWitness(url="http://10.78.0.5:7350", token=TOKEN)


def node(name: str, host: int) -> Node:
    service = Nic(name="eth0", address=f"10.77.0.{host}/24")
    heartbeat = Nic(name="eth1", address=f"192.168.50.{host}/24")
    return Node(name=name, alias=f"{name}-alias", nics={"service": service, "heartbeat": heartbeat})


SPEC = Spec(
    cluster="c",
    nodes=(node("a", 11), node("b", 12)),
    preferred="a",
    links=(
        Link(name="lan", nic="service", port=3000, interval_ms=200, max_missed=5),
        Link(name="direct", nic="heartbeat", port=3000, interval_ms=200, max_missed=5),
    ),
    witness=WITNESS,
    group=Group(name="g", resources=(Ip(name="IP", address="10.77.0.10/24", nic="service"),)),
    policy=Policy(
        lease_ms=1500,
        fence_ms=400,
        suspect_ms=1000,
        on_conflict="a",
        isolation=Isolation(addresses=("10.77.0.1",)),
    ),
)


@pytest.fixture
def topology() -> Topology:
    return topology_of(SPEC)


def addresses(topology: Topology, machine: str) -> dict[str, tuple[str, ...]]:
    return {port.bridge: port.addresses for port in topology.machine(machine).ports}


def test_each_subnet_is_a_switch_and_the_isolation_address_is_the_switch(topology: Topology) -> None:
    assert [bridge.name for bridge in topology.bridges] == ["service", "heartbeat", "witness"]
    assert topology.bridges[0].addresses == ("10.77.0.1/24",)


def test_the_client_sits_where_the_vip_is(topology: Topology) -> None:
    assert addresses(topology, "client") == {"service": ("10.77.0.254/24",)}


def test_a_witness_elsewhere_gets_a_network_of_its_own(topology: Topology) -> None:
    assert addresses(topology, "witness") == {"witness": ("10.78.0.5/24",)}
    assert addresses(topology, "a")["witness"] == ("10.78.0.254/24",)
    assert addresses(topology, "b")["witness"] == ("10.78.0.253/24",)


def test_a_witness_in_a_subnet_of_the_nodes_joins_it() -> None:
    topology = topology_of(replace(SPEC, witness=HttpWitness(url="http://10.77.0.5:7350", token=TOKEN)))
    assert addresses(topology, "witness") == {"service": ("10.77.0.5/24",)}
    assert set(addresses(topology, "a")) == {"service", "heartbeat"}


def test_a_pair_without_a_witness_has_no_witness_machine() -> None:
    assert "witness" not in [m.name for m in topology_of(replace(SPEC, witness=NoWitness())).machines]


def test_a_share_is_a_folder_of_both_nodes() -> None:
    topology = topology_of(replace(SPEC, witness=ShareWitness(path="/mnt/share")))
    assert topology.share == "/mnt/share"
    assert len(topology.machines) == 3


def test_an_ipv6_address_shares_the_switch_of_its_card() -> None:
    second = Ip(name="IP6", address="fd00:77::10/64", nic="service")
    group = replace(SPEC.group, resources=(*SPEC.group.resources, second))
    topology = topology_of(replace(SPEC, group=group))
    assert len(topology.bridges) == 3
    assert addresses(topology, "client") == {"service": ("10.77.0.254/24", "fd00:77::ffff:ffff:ffff:ffff/64")}


def test_macs_are_the_same_at_each_boot_and_differ_between_cards(topology: Topology) -> None:
    macs = [port.mac for machine in topology.machines for port in machine.ports]
    assert len(set(macs)) == len(macs)
    assert macs == [port.mac for machine in topology_of(SPEC).machines for port in machine.ports]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (replace(SPEC, nodes=(node("client", 11), node("b", 12))), "name client"),
        (replace(SPEC, witness=HttpWitness(url="http://witness:1", token=TOKEN)), "by host name"),
        (replace(SPEC, witness=HttpWitness(url="https://10.78.0.5", token=TOKEN)), "speaks http"),
        (replace(SPEC, witness=HttpWitness(url="http://10.77.0.11", token=TOKEN)), "in use by the pair"),
        (replace(SPEC, witness=HttpWitness(url="http://10.78.0.5", token=Secret(env="T"))), "into a file"),
        (replace(SPEC, witness=HttpWitness(url="http://10.78.0.5", token=Secret(file="/etc/t"))), "a file"),
    ],
)
def test_what_a_lab_cannot_stand_in_for_is_said(spec: Spec, message: str) -> None:
    with pytest.raises(LabError, match=message) as refused:
        topology_of(spec)
    assert refused.value.code == "HS803"
    assert refused.value.hint


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ("crash a", Fault(kind="crash", node="a")),
        ("crash a-alias", Fault(kind="crash", node="a")),
        ("link-down lan", Fault(kind="link-down", link="lan")),
        ("link-down b lan", Fault(kind="link-down", node="b", link="lan")),
        ("link-loss lan 30", Fault(kind="link-loss", link="lan", amount=30)),
        ("link-loss a lan 30%", Fault(kind="link-loss", node="a", link="lan", amount=30)),
        ("clock-step a", Fault(kind="clock-step", node="a", amount=3600)),
        ("clock-step a -60", Fault(kind="clock-step", node="a", amount=-60)),
        ("service-kill a IP", Fault(kind="service-kill", node="a", resource="IP")),
        ("partition", Fault(kind="partition")),
    ],
)
def test_words_of_the_command_line_name_a_fault(topology: Topology, words: str, fault: Fault) -> None:
    kind, *arguments = words.split()
    assert parse(kind, arguments, topology) == fault


def test_every_kind_takes_at_most_one_optional_argument() -> None:
    # parse() relies on it: the count alone says whether it is there.
    assert all(sum(name.startswith("[") for name in kind.takes) <= 1 for kind in KINDS.values())


def test_rules_without_faults_let_everything_pass(topology: Topology) -> None:
    assert "drop" not in rules(topology, [])


def test_a_partition_cuts_both_ways_on_all_networks(topology: Topology) -> None:
    text = rules(topology, [Fault(kind="partition")])
    assert 'iifname { "m0p0", "m0p1", "m0p2" } oifname { "m1p0", "m1p1", "m1p2" } drop' in text
    assert 'iifname { "m1p0", "m1p1", "m1p2" } oifname { "m0p0", "m0p1", "m0p2" } drop' in text


def test_carrier_follows_the_faults_of_machines_that_are_on(topology: Topology) -> None:
    batch = carrier_batch(topology, [Fault(kind="link-down", node="a", link="direct")], frozenset({"a"}))
    assert batch == "link set m0p0 up\nlink set m0p1 down\nlink set m0p2 up\n"
