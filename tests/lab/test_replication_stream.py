"""Source and standby over the real channel: mirror under load, order, acknowledgements, broken links."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hsorch.node.replication.apply import Applier
from hsorch.node.replication.capture.copyin import copy_in
from hsorch.node.replication.gate import Gate
from hsorch.node.replication.generations import begin, reached
from hsorch.node.replication.journal import Journal
from hsorch.node.replication.messages import Hello
from hsorch.node.replication.meta import Meta, MetaFile, Place
from hsorch.node.replication.record import Kind
from hsorch.node.replication.ship import Shipper
from hsorch.node.replication.spool import Spool
from hsorch.node.replication.tls import Keys, make_key
from hsorch.node.replication.tree import Tree
from hsorch.node.replication.wire import Broken, Channel, Listener, connect
from tests.lab.replication_world import START, Active, binding, picture, refuse

pytestmark = [pytest.mark.lab, pytest.mark.timeout(90)]

WRITE = """
import os, sys
folder, seed = sys.argv[1], int(sys.argv[2])
import random
random = random.Random(seed)
for number in range(150):
    name = f"{folder}/{seed}-{random.randrange(8)}"
    with open(name, "r+b" if os.path.exists(name) else "wb") as file:
        file.seek(random.randrange(20_000))
        file.write(random.randbytes(random.randrange(9_000)))
        if number % 10 == 0:
            file.flush()
            os.fsync(file.fileno())
    if number % 25 == 24:
        os.replace(name, f"{folder}/{seed}-{random.randrange(8)}")
"""


class Standby:
    """Serves one source; can be cut off and started again, as the process would be."""

    def __init__(self, home: Path, keys: Keys) -> None:
        self.home, self.keys = home, keys
        self.data = home / "data"
        self.data.mkdir(parents=True, exist_ok=True)
        self.port = 0
        self.wake()

    def wake(self) -> None:
        self.meta = MetaFile(self.home / "meta", Meta(node="b", job=START.job))
        self.spooled = Journal(self.home / "spool", START)
        self.applier = Applier([Tree(0, binding(self.data))], refuse)
        self.spool = Spool(self.spooled, self.applier, self.meta, self.hello, lambda: None)
        self.listener = Listener("127.0.0.1", self.port, self.keys)
        self.port = self.listener.port
        self.channels: list[Channel] = []
        self.spool.start()
        threading.Thread(target=self._serve, daemon=True).start()

    def sleep(self) -> None:
        self.listener.close()
        self.spool.stop()
        self.applier.close()
        self.spooled.close()

    def cut(self) -> None:
        for channel in self.channels:
            channel.close()

    def hello(self) -> Hello:
        return Hello(
            job=START.job, node="b", purpose="stream", lineage=self.meta.value.generations,
            end=Place(generation=self.spooled.generation, lsn=self.spooled.end, crc=self.spooled.crc),
        )  # fmt: skip

    def _serve(self) -> None:
        while True:
            try:
                channel = self.listener.accept(1)
            except Broken:
                if self.listener.closed:
                    return
                continue
            if channel is None:
                continue
            self.channels.append(channel)
            try:
                frame = channel.receive(10)
                assert frame is not None
                assert isinstance(frame.message, Hello)
                self.spool.serve(channel, frame.message)
            except Broken:
                continue


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Keys, Keys]:
    for name in ("a", "b"):
        make_key(tmp_path / f"{name}.crt", tmp_path / f"{name}.key", name)
    return (
        Keys(tmp_path / "a.crt", tmp_path / "a.key", tmp_path / "b.crt"),
        Keys(tmp_path / "b.crt", tmp_path / "b.key", tmp_path / "a.crt"),
    )


class Pair:
    def __init__(self, home: Path, keys: tuple[Keys, Keys]) -> None:
        self.gate = Gate("durable")
        self.active = Active(home / "a", self.gate)
        self.standby = Standby(home / "b", keys[1])
        self.lineage = begin(START.generation)
        self.shipper = Shipper(
            self.active.journal,
            self.gate,
            lambda: connect("127.0.0.1", self.standby.port, keys[0]),
            self.hello,
            lambda: threading.Thread(target=self.mirror, daemon=True).start(),
        )

    def hello(self) -> Hello:
        journal = self.active.journal
        return Hello(
            job=START.job, node="a", purpose="stream", lineage=reached(self.lineage, journal.end),
            end=Place(generation=journal.generation, lsn=journal.end, crc=journal.crc),
        )  # fmt: skip

    def mirror(self) -> None:
        capture = self.active.capture
        capture.log.journal.append(Kind.MIRROR_BEGIN)
        copy_in(self.active.tree, capture.log, capture.nodes, capture.files)
        capture.log.journal.append(Kind.MIRROR_END)

    def settle(self) -> None:
        until(lambda: self.gate.applied == self.active.journal.end and self.standby.meta.value.consistent)
        assert picture(self.active.data) == picture(self.standby.data)


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


@pytest.fixture
def pair(tmp_path: Path, keys: tuple[Keys, Keys]) -> Iterator[Pair]:
    made = Pair(tmp_path, keys)
    with made.active:
        try:
            yield made
        finally:
            made.gate.open()
            made.shipper.stop()
            made.standby.sleep()


def write(pair: Pair, seed: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WRITE, str(pair.active.data), str(seed)])


def test_a_mirror_made_while_the_application_writes_is_equal_at_its_end(pair: Pair) -> None:
    (pair.active.data / "folder").mkdir()
    (pair.active.data / "folder/before").write_bytes(b"from before" * 100_000)
    (pair.active.data / "twin").hardlink_to(pair.active.data / "folder/before")
    (pair.active.data / "link").symlink_to("twin")
    pair.shipper.start()
    writers = [write(pair, 1), write(pair, 2)]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    pair.settle()


def test_a_flush_waits_for_the_standbys_disk(pair: Pair) -> None:
    pair.shipper.start()
    until(lambda: pair.standby.meta.value.consistent)
    assert write(pair, 3).wait(60) == 0
    pair.shipper.stop()
    frozen = write(pair, 4)
    until(lambda: pair.gate.waiting == 1)
    with pytest.raises(subprocess.TimeoutExpired):
        frozen.wait(0.5)
    pair.gate.open()
    assert frozen.wait(60) == 0


def test_a_link_that_breaks_again_and_again_costs_nothing_but_time(pair: Pair) -> None:
    pair.shipper.start()
    writers = [write(pair, 5), write(pair, 6)]
    while any(writer.poll() is None for writer in writers):
        time.sleep(0.3)
        pair.standby.cut()
    assert [writer.returncode for writer in writers] == [0, 0]
    pair.settle()


def test_a_standby_that_restarts_goes_on_from_its_checkpoint(pair: Pair) -> None:
    pair.shipper.start()
    writers = [write(pair, 7), write(pair, 8)]
    for _ in range(3):
        time.sleep(0.3)
        pair.standby.sleep()
        pair.standby.wake()
    assert [writer.wait(60) for writer in writers] == [0, 0]
    pair.settle()
    place = pair.standby.spool.finish()
    assert place.lsn == pair.active.journal.end
