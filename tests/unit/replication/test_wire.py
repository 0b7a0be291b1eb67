"""The channel: only the enrolled peer, both ways at once, and a damaged byte ends it."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from hsorch.node.replication.ahead import Ahead
from hsorch.node.replication.messages import Ack, Data, Refused
from hsorch.node.replication.tls import Keys
from hsorch.node.replication.wire import Broken, Channel, Listener, connect

Pair = tuple[Keys, Keys]


def meet(client: Keys, server: Keys, port_of: socket.socket | None = None) -> tuple[Channel, Channel]:
    listener = Listener("127.0.0.1", 0, server)
    port = listener.port if port_of is None else port_of.getsockname()[1]
    with ThreadPoolExecutor() as pool:
        accepted = pool.submit(listener.accept, 10)
        try:
            connected = connect("127.0.0.1", port, client)
            other = accepted.result()
        finally:
            listener.close()
    assert other is not None
    return connected, other


def test_the_private_key_is_nobody_elses(enrolled: Pair) -> None:
    assert stat.S_IMODE(enrolled[0].key.stat().st_mode) == 0o600


def test_frames_arrive_as_they_were_sent(enrolled: Pair) -> None:
    a, b = meet(*enrolled)
    large = os.urandom(3_000_000)
    with ThreadPoolExecutor() as pool:
        sent = pool.submit(a.send, Data(lsn=5), large)
        frame = b.receive(10)
        sent.result()
    assert frame is not None
    assert frame.message == Data(lsn=5)
    assert bytes(frame.body) == large
    b.send(Ack(received=1, durable=2, applied=3))
    answer = a.receive(10)
    assert answer is not None
    assert answer.message == Ack(received=1, durable=2, applied=3)
    assert a.receive(0.01) is None


def test_both_ends_send_and_receive_at_once(enrolled: Pair) -> None:
    ends = meet(*enrolled)
    body = os.urandom(700_000)

    def send(channel: Channel) -> None:
        for number in range(40):
            channel.send(Data(lsn=number), body)

    def receive(channel: Channel) -> list[int]:
        numbers = []
        for _ in range(40):
            frame = channel.receive(20)
            assert frame is not None
            assert isinstance(frame.message, Data)
            assert bytes(frame.body) == body
            numbers.append(frame.message.lsn)
        return numbers

    with ThreadPoolExecutor(8) as pool:
        sends = [pool.submit(send, end) for end in ends]
        receives = [pool.submit(receive, end) for end in ends]
        for done in sends:
            done.result()
        assert [done.result() for done in receives] == [list(range(40))] * 2


def test_a_stranger_gets_no_channel_in_either_direction(enrolled: Pair, stranger: Keys) -> None:
    a, b = enrolled
    for client, server in ((stranger, b), (a, stranger)):
        with pytest.raises(Broken):
            meet(client, server)


def test_closing_wakes_whoever_waits(enrolled: Pair) -> None:
    a, _ = meet(*enrolled)
    woken: list[str] = []

    def wait() -> None:
        try:
            a.receive()
        except Broken as end:
            woken.append(str(end))

    waiter = threading.Thread(target=wait)
    waiter.start()
    a.close()
    waiter.join(10)
    assert woken == ["the channel was closed here"]


def test_one_flipped_byte_on_the_wire_ends_the_channel(enrolled: Pair) -> None:
    a, b = enrolled
    listener = Listener("127.0.0.1", 0, b)
    middle = socket.create_server(("127.0.0.1", 0))
    flip = threading.Event()

    def relay() -> None:
        left, _ = middle.accept()
        right = socket.create_connection(("127.0.0.1", listener.port))

        def pump(source: socket.socket, target: socket.socket, damage: bool) -> None:
            with contextlib.suppress(OSError):
                while data := source.recv(65_536):
                    if damage and flip.is_set():
                        data = data[:-1] + bytes([data[-1] ^ 1])
                    target.sendall(data)

        threading.Thread(target=pump, args=(right, left, False), daemon=True).start()
        pump(left, right, True)

    threading.Thread(target=relay, daemon=True).start()
    with ThreadPoolExecutor() as pool:
        accepted = pool.submit(listener.accept, 10)
        connected = connect("127.0.0.1", middle.getsockname()[1], a)
        other = accepted.result()
    assert other is not None
    connected.send(Data(lsn=1), b"whole")
    assert other.receive(10) is not None
    flip.set()
    connected.send(Data(lsn=2), b"damaged")
    with pytest.raises(Broken):
        other.receive(10)


def test_keys_that_are_just_exchanged_end_one_attempt_and_not_who_makes_it(
    enrolled: Pair, tmp_path: Path
) -> None:
    a, b = enrolled
    peer = tmp_path / "peer"
    changing = Keys(b.certificate, b.key, peer)
    for half in (None, "", "-----BEGIN CERTIFICATE-----"):
        if half is not None:
            peer.write_text(half)
        for client, server in ((a, changing), (Keys(a.certificate, a.key, peer), b)):
            with pytest.raises(Broken):
                meet(client, server)
    peer.write_bytes(b.peer.read_bytes())
    meet(a, changing)


@pytest.mark.parametrize("damage", [b"\xff", b"\xc1"])
def test_who_waits_for_a_frame_hears_of_one_that_makes_no_sense(enrolled: Pair, damage: bytes) -> None:
    a, b = meet(*enrolled)
    ahead = Ahead(b)
    head = msgspec.msgpack.encode(Refused(why="told")).replace(b"told", b"tol" + damage)
    a._session.write(struct.pack(">II", len(head), 0) + head, timeout_s=10)
    with pytest.raises(Broken, match="unknown message"):
        ahead.next(10)
    ahead.end()


def test_who_waits_for_a_frame_hears_of_whatever_ends_the_receiver(
    enrolled: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, b = meet(*enrolled)

    def fail(*_: object, **__: object) -> None:
        raise MemoryError("no room for it")

    monkeypatch.setattr(b, "receive", fail)
    ahead = Ahead(b)
    with pytest.raises(Broken, match="no room for it"):
        ahead.next(10)
    ahead.end()
