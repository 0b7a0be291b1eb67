"""Two replicators as two nodes run them: who is source, what the other holds, and what a crash leaves behind."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.capture.group import clear_mounts
from hsorch.node.replication.engine import Engine, Site, Way
from hsorch.node.replication.quarantine import FOLDER
from hsorch.node.replication.space import Limits
from hsorch.node.replication.tls import Keys, make_key
from hsorch.verbs import DataOrder
from tests.lab.replication_world import picture

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]

ORDER = DataOrder(epoch=(0, 0))
ALONE = DataOrder(epoch=(1, 0), alone=True)
PORT = 3911
BOOK = """
import sqlite3, sys
book = sqlite3.connect(sys.argv[1], isolation_level=None)
book.execute("pragma synchronous=full")
book.execute("create table if not exists numbers (n integer primary key)")
for number in range(int(sys.argv[2]), int(sys.argv[3])):
    book.execute("insert into numbers values (?)", (number,))
    print(number, flush=True)
"""
READ = """
import sqlite3, sys
for row in sqlite3.connect(sys.argv[1]).execute("select n from numbers order by n"):
    print(row[0])
"""


class Node:
    """One node's folder and engine; `crash` is what a kill of the process leaves."""

    def __init__(self, home: Path, name: str, ack: str) -> None:
        here, there = ("127.0.0.1", "127.0.0.2") if name == "a" else ("127.0.0.2", "127.0.0.1")
        self.data = home / name / "data"
        self.data.mkdir(parents=True)
        (home / name / "replication").mkdir()
        self.site = Site(
            node=name, job=b"j" * 16, folder=home / name / "replication",
            keys=Keys(home / f"{name}.crt", home / f"{name}.key", home / f"{'b' if name == 'a' else 'a'}.crt"),
            bindings=(Binding(path=str(self.data), kind="ordered"),),
            ways=(Way("direct", here, there),), port=PORT, ack=ack, limits=Limits(), boot="boot-1",
        )  # fmt: skip
        self.engine = Engine(self.site)

    def write(self, first: int, last: int) -> list[int]:
        """Numbers that the program was told are in the book."""
        argv = [sys.executable, "-c", BOOK, str(self.data / "book.db"), str(first), str(last)]
        done = subprocess.run(argv, capture_output=True, timeout=60, check=True)
        return [int(line) for line in done.stdout.split()]

    def numbers(self) -> list[int]:
        argv = [sys.executable, "-c", READ, str(self.data / "book.db")]
        done = subprocess.run(argv, capture_output=True, timeout=60, check=True)
        return [int(n) for n in done.stdout.split()]


def until(true: Callable[[], bool], what: str = "it never came") -> None:
    end = time.monotonic() + 40
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.02)


@pytest.fixture(params=["none", "durable"])
def ack(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def pair(tmp_path: Path, ack: str) -> Iterator[tuple[Node, Node]]:
    for name in ("a", "b"):
        make_key(tmp_path / f"{name}.crt", tmp_path / f"{name}.key", name)
    nodes = Node(tmp_path, "a", ack), Node(tmp_path, "b", ack)
    yield nodes
    for node in nodes:
        node.engine.abort(ORDER)
        node.engine.close()
        clear_mounts([node.data])


def live(source: Node, target: Node) -> None:
    until(lambda: source.engine.status().followed, f"{source.engine.status()} {target.engine.status()}")
    wanted = "complete" if source.site.ack == "durable" else "logical"
    until(lambda: target.engine.status().state == wanted, str(target.engine.status()))


def test_what_was_there_and_what_is_written_arrives(pair: tuple[Node, Node]) -> None:
    a, b = pair
    (a.data / "before").write_bytes(b"x" * 3_000_000)
    b.engine.target(ORDER)
    assert b.engine.status().state == "unknown"
    a.engine.source(ORDER)
    a.write(0, 50)
    live(a, b)
    a.write(50, 100)
    until(lambda: b.engine.status().lsn == a.engine.status().lsn)
    until(lambda: b.engine.status().queue_bytes == 0)
    assert picture(a.data) == picture(b.data)


def test_a_switch_and_back_copies_nothing_again(pair: tuple[Node, Node]) -> None:
    a, b = pair
    b.engine.target(ORDER)
    a.engine.source(ORDER)
    a.write(0, 20)
    live(a, b)
    a.engine.release(ORDER)
    assert a.engine.status().followed
    b.engine.source(ORDER)
    assert b.numbers() == list(range(20))
    generation = b.engine.status().generation
    a.engine.target(ORDER)
    b.write(20, 40)
    live(b, a)
    assert b.engine.status().generation == generation
    b.engine.release(ORDER)
    a.engine.source(ORDER)
    assert a.numbers() == list(range(40))
    assert not (a.data / FOLDER).exists(), "nothing had to make room"


def test_after_a_crash_the_standby_has_what_was_acknowledged_and_the_old_source_follows(
    pair: tuple[Node, Node], ack: str
) -> None:
    a, b = pair
    b.engine.target(ORDER)
    a.engine.source(ORDER)
    a.write(0, 20)
    live(a, b)
    acknowledged = a.write(20, 120)
    a.engine.abort(ORDER)
    b.engine.source(ALONE)
    assert b.numbers()[: 121 if ack == "durable" else 20] == list(range(120 if ack == "durable" else 20))
    assert acknowledged == list(range(20, 120))
    if ack == "durable":
        b.engine.thaw(DataOrder(epoch=(1, 0), alone=True, level=b.engine.status().level))
    b.write(1000, 1010)
    a.engine.target(ALONE)
    live(b, a)
    until(lambda: a.engine.status().lsn == b.engine.status().lsn and a.engine.status().queue_bytes == 0)
    assert {k: v for k, v in picture(a.data).items() if not k.startswith(".hsorch")} == picture(b.data)


def test_under_complete_a_flush_waits_until_it_is_thawed_and_the_standby_knows(
    pair: tuple[Node, Node], ack: str
) -> None:
    if ack == "none":
        pytest.skip("nothing waits without `complete`")
    a, b = pair
    b.engine.target(ORDER)
    a.engine.source(ORDER)
    a.write(0, 5)
    live(a, b)
    b.engine.close()
    until(lambda: not a.engine.status().connected)
    argv = [sys.executable, "-c", BOOK, str(a.data / "book.db"), "5", "9"]
    frozen = subprocess.Popen(argv, stdout=subprocess.PIPE)
    until(lambda: a.engine.status().frozen > 0)
    a.engine.thaw(DataOrder(epoch=(1, 0), alone=True, level=a.engine.status().level))
    assert frozen.wait(30) == 0
    b.engine = Engine(b.site)
    b.engine.target(ALONE)
    a.engine.heed((1, 0))
    live(a, b)
    assert a.engine.status().guarded
