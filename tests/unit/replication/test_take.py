"""Who writes into a watched folder of a standby: one connection at a time, and none once the part is over."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hsorch.node.replication import flushing
from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.entries import FILE, Entry
from hsorch.node.replication.generations import adopted, begin
from hsorch.node.replication.messages import Hello, Mark, Pack, Reached, Task
from hsorch.node.replication.placing import Stood
from hsorch.node.replication.tls import Keys
from hsorch.node.replication.watched.take import Taker
from hsorch.node.replication.wire import Channel
from tests.unit.replication.mirrors import channels

SOURCE = begin(7)


def hello(node: str) -> Hello:
    lineage = SOURCE if node == "a" else adopted(SOURCE, 0)
    return Hello(job=b"j" * 16, node=node, purpose="watched", lineage=lineage)


class SlowDisk:
    """The standby's: what stands there is put in safety slowly, the first time."""

    def __init__(self, root: Path) -> None:
        self.reached, self.goes_on = threading.Event(), threading.Event()
        self.binding = Binding(path=str(root), kind="watched")
        self.taker = Taker([self.binding], lambda: hello("b"), lambda task: Stood(self._keep))
        self.threads: list[threading.Thread] = []

    def _keep(self, root: str, relative: str) -> None:
        if not self.reached.is_set():
            self.reached.set()
            assert self.goes_on.wait(60)

    def connect(self, keys: tuple[Keys, Keys]) -> Channel:
        """The source's end, which has said of which folder it speaks."""
        source, end = channels(*keys)
        thread = threading.Thread(target=self.taker.serve, args=(end, hello("a")))
        thread.start()
        self.threads.append(thread)
        assert source.receive(10) is not None
        source.send(Task(binding=self.binding))
        return source


Connect = Callable[[], Channel]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SlowDisk]:
    made = SlowDisk(tmp_path)
    yield made
    made.goes_on.set()
    made.taker.stop(60)
    for thread in made.threads:
        thread.join(60)
        assert not thread.is_alive()


def send(channel: Channel, name: str, content: bytes) -> None:
    entry = Entry(os.fsencode(name), FILE, 0o644, os.getuid(), os.getgid(), mtime_ns=1, size=len(content))
    channel.send(Pack(entries=[entry]), content)


def test_what_an_older_connection_brought_never_comes_after_what_a_newer_one_brings(
    disk: SlowDisk, tmp_path: Path, enrolled: tuple[Keys, Keys]
) -> None:
    (tmp_path / "file").write_bytes(b"before")
    older = disk.connect(enrolled)
    send(older, "file", b"older")
    assert disk.reached.wait(10)
    newer = disk.connect(enrolled)
    send(newer, "file", b"newer")
    newer.send(Mark(number=1))
    newer.receive(1)  # time for the wrong order
    disk.goes_on.set()
    while not ((answer := newer.receive(20)) and isinstance(answer.message, Reached)):
        pass
    disk.threads[0].join(20)
    assert (tmp_path / "file").read_bytes() == b"newer"


def test_once_the_part_is_over_nothing_more_lands_in_the_folder(
    disk: SlowDisk, tmp_path: Path, enrolled: tuple[Keys, Keys]
) -> None:
    (tmp_path / "file").write_bytes(b"before")
    source = disk.connect(enrolled)
    send(source, "file", b"under way")
    assert disk.reached.wait(10)
    for n in range(3):
        send(source, f"later {n}", b"received, but not begun")
    assert disk.taker.stop(0.1) == [disk.binding.path], "what is under way is waited for"
    disk.goes_on.set()
    assert not disk.taker.stop(20)
    assert [path.name for path in tmp_path.glob("later *")] == []
    (tmp_path / "file").write_bytes(b"of the new active")
    disk.threads[0].join(20)
    assert (tmp_path / "file").read_bytes() == b"of the new active"


def test_a_part_that_is_over_does_not_wait_until_the_disk_has_all(
    disk: SlowDisk, tmp_path: Path, enrolled: tuple[Keys, Keys], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever takes over writes on at once; what the disk says later is heard nevertheless."""
    synced = threading.Event()

    def sync(_descriptor: int) -> None:
        synced.set()
        assert disk.goes_on.wait(60)

    monkeypatch.setattr(flushing, "sync_filesystem", sync)
    source = disk.connect(enrolled)
    send(source, "page", b"text")
    source.send(Mark(number=3))
    answer = source.receive(10)
    assert answer is not None
    assert isinstance(answer.message, Reached)
    assert not disk.taker.stop(60)
    assert not disk.goes_on.is_set()
    assert synced.wait(60)
    source.close()
