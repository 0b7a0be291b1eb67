"""Two replicator processes, as the agent drives them; killed at any moment, switched, taken over."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from hsorch.node.replication.setup import Setup
from tests.replicators.members import Member, count, free_port, protected, rows, until
from tests.replicators.world import picture

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Member, Member]]:
    a, b = Member(tmp_path, "a", "127.0.0.1"), Member(tmp_path, "b", "127.0.0.1")
    port = free_port()
    a.enroll(b, "durable", port)
    b.enroll(a, "durable", port)
    try:
        a.start()
        b.start()
        yield a, b
    finally:
        a.end()
        b.end()


def test_a_standby_is_blank_until_its_first_mirror_begins(pair: tuple[Member, Member]) -> None:
    """Its agent may send it to follow before the other node began: the group starts there all the same."""
    a, b = pair
    assert b.ask("role", role="target")["blank"]
    b.ask("role", role="none")
    assert b.ask("status")["blank"]
    b.ask("role", role="target")
    a.ask("role", role="source")
    until(lambda: protected(a, b))
    assert not b.ask("status").get("blank")


def test_no_acknowledged_commit_is_lost_when_the_active_is_killed(pair: tuple[Member, Member]) -> None:
    a, b = pair
    (a.data / "before").write_bytes(b"there before replication" * 1_000)
    b.ask("role", role="target")
    a.ask("role", role="source")
    until(lambda: protected(a, b))
    application = count(a, 0, 5_000)
    assert application.stdout is not None
    said = [int(application.stdout.readline()) for _ in range(150)]
    a.kill()
    said += [int(line) for line in application.stdout]
    application.wait(30)
    taken = b.ask("role", role="source", alone=True)
    assert taken["role"] == "source"
    assert taken["queue"] < 10_000, "what was written before the takeover, the other node has"
    survived = rows(b.data)
    assert survived[: len(said)] == said
    assert len(survived) - len(said) <= 1
    assert (b.data / "before").stat().st_size == 24_000
    assert count(b, len(survived), len(survived) + 5).wait(30) == 0


def test_a_killed_source_goes_on_where_its_journal_ends(pair: tuple[Member, Member]) -> None:
    a, b = pair
    b.ask("role", role="target")
    a.ask("role", role="source")
    until(lambda: protected(a, b))
    total = 0
    for _ in range(4):
        application = count(a, total, 5_000)
        assert application.stdout is not None
        for _ in range(25):
            application.stdout.readline()
        a.kill()
        application.communicate(timeout=30)
        a.start()
        a.ask("role", role="source")
        until(lambda: protected(a, b))
        total = len(rows(a.data))
    assert a.ask("drain", limit_s=30)["ok"]
    assert a.ask("status")["state"] == "streaming"
    assert picture(a.data, times=False) == picture(b.data, times=False)


def test_a_killed_standby_goes_on_where_its_spool_ends(pair: tuple[Member, Member]) -> None:
    a, b = pair
    b.ask("role", role="target")
    a.ask("role", role="source")
    until(lambda: protected(a, b))
    application = count(a, 0, 400)
    for _ in range(4):
        time.sleep(0.4)
        b.kill()
        b.start()
        b.ask("role", role="target")
    application.communicate(timeout=60)
    assert application.returncode == 0
    assert a.ask("drain", limit_s=30)["ok"]
    assert picture(a.data) == picture(b.data)
    assert not b.places.quarantine.exists(), "nothing stood in its own way"


def test_a_switch_turns_the_stream_round_without_a_mirror(pair: tuple[Member, Member]) -> None:
    a, b = pair
    b.ask("role", role="target")
    a.ask("role", role="source")
    until(lambda: protected(a, b))
    assert count(a, 0, 50).wait(60) == 0
    assert a.ask("drain", limit_s=30)["ok"]
    a.ask("role", role="none")
    b.ask("role", role="none")
    a.ask("role", role="target")
    b.ask("role", role="source")
    until(lambda: protected(b, a))
    assert b.ask("status")["copied"] == 0
    assert count(b, 50, 90).wait(60) == 0
    assert b.ask("drain", limit_s=30)["ok"]
    assert picture(a.data) == picture(b.data)
    assert (a.data / "app.db").exists()


def test_a_takeover_in_the_middle_of_a_mirror_is_refused(pair: tuple[Member, Member]) -> None:
    a, b = pair
    for number in range(120):
        (a.data / f"{number}").write_bytes(os.urandom(1_000_000))
    b.ask("role", role="target")
    a.ask("role", role="source")
    until(lambda: b.ask("status")["connected"])
    a.kill()
    if b.ask("status").get("consistent"):
        pytest.fail("the mirror was over before the kill")
    with pytest.raises(AssertionError, match="HS686"):
        b.ask("role", role="source", alone=True)


def test_over_the_queues_cap_only_what_was_left_out_is_copied(tmp_path: Path) -> None:
    a, b = Member(tmp_path, "a", "127.0.0.1"), Member(tmp_path, "b", "127.0.0.1")
    port = free_port()
    for member, peer in ((a, b), (b, a)):
        member.enroll(peer, "none", port)
        setup = msgspec.json.decode(member.places.setup.read_bytes(), type=Setup)
        smaller = msgspec.structs.replace(setup, queue_bytes=300_000)
        member.places.setup.write_bytes(msgspec.json.encode(smaller))
    try:
        a.start()
        b.start()
        (a.data / "large").write_bytes(os.urandom(20_000_000))
        b.ask("role", role="target")
        a.ask("role", role="source")
        until(lambda: bool(b.ask("status").get("consistent")))
        until(lambda: a.ask("status")["queue"] == 0)
        b.kill()
        application = count(a, 0, 120)
        assert application.wait(60) == 0
        with (a.data / "large").open("r+b") as file:
            file.seek(7_000_000)
            file.write(b"changed while the standby was away")
        assert a.ask("status")["behind"]
        a.kill()
        a.start()
        a.ask("role", role="source")
        before = a.ask("status")["copied"]
        b.start()
        b.ask("role", role="target")
        until(lambda: not a.ask("status").get("behind") and bool(b.ask("status").get("consistent")))
        assert a.ask("drain", limit_s=30)["ok"]
        assert picture(a.data, times=False) == picture(b.data, times=False)
        assert a.ask("status")["copied"] - before < 2_000_000
    finally:
        a.end()
        b.end()


def test_a_thawed_active_streams_what_it_wrote_alone(pair: tuple[Member, Member]) -> None:
    a, b = pair
    b.ask("role", role="target")
    a.ask("role", role="source")
    until(lambda: protected(a, b))
    b.kill()
    application = count(a, 0, 30)
    until(lambda: a.ask("status").get("frozen", 0) > 0)
    a.ask("thaw")
    assert application.wait(60) == 0
    b.start()
    b.ask("role", role="target")
    until(lambda: protected(a, b))
    assert a.ask("drain", limit_s=30)["ok"]
    assert picture(a.data, times=False) == picture(b.data, times=False)
    assert a.ask("status")["generation"] == b.ask("status")["generation"]
