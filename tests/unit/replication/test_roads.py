"""The data take the spare link while the data link is down, and go back once that is healthy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hsorch.node.replication.folders import likeness
from hsorch.node.replication.messages import Hello, Refused
from hsorch.node.replication.reception import Reception
from hsorch.node.replication.roads import Roads
from hsorch.node.replication.setup import Road, Setup
from hsorch.node.replication.tls import Keys
from hsorch.node.replication.wire import Broken, Channel, Listener
from tests.unit.replication.test_watched import eventually

DATA, SPARE = "127.0.0.1", "127.0.0.2"
HELLO = Hello(job=b"j" * 16, node="a", purpose="stream", folders=likeness(()))


class Standby:
    """Listens on each link that is up, and keeps what it is sent open."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        with_port = Listener(DATA, 0, keys)
        self.port = with_port.port
        with_port.close()
        self._up: dict[str, Reception] = {}

    def up(self, address: str) -> None:
        self._up[address] = Reception(setup(self.port, address), self._keys)
        self._up[address].open({"stream": self._listen})

    def down(self, address: str) -> None:
        self._up.pop(address).stop()

    def pause(self, address: str, why: str) -> None:
        self._up[address].pause(why)

    def close(self) -> None:
        for address in list(self._up):
            self.down(address)

    def _listen(self, channel: Channel, hello: Hello) -> None:
        channel.send(hello)
        while True:
            channel.receive()


def setup(port: int, address: str, *spare: Road) -> Setup:
    return Setup(
        job="ab" * 16,
        node="a",
        bindings=(),
        link="data",
        address=address,
        peer=address,
        port=port,
        spare=spare,
    )


@pytest.fixture
def standby(enrolled: tuple[Keys, Keys]) -> Iterator[Standby]:
    made = Standby(enrolled[1])
    yield made
    made.close()


@pytest.fixture
def roads(standby: Standby, enrolled: tuple[Keys, Keys], tmp_path: Path) -> Iterator[Roads]:
    spare = Road(link="heartbeat", address=SPARE, peer=SPARE)
    made = Roads(setup(standby.port, DATA, spare), enrolled[0], look_s=0.05)
    yield made
    made.stop()


def said(channel: Channel) -> object:
    channel.send(HELLO)
    frame = channel.receive(10)
    assert frame is not None
    return frame.message


def test_the_data_link_is_preferred(standby: Standby, roads: Roads) -> None:
    standby.up(DATA)
    standby.up(SPARE)
    assert said(roads.dial()) == HELLO
    assert roads.link == "data"


def test_the_spare_link_takes_over_and_gives_back(standby: Standby, roads: Roads) -> None:
    standby.up(SPARE)
    channel = roads.dial()
    assert said(channel) == HELLO
    assert roads.link == "heartbeat"
    standby.up(DATA)
    eventually(lambda: channel.closed)
    assert said(roads.dial()) == HELLO
    assert roads.link == "data"


def test_without_any_link_each_is_named(roads: Roads) -> None:
    with pytest.raises(Broken, match=rf"{DATA} .*{SPARE}"):
        roads.dial()


def test_a_paused_standby_says_why_and_sends_away_who_is_there(standby: Standby, roads: Roads) -> None:
    standby.up(DATA)
    channel = roads.dial()
    assert said(channel) == HELLO
    standby.pause(DATA, "no room")
    with pytest.raises(Broken):
        channel.receive(10)
    assert said(roads.dial()) == Refused(why="no room")
    standby.pause(DATA, "")
    assert said(roads.dial()) == HELLO
