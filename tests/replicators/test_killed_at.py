"""Each process of an ordered replication killed at each step of its protocol, exactly there.

Random moments are test_kills.py. Whatever the step: nothing acknowledged is lost, both sides end
equal, and no more is sent than what differs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from hsorch.node.replication.setup import Setup
from tests.replicators.killed_at import Moment
from tests.replicators.members import Member, count, free_port, protected, rows, until
from tests.replicators.moments import (
    BRINGING,
    BROUGHT,
    COPYING_WHAT_WAS_LEFT_OUT,
    FOLLOWING,
    HANDING_OVER,
    RECEIVING_ALL,
    SENDING_ALL,
    TAKING_OVER,
    WRITING,
)
from tests.replicators.world import picture

pytestmark = [pytest.mark.lab, pytest.mark.timeout(150)]

BALLAST = 12_000_000
"""At rest on both sides: sent again only by a resync that is none."""


class Pair:
    def __init__(self, home: Path, level: str) -> None:
        self.a, self.b = Member(home, "a", "127.0.0.1"), Member(home, "b", "127.0.0.2")
        port = free_port()
        self.a.enroll(self.b, level, port)
        self.b.enroll(self.a, level, port)
        self.mirrored = 0
        """Bytes that the first mirror took."""
        (self.a.data / "ballast").write_bytes(os.urandom(BALLAST))
        (self.a.data / "churn").mkdir()
        for number in range(20):
            (self.a.data / "churn" / f"old{number}").write_bytes(b"%d" % number * 3_000)

    def protect(self, a_dies: Moment | None = None, b_dies: Moment | None = None) -> None:
        self.a.start(dies_at=a_dies)
        self.b.start(dies_at=b_dies)
        self.b.ask("role", role="target")
        self.a.ask("role", role="source")
        until(lambda: protected(self.a, self.b))
        self.mirrored = int(self.a.ask("status")["copied"])

    def ends_its_first_mirror(self) -> None:
        until(lambda: protected(self.a, self.b))
        assert self.a.ask("drain", limit_s=40)["ok"]
        assert picture(self.a.data, times=False) == picture(self.b.data, times=False)

    def equal(self, source: Member, target: Member, *, copied_before: int = 0) -> None:
        assert source.ask("drain", limit_s=40)["ok"]
        assert picture(source.data, times=False) == picture(target.data, times=False)
        copied = source.ask("status")["copied"] - copied_before
        assert copied < BALLAST / 2, "more was sent than what differed"

    def a_goes_on(self, told: Callable[[], list[int]]) -> None:
        """It died as the source and is it again. told(): what it acknowledged, once it is back."""
        self.a.start()
        self.a.ask("role", role="source")
        until(lambda: protected(self.a, self.b))
        nothing_is_missing(self.a.data, told())
        self.equal(self.a, self.b)

    def a_follows(self) -> None:
        """It died, and the other one took over."""
        self.a.start()
        self.a.ask("role", role="target")
        until(lambda: protected(self.b, self.a))
        self.equal(self.b, self.a)

    def end(self) -> None:
        self.a.end()
        self.b.end()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path, "durable")
    try:
        yield made
    finally:
        made.end()


class Load:
    """An application that counts, and one that does anything."""

    def __init__(self, pair: Pair) -> None:
        self._counter = count(pair.a, 0, 100_000)
        script = Path(__file__).with_name("random_ops.py")
        argv = [sys.executable, str(script), str(pair.a.data / "churn"), "7", "100000"]
        self._churn = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
        assert self._counter.stdout is not None
        self._said = [self._counter.stdout.readline() for _ in range(5)]

    def until_it_kills(self, victim: Member) -> None:
        try:
            victim.arm()
            until(victim.died)
        finally:
            for application in (self._counter, self._churn):
                application.kill()

    def told(self) -> list[int]:
        """What was acknowledged. Flushes under way end with the source, or with the standby's return."""
        self._said += self._counter.communicate(timeout=30)[0].splitlines()
        self._churn.wait(30)
        return [int(line) for line in self._said]


def kept(member: Member) -> set[bytes]:
    """Contents in the quarantine."""
    return {path.read_bytes() for path in member.places.quarantine.rglob("*") if path.name.isdigit()}


def nothing_is_missing(folder: Path, told: list[int]) -> None:
    """Of what was acknowledged; at most the one commit that was on its way is there, too."""
    there = rows(folder)
    assert there[: len(told)] == told
    assert len(there) <= len(told) + 1


@pytest.mark.parametrize("moment", WRITING, ids=str)
def test_a_source_that_died_writing_comes_back(pair: Pair, moment: Moment) -> None:
    pair.protect(a_dies=moment)
    load = Load(pair)
    load.until_it_kills(pair.a)
    pair.a_goes_on(load.told)


@pytest.mark.parametrize("moment", WRITING, ids=str)
def test_a_standby_takes_over_from_a_source_that_died_writing(pair: Pair, moment: Moment) -> None:
    pair.protect(a_dies=moment)
    load = Load(pair)
    load.until_it_kills(pair.a)
    pair.b.ask("role", role="source", alone=True)
    nothing_is_missing(pair.b.data, load.told())
    pair.a_follows()


@pytest.mark.parametrize("moment", FOLLOWING, ids=str)
def test_a_standby_that_died_following_comes_back(pair: Pair, moment: Moment) -> None:
    pair.protect(b_dies=moment)
    load = Load(pair)
    load.until_it_kills(pair.b)
    pair.b.start()
    pair.b.ask("role", role="target")
    until(lambda: protected(pair.a, pair.b))
    nothing_is_missing(pair.a.data, load.told())
    pair.equal(pair.a, pair.b, copied_before=pair.mirrored)
    assert pair.a.ask("status")["copied"] == pair.mirrored, "the stream went on, nothing was compared"


@pytest.mark.parametrize("moment", FOLLOWING[::3], ids=str)
def test_a_standby_that_died_following_takes_over(pair: Pair, moment: Moment) -> None:
    pair.protect(b_dies=moment)
    load = Load(pair)
    load.until_it_kills(pair.b)
    pair.a.kill()
    pair.b.start()
    pair.b.ask("role", role="source", alone=True)
    nothing_is_missing(pair.b.data, load.told())


@pytest.mark.parametrize("moment", BRINGING, ids=str)
def test_a_source_that_died_in_the_first_mirror_ends_it(pair: Pair, moment: Moment) -> None:
    pair.a.start(dies_at=moment)
    pair.b.start()
    pair.b.ask("role", role="target")
    pair.a.arm()
    ask_the_doomed(pair.a, "role", role="source")
    until(pair.a.died)
    pair.a.start()
    pair.a.ask("role", role="source")
    pair.ends_its_first_mirror()


@pytest.mark.parametrize("moment", BROUGHT, ids=str)
def test_a_standby_that_died_in_its_first_mirror_ends_it_and_keeps_what_stood_there(
    pair: Pair, moment: Moment
) -> None:
    (pair.b.data / "mine").write_bytes(b"only here")
    (pair.b.data / "ballast").write_bytes(b"not theirs")
    pair.b.start(dies_at=moment)
    pair.a.start()
    pair.b.ask("role", role="target")
    pair.b.arm()
    pair.a.ask("role", role="source")
    until(pair.b.died)
    pair.b.start()
    pair.b.ask("role", role="target")
    pair.ends_its_first_mirror()
    assert {b"only here", b"not theirs"} <= kept(pair.b)


@pytest.mark.parametrize("moment", SENDING_ALL, ids=str)
def test_a_source_that_died_comparing_everything_ends_it(pair: Pair, moment: Moment) -> None:
    pair.protect(a_dies=moment)
    pair.a.arm()
    ask_the_doomed(pair.a, "choose")
    until(pair.a.died)
    pair.a.start()
    pair.a.ask("role", role="source")
    until(lambda: protected(pair.a, pair.b))
    pair.equal(pair.a, pair.b)


@pytest.mark.parametrize("moment", RECEIVING_ALL, ids=str)
def test_an_old_active_that_died_in_its_resync_ends_it_and_keeps_what_only_it_had(
    pair: Pair, moment: Moment
) -> None:
    pair.protect()
    pair.b.kill()
    wrote = subprocess.run(
        ["sh", "-c", 'echo "only here" > "$1/unsent"; echo changed > "$1/churn/old3"; rm "$1/churn/old4"',
         "sh", str(pair.a.data)],
        check=False, timeout=30,
    )  # fmt: skip
    assert wrote.returncode == 0
    pair.a.kill()
    pair.b.start()
    pair.b.ask("role", role="source", alone=True)
    pair.a.start(dies_at=moment)
    pair.a.arm()
    ask_the_doomed(pair.a, "role", role="target")
    until(pair.a.died)
    pair.a.start()
    pair.a.ask("role", role="target")
    until(lambda: protected(pair.b, pair.a))
    pair.equal(pair.b, pair.a)
    assert not (pair.a.data / "unsent").exists()
    assert {b"only here\n", b"changed\n"} <= kept(pair.a)


@pytest.mark.parametrize("moment", COPYING_WHAT_WAS_LEFT_OUT, ids=str)
def test_a_source_that_died_copying_what_it_left_out_goes_on(tmp_path: Path, moment: Moment) -> None:
    pair = Pair(tmp_path, "none")
    try:
        for member in (pair.a, pair.b):
            setup = msgspec.json.decode(member.places.setup.read_bytes(), type=Setup)
            smaller = msgspec.structs.replace(setup, queue_bytes=300_000)
            member.places.setup.write_bytes(msgspec.json.encode(smaller))
        pair.a.start(dies_at=moment)
        pair.b.start()
        pair.b.ask("role", role="target")
        pair.a.ask("role", role="source")
        until(lambda: bool(pair.a.ask("status")["level"]) and bool(pair.b.ask("status")["consistent"]))
        pair.b.kill()
        until(lambda: not pair.a.ask("status")["connected"])
        assert count(pair.a, 0, 120).wait(60) == 0
        assert pair.a.ask("status")["behind"]
        pair.a.arm()
        pair.b.start()
        pair.b.ask("role", role="target")
        until(pair.a.died)
        pair.a.start()
        pair.a.ask("role", role="source")
        until(lambda: bool(pair.a.ask("status")["level"]) and bool(pair.b.ask("status")["consistent"]))
        nothing_is_missing(pair.a.data, list(range(120)))
        pair.equal(pair.a, pair.b)
    finally:
        pair.end()


@pytest.mark.parametrize("moment", TAKING_OVER, ids=str)
def test_a_standby_that_died_taking_over_does_it_when_asked_again(pair: Pair, moment: Moment) -> None:
    pair.protect(b_dies=moment)
    assert count(pair.a, 0, 30).wait(60) == 0
    pair.a.kill()
    pair.b.arm()
    ask_the_doomed(pair.b, "role", role="source", alone=True)
    until(pair.b.died)
    pair.b.start()
    pair.b.ask("role", role="source", alone=True)
    nothing_is_missing(pair.b.data, list(range(30)))
    pair.a_follows()


@pytest.mark.parametrize("moment", HANDING_OVER, ids=str)
def test_a_source_that_died_handing_over_may_have_the_group_back(pair: Pair, moment: Moment) -> None:
    pair.protect(a_dies=moment)
    assert count(pair.a, 0, 30).wait(60) == 0
    assert pair.a.ask("drain", limit_s=30)["ok"]
    pair.a.arm()
    ask_the_doomed(pair.a, "role", role="none")
    until(pair.a.died)
    pair.a_goes_on(lambda: list(range(30)))


def ask_the_doomed(member: Member, what: str, **given: object) -> None:
    """It may die before it answers."""
    try:
        member.ask(what, **given)
    except (OSError, ValueError):
        assert member.process is not None
        member.process.wait(20)
