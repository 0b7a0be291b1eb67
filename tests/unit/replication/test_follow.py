"""A watched binding heals itself: broken channels, a standby that restarts, a disk that goes away."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec.structs import replace as replaced

from hsorch.errors import NodeError
from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.generations import Lineage, adopted, begin, go_on_alone
from hsorch.node.replication.messages import Hello, Task
from hsorch.node.replication.placing import Stood
from hsorch.node.replication.tls import Keys
from hsorch.node.replication.watched import live
from hsorch.node.replication.watched.follow import IN_VAIN_S, RETRY_S, Follower
from hsorch.node.replication.watched.live import Live
from hsorch.node.replication.watched.take import Taker
from hsorch.node.replication.wire import Broken, Channel, Listener, connect
from tests.unit.replication.mirrors import picture
from tests.unit.replication.test_watched import eventually

FIRST = begin(7)


class Standby:
    """A target on the same machine: its own root, reached by a binding of the same name there."""

    def __init__(self, source: Path, root: Path, keys: Keys, lineage: Lineage) -> None:
        self.root, self.lineage = root, lineage
        self._listener = Listener("127.0.0.1", 0, keys)
        self.port = self._listener.port
        self._channels: list[Channel] = []
        binding = Binding(path=str(source), kind="watched")
        self._taker = Taker([binding], self.hello, lambda task: Stood())
        self._taker._begin = lambda task, channel: str(root)  # type: ignore[method-assign]
        threading.Thread(target=self._accept, daemon=True).start()

    def hello(self) -> Hello:
        return Hello(job=b"j" * 16, node="b", purpose="watched", lineage=self.lineage)

    def cut(self) -> None:
        for channel in self._channels:
            channel.close()

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(Broken):
            while True:
                channel = self._listener.accept(60)
                if channel is not None:
                    self._channels.append(channel)
                    threading.Thread(target=self._serve, args=(channel,), daemon=True).start()

    def _serve(self, channel: Channel) -> None:
        with contextlib.suppress(OSError, NodeError):
            frame = channel.receive(10)
            assert frame is not None
            assert isinstance(frame.message, Hello)
            self._taker.serve(channel, frame.message)


@pytest.fixture
def world(tmp_path: Path, enrolled: tuple[Keys, Keys]) -> Iterator[tuple[Path, Standby, Follower]]:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    here = tmp_path / "here"
    (here / "first").write_bytes(b"1")
    standby = Standby(here, tmp_path / "there", enrolled[1], adopted(FIRST, 0))
    follower = Follower(
        Binding(path=str(here), kind="watched"),
        lambda: connect("127.0.0.1", standby.port, enrolled[0]),
        lambda: Hello(job=b"j" * 16, node="a", purpose="watched", lineage=FIRST),
    )
    yield here, standby, follower
    follower.stop()
    standby.close()


def equal(here: Path, standby: Standby) -> bool:
    try:
        return picture(here) == picture(standby.root)
    except FileNotFoundError:
        return False


def test_changes_during_a_broken_channel_are_found(world: tuple[Path, Standby, Follower]) -> None:
    here, standby, follower = world
    follower.start()
    eventually(lambda: follower.status().state == "following")
    for n in range(5):
        standby.cut()
        (here / f"while-cut-{n}").write_bytes(os.urandom(100_000))
        (here / "first").unlink(missing_ok=True)
        eventually(lambda: equal(here, standby))
    eventually(lambda: follower.status().mirrors >= 2)
    (here / "live").write_bytes(b"x")
    eventually(lambda: equal(here, standby))
    assert follower.status().held == 0


def test_a_drain_is_not_content_with_a_rest_from_before(
    world: tuple[Path, Standby, Follower], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last write of an application comes after the look for changes, the drain before its word."""
    here, standby, follower = world
    told, looked, written = Live._refused, threading.Event(), threading.Event()

    def late(live: Live) -> bool:
        if not looked.is_set():
            looked.set()
            assert written.wait(20)
            eventually(lambda: not follower._resting.is_set())
        return told(live)

    monkeypatch.setattr(Live, "_refused", late)
    follower._resting.set()
    follower.start()
    assert looked.wait(20)
    (here / "last").write_bytes(os.urandom(200_000))
    written.set()
    assert follower.drain(time.monotonic() + 20)
    assert equal(here, standby)


def test_a_source_at_rest_ends_at_once(
    world: tuple[Path, Standby, Follower], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A switch waits for that."""
    here, standby, follower = world
    monkeypatch.setattr(live, "REST_S", 600.0)
    follower.start()
    eventually(lambda: equal(here, standby))
    assert follower.drain(time.monotonic() + 20)
    over = threading.Thread(target=follower.stop)
    over.start()
    over.join(20)
    assert not over.is_alive()


@pytest.mark.parametrize("own", [True, False])
def test_a_first_mirror_that_ends_at_a_fault_is_not_begun_again_at_once(
    world: tuple[Path, Standby, Follower], monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    """It looks into every file on both nodes: a quarantine that is full stays so for a while."""
    here, standby, follower = world
    waits: list[float] = []

    def full(task: Task, channel: Channel) -> str:
        raise NodeError("the quarantine is full", hint="make room")

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        time.sleep(0.01)
        return False

    said = replaced(standby.hello(), unshared=(str(here),) if own else ())
    monkeypatch.setattr(standby._taker, "_begin", full)
    monkeypatch.setattr(standby._taker, "_hello", lambda: said)
    monkeypatch.setattr(follower._stopped, "wait", wait)
    follower.start()
    eventually(lambda: len(waits) > 1)
    assert "quarantine is full" in follower.status().detail
    assert set(waits) == {IN_VAIN_S if own else RETRY_S}


def test_verify_on_request_repairs_rot(world: tuple[Path, Standby, Follower]) -> None:
    here, standby, follower = world
    follower.start()
    eventually(lambda: follower.status().state == "following")
    copy = standby.root / "first"
    seen = copy.stat()
    copy.write_bytes(b"2")
    os.utime(copy, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    follower.verify()
    eventually(lambda: equal(here, standby))


def test_divergence_stops_before_the_first_file(world: tuple[Path, Standby, Follower]) -> None:
    here, standby, follower = world
    standby.lineage = go_on_alone(adopted(go_on_alone(FIRST, 5, 0), 0), 9, 0)
    follower._hello = lambda: Hello(
        job=b"j" * 16, node="a", purpose="watched", lineage=go_on_alone(FIRST, 8, 0)
    )
    follower.start()
    eventually(lambda: follower.status().state == "refused")
    assert follower.status().code == "HS690"
    assert list(standby.root.iterdir()) == []
    assert (here / "first").exists()


def test_a_lost_disk_is_told_and_empties_nothing(world: tuple[Path, Standby, Follower]) -> None:
    here, standby, follower = world
    follower.start()
    eventually(lambda: follower.status().state == "following")
    here.rename(here.parent / "away")
    eventually(lambda: follower.status().state == "stopped")
    assert (standby.root / "first").read_bytes() == b"1"
    (here.parent / "away").rename(here)
    eventually(lambda: follower.status().state == "following")


def test_held_deletions_wait_for_a_word(world: tuple[Path, Standby, Follower]) -> None:
    here, standby, follower = world
    for n in range(200):
        (here / f"n{n}").touch()
    follower.start()
    eventually(lambda: equal(here, standby))
    follower._seen = replace(follower.status())
    for path in list(here.iterdir()):
        path.unlink()
    eventually(lambda: follower.status().held > 0)
    assert len(list(standby.root.iterdir())) > 100
    follower.verify(confirmed=True)
    eventually(lambda: equal(here, standby))
    eventually(lambda: follower.status().state == "following")
