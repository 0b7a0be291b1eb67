"""The standby takes connections of its peer, and only of one that speaks as it does itself."""

from __future__ import annotations

import contextlib
import socket

import pytest

from hsorch.node.replication.messages import VERSION, Hello, Refused
from hsorch.node.replication.reception import Reception
from hsorch.node.replication.setup import Setup
from hsorch.node.replication.tls import Keys
from hsorch.node.replication.wire import Channel, connect


def test_strangers_that_say_nothing_do_not_keep_the_peer_out(enrolled: tuple[Keys, Keys]) -> None:
    setup = Setup(job="ab" * 16, node="b", bindings=(), address="127.0.0.1", peer="127.0.0.1", port=0)
    reception = Reception(setup, enrolled[1])
    with contextlib.ExitStack() as strangers:
        strangers.callback(reception.stop)
        port = reception._listeners["127.0.0.1"].port
        for _ in range(3):
            strangers.enter_context(socket.create_connection(("127.0.0.1", port)))
        connect("127.0.0.1", port, enrolled[0]).release()


@pytest.mark.parametrize("version", [VERSION - 1, VERSION + 1])
def test_a_source_of_another_version_is_told_what_is_in_the_way(
    enrolled: tuple[Keys, Keys], version: int
) -> None:
    setup = Setup(job="ab" * 16, node="b", bindings=(), address="127.0.0.1", peer="127.0.0.1", port=0)
    served: list[Hello] = []

    def serve(_: Channel, hello: Hello) -> None:
        served.append(hello)

    reception = Reception(setup, enrolled[1])
    try:
        reception.open({"stream": serve})
        port = reception._listeners["127.0.0.1"].port
        channel = connect("127.0.0.1", port, enrolled[0])
        channel.send(Hello(version=version, job=bytes(16), node="a", purpose="stream"))
        answer = channel.receive(10)
    finally:
        reception.stop()
    assert answer is not None
    assert isinstance(answer.message, Refused)
    assert f"a speaks version {version} " in answer.message.why
    assert "same hsorch" in answer.message.why
    assert not served
