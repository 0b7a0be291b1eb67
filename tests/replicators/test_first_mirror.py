"""The first mirror of ordered folders, a base copy: written once, and gone on with where it was."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from hsorch.node.replication.source import NOBODY_S
from tests.replicators.members import until
from tests.replicators.test_resync import MB, Pair, complete, pair

__all__ = ["complete", "pair"]
pytestmark = [pytest.mark.lab, pytest.mark.timeout(150)]
FILES, SIZE = 12, 10 * MB
TORN = 4 * MB
"""So much may have been written in part when a link breaks or a process is killed; it is sent again."""


def begin(pair: Pair, after: int) -> None:
    """The mirror is under way; the link was cut after so many bytes."""
    for n in range(FILES):
        (pair.a.data / f"{n}").write_bytes(os.urandom(SIZE))
    pair.link.cut_after(after)
    pair.b.ask("role", role="target")
    pair.a.ask("role", role="source")
    until(lambda: not pair.link.up)


def goes_on(pair: Pair) -> None:
    """To its end, and what the standby had got already was not sent again."""
    until(lambda: not pair.a.ask("status")["connected"])
    sent = pair.a.ask("status")["copied"]
    kept = sum(path.stat().st_blocks * 512 for path in pair.b.data.rglob("*"))
    assert 0 < kept <= sent < FILES * SIZE
    pair.link.mend()
    pair.settle(pair.a, pair.b)
    more = pair.a.ask("status")["copied"] - sent
    assert FILES * SIZE - sent <= more <= FILES * SIZE - kept + TORN


def test_the_standby_writes_what_it_gets_once(pair: Pair) -> None:
    begin(pair, 60 * MB)
    spooled = sum(path.stat().st_size for path in pair.b.places.journal.iterdir())
    assert spooled < 20 * MB
    assert not pair.b.ask("status").get("consistent"), "nor may it take over"
    goes_on(pair)


def test_a_standby_that_is_killed_in_the_middle_goes_on_where_it_was(complete: Pair) -> None:
    begin(complete, 70 * MB)
    complete.b.kill()
    complete.b.start()
    complete.b.ask("role", role="target")
    goes_on(complete)
    until(lambda: bool(complete.a.ask("status").get("guarded")))


def test_the_application_goes_on_writing_meanwhile(complete: Pair) -> None:
    begin(complete, 50 * MB)
    for n in range(0, FILES, 2):
        with (complete.a.data / f"{n}").open("r+b") as file:
            file.seek(n * 100_000)
            file.write(b"written while the mirror was cut" * 1000)
    (complete.a.data / "1").rename(complete.a.data / "one")
    (complete.a.data / "3").unlink()
    complete.link.mend()
    complete.settle(complete.a, complete.b)


def stopped_in_the_middle(pair: Pair) -> None:
    for n in range(FILES):
        (pair.a.data / f"{n}").write_bytes(os.urandom(SIZE))
    pair.b.ask("role", role="target")
    pair.a.ask("role", role="source")
    until(lambda: pair.a.ask("status")["copied"] > SIZE)
    os.kill(pair.b.process.pid, signal.SIGSTOP)
    assert pair.a.ask("status")["mirroring"]


def test_what_is_under_way_is_shown_and_waited_for(pair: Pair) -> None:
    """Nobody is connected to the stream yet; for whoever looks, or stops the group, the standby is there."""
    stopped_in_the_middle(pair)
    seen = pair.a.ask("status")
    assert seen["connected"]
    assert seen["state"] == "a base copy is under way"
    assert [folder["state"] for folder in seen["bindings"]] == ["mirror"]
    assert SIZE < seen["copied"] < FILES * SIZE
    assert seen["left"] > 0
    going_on = threading.Timer(NOBODY_S + 2, os.kill, (pair.b.process.pid, signal.SIGCONT))
    going_on.start()
    assert pair.a.ask("drain", limit_s=60)["ok"]
    going_on.join()
    pair.settle(pair.a, pair.b)


def test_an_active_that_goes_on_alone_in_the_middle_is_followed_under_its_new_name(pair: Pair) -> None:
    """Else the standby holds what was written since under a name that ended before it."""
    stopped_in_the_middle(pair)
    pair.a.ask("thaw")
    os.kill(pair.b.process.pid, signal.SIGCONT)
    pair.settle(pair.a, pair.b)
    assert pair.a.ask("status")["generation"] == pair.b.ask("status")["generation"]
