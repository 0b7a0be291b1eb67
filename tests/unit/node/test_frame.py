"""A heartbeat is believed only from the peer, of this cluster, on this link, unaltered."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hsorch.node.core.types import Beat, Config, Epoch, Role
from hsorch.node.link.frame import Opened, Reason, Sealer, Times, encode_body

CLUSTER = "00112233445566778899aabbccddeeff"
KEY = bytes(range(32))
BEAT = Beat(
    wire=1,
    cluster="plant",
    sender="a",
    boot="boot-1",
    incarnation=7,
    seq=41,
    config=Config(epoch=Epoch(1, 2), holder="a"),
    role=Role.ACTIVE,
    acting=True,
)
FRAME = Sealer(CLUSTER, "lan", KEY).seal(encode_body(BEAT), Times(stamp=5, echo=6, held=7))


def test_a_frame_arrives_as_it_was_sent() -> None:
    assert Sealer(CLUSTER, "lan", KEY).open(FRAME) == Opened(BEAT, Times(5, 6, 7))


def test_another_key_is_a_forgery() -> None:
    assert Sealer(CLUSTER, "lan", bytes(32)).open(FRAME) is Reason.FORGED


def test_a_frame_of_one_link_proves_nothing_on_another() -> None:
    assert Sealer(CLUSTER, "direct", KEY).open(FRAME) is Reason.FORGED


def test_another_cluster_is_named_as_such() -> None:
    assert Sealer("f" * 32, "lan", KEY).open(FRAME) is Reason.CLUSTER


def test_another_wire_version_is_named_as_such() -> None:
    assert Sealer(CLUSTER, "lan", KEY, wire=2).open(FRAME) is Reason.WIRE


def test_an_authentic_body_that_is_no_beat_is_malformed() -> None:
    sealer = Sealer(CLUSTER, "lan", KEY)
    assert sealer.open(sealer.seal(b"\x01", Times(0))) is Reason.MALFORMED


def test_a_frame_fits_an_ethernet_packet() -> None:
    assert len(FRAME) < 1400


@given(st.data())
def test_no_flipped_bit_gets_through(data: st.DataObject) -> None:
    altered = bytearray(FRAME)
    altered[data.draw(st.integers(0, len(FRAME) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert isinstance(Sealer(CLUSTER, "lan", KEY).open(bytes(altered)), Reason)


@given(st.binary(max_size=2000))
def test_no_input_raises(noise: bytes) -> None:
    assert isinstance(Sealer(CLUSTER, "lan", KEY).open(noise), Reason)
