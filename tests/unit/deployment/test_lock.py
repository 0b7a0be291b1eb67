"""One operation at a time changes a node, and a dead one does not bar the way for ever."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from hsorch.errors import RefusedError
from hsorch.node.deployment import lock
from hsorch.node.deployment.wire import ReleaseLock, TakeLock
from hsorch.node.paths import Paths


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths("demo", root=tmp_path)


def order(name: str, *, ttl_s: float = 900.0, steal: str = "") -> TakeLock:
    return TakeLock(
        cluster="demo", id=name, owner=f"{name}@desk", operation="apply", ttl_s=ttl_s, steal=steal
    )


def test_a_second_operation_is_told_who_holds_it_and_how_to_break_it(paths: Paths) -> None:
    lock.take(paths, order("ann"))
    with pytest.raises(RefusedError) as caught:
        lock.take(paths, order("bob"))
    assert "ann@desk" in caught.value.message
    assert "--break-lock ann" in caught.value.hint


def test_the_same_operation_takes_it_again(paths: Paths) -> None:
    first = lock.take(paths, order("ann"))
    assert lock.take(paths, order("ann")).expires >= first.expires


def test_a_lock_ends_by_itself(paths: Paths) -> None:
    lock.take(paths, order("ann", ttl_s=-1.0))
    assert lock.take(paths, order("bob")).id == "bob"


def test_a_lock_is_broken_only_by_its_exact_id(paths: Paths) -> None:
    lock.take(paths, order("ann"))
    with pytest.raises(RefusedError):
        lock.take(paths, order("bob", steal="eve"))
    assert lock.take(paths, order("bob", steal="ann")).id == "bob"


def test_only_the_holder_gives_it_back(paths: Paths) -> None:
    lock.take(paths, order("ann"))
    assert not lock.release(paths, ReleaseLock(cluster="demo", id="bob")).changed
    assert lock.release(paths, ReleaseLock(cluster="demo", id="ann")).changed
    assert lock.read(paths) is None


def test_a_torn_lock_holds_nobody_up(paths: Paths) -> None:
    lock.take(paths, order("ann"))
    paths.lock.write_bytes(b'{"id": "an')
    assert lock.take(paths, order("bob")).id == "bob"


@pytest.mark.parametrize("before", [None, "expired"])
def test_of_many_racers_exactly_one_gets_it(paths: Paths, before: str | None) -> None:
    if before:
        lock.take(paths, order(before, ttl_s=-1.0))
    winners: list[str] = []
    start = threading.Barrier(8)

    def race(name: str) -> None:
        start.wait()
        try:
            winners.append(lock.take(paths, order(name)).id)
        except RefusedError:
            return

    racers = [threading.Thread(target=race, args=(f"racer-{n}",)) for n in range(8)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    held = lock.read(paths)
    assert held is not None
    assert winners == [held.id]
