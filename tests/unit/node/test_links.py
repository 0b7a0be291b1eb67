"""Both ends of a link over real UDP sockets on loopback."""

from __future__ import annotations

import select
import socket

import msgspec

from hsorch.node import clock
from hsorch.node.core.types import Beat, Event, Received, Rejected
from hsorch.node.link.frame import Reason
from hsorch.node.link.links import Links
from hsorch.spec import Nic, Node, Spec


def opened(spec: Spec, me: str, cluster_id: str, key: bytes) -> Links:
    links = Links(spec, me, cluster_id, key)
    assert list(links.repair()) == ["lan"]
    return links


def arrived(links: Links) -> list[Event]:
    poll = select.poll()
    poll.register(links.descriptors()["lan"], select.POLLIN)
    poll.poll(2_000)
    return list(links.read("lan", clock.now))


def test_a_beat_reaches_the_peer_on_every_link(spec: Spec, cluster_id: str, key: bytes, beat: Beat) -> None:
    a, b = opened(spec, "a", cluster_id, key), opened(spec, "b", cluster_id, key)
    a.send(beat, (), clock.now)
    (event,) = arrived(b)
    assert isinstance(event, Received)
    assert event.link == "lan"
    assert event.beat.seq == beat.seq
    assert b.report(clock.now())[0].up


def test_a_replayed_frame_is_counted_and_never_reaches_the_core(
    spec: Spec, cluster_id: str, key: bytes, beat: Beat
) -> None:
    a, b = opened(spec, "a", cluster_id, key), opened(spec, "b", cluster_id, key)
    for _ in range(3):
        a.send(beat, (), clock.now)
    # Sealed anew each time, but one seq: to the receiver the second and third are replays.
    events: list[Event] = []
    while b.report(clock.now())[0].rejected < 2:
        events += arrived(b)
    assert [type(event) for event in events] == [Received]


def test_a_frame_of_another_cluster_is_an_alarm_by_name(
    spec: Spec, cluster_id: str, key: bytes, beat: Beat
) -> None:
    foreign, b = opened(spec, "a", "f" * 32, key), opened(spec, "b", cluster_id, key)
    foreign.send(beat, (), clock.now)
    assert arrived(b) == [Rejected(link="lan", why=Reason.CLUSTER)]


def test_a_frame_that_names_another_sender_is_a_strangers(
    spec: Spec, cluster_id: str, key: bytes, beat: Beat
) -> None:
    a, b = opened(spec, "a", cluster_id, key), opened(spec, "b", cluster_id, key)
    a.send(msgspec.structs.replace(beat, sender="b"), (), clock.now)
    assert arrived(b) == [Rejected(link="lan", why=Reason.STRANGER)]


def test_noise_from_the_other_end_is_told_once(spec: Spec, cluster_id: str, key: bytes) -> None:
    b, port = opened(spec, "b", cluster_id, key), spec.links[0].port
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as program:
        program.bind(("127.0.0.11", port))
        for _ in range(5):
            program.sendto(b"hello", ("127.0.0.12", port))
    events: list[Event] = []
    while b.report(clock.now())[0].rejected < 5:
        events += arrived(b)
    assert events == [Rejected(link="lan", why=Reason.NOT_OURS)]


def test_a_port_in_use_keeps_the_link_down_and_is_told_once(spec: Spec, cluster_id: str, key: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.11", spec.links[0].port))
        links = Links(spec, "a", cluster_id, key)
        assert list(links.repair()) == []
        assert [ends.port for ends in links.newly_taken_ports()] == [spec.links[0].port]
        assert list(links.newly_taken_ports()) == []
        assert "in use" in links.report(clock.now())[0].error
    assert list(links.repair()) == ["lan"]


def test_an_address_that_comes_later_is_waited_for(
    spec: Spec, cluster_id: str, key: bytes, beat: Beat
) -> None:
    absent = Node(name="a", nics={"service": Nic(name="lo", address="192.0.2.1/24")})
    links = Links(msgspec.structs.replace(spec, nodes=(absent, spec.nodes[1])), "a", cluster_id, key)
    assert list(links.repair()) == []
    links.send(beat, (), clock.now)
    assert "192.0.2.1" in links.report(clock.now())[0].error


def test_a_send_that_the_system_refuses_is_the_links_error(
    spec: Spec, cluster_id: str, key: bytes, beat: Beat
) -> None:
    broadcast = Node(name="b", nics={"service": Nic(name="lo", address="127.255.255.255/8")})
    links = Links(msgspec.structs.replace(spec, nodes=(spec.nodes[0], broadcast)), "a", cluster_id, key)
    assert list(links.repair()) == []
    links.send(beat, (), clock.now)
    assert "127.255.255.255" in links.report(clock.now())[0].error


def test_a_strangers_flood_does_not_push_the_peers_beat_out(
    spec: Spec, cluster_id: str, key: bytes, beat: Beat
) -> None:
    a, b = opened(spec, "a", cluster_id, key), opened(spec, "b", cluster_id, key)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for _ in range(5_000):
            stranger.sendto(b"x" * 1_000, ("127.0.0.12", spec.links[0].port))
    a.send(beat, (), clock.now)
    assert [type(event) for event in arrived(b)] == [Received]


def test_the_first_beat_to_a_peer_that_was_down_is_not_lost(
    spec: Spec, cluster_id: str, key: bytes, beat: Beat
) -> None:
    """Its machine has answered "nobody listens here" to the beats before."""
    a = opened(spec, "a", cluster_id, key)
    a.send(beat, (), clock.now)
    b = opened(spec, "b", cluster_id, key)
    a.send(msgspec.structs.replace(beat, seq=2), (), clock.now)
    assert [type(event) for event in arrived(b)] == [Received]
    assert list(a.read("lan", clock.now)) == []
