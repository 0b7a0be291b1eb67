"""Any process of replication killed at any moment, under an application that keeps counting what it was told.

The moments are random: appending, writing, sending, spooling, applying, a checkpoint, a mirror, a resync. The
seed is in the name of the test. HSORCH_KILLS says how many kills a seed makes.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.replicators.members import Member, count, free_port, protected, rows, until
from tests.replicators.world import picture

pytestmark = [pytest.mark.lab, pytest.mark.timeout(280)]

KILLS = int(os.environ.get("HSORCH_KILLS", "12"))
BALLAST = 40_000_000
"""At rest on both sides: sent again only by a resync that is none."""


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Member, Member]]:
    a, b = Member(tmp_path, "a", "127.0.0.1"), Member(tmp_path, "b", "127.0.0.1")
    port = free_port()
    a.enroll(b, "durable", port)
    b.enroll(a, "durable", port)
    (a.data / "ballast").write_bytes(random.Random(0).randbytes(BALLAST))
    (a.data / "churn").mkdir()
    try:
        a.start()
        b.start()
        b.ask("role", role="target")
        a.ask("role", role="source")
        yield a, b
    finally:
        a.end()
        b.end()


@pytest.mark.parametrize("seed", [1, 2])
def test_kills_at_any_moment_lose_nothing_and_copy_little(pair: tuple[Member, Member], seed: int) -> None:
    a, b = pair
    rng = random.Random(seed)
    until(lambda: protected(a, b))
    told = 0
    for _ in range(KILLS):
        counter = count(a, told, told + 100_000)
        churn = _churn(a, rng.randrange(10**6))
        time.sleep(rng.uniform(0.05, 1.5))
        victim = rng.choice([a, b, None])
        if victim is not None:
            victim.kill()
            time.sleep(rng.uniform(0.0, 0.3))
            victim.start()
            victim.ask("role", role="source" if victim is a else "target")
        for application in (counter, churn):
            application.kill()
        said = counter.communicate(timeout=30)[0].split()
        churn.wait(30)
        if rng.random() < 0.5:  # else the next kill meets whatever the last one left
            until(lambda: protected(a, b))
        told = _rows_after(a, told, said)
        assert a.ask("status")["copied"] < BALLAST / 2, "more was sent than what differed"
    until(lambda: protected(a, b))
    assert a.ask("drain", limit_s=30)["ok"]
    assert picture(a.data, times=False) == picture(b.data, times=False)
    assert rows(b.data) == list(range(told))


def test_kills_in_the_first_mirror_only_delay_it(pair: tuple[Member, Member]) -> None:
    a, b = pair
    rng = random.Random(3)
    for _ in range(6):
        time.sleep(rng.uniform(0.0, 0.2))
        victim = rng.choice([a, b])
        victim.kill()
        victim.start()
        victim.ask("role", role="source" if victim is a else "target")
    until(lambda: protected(a, b))
    assert a.ask("drain", limit_s=30)["ok"]
    assert picture(a.data, times=False) == picture(b.data, times=False)


def _churn(member: Member, seed: int) -> subprocess.Popen[bytes]:
    script = Path(__file__).with_name("random_ops.py")
    argv = [sys.executable, str(script), str(member.data / "churn"), str(seed), "100000"]
    return subprocess.Popen(argv, stderr=subprocess.DEVNULL)


def _rows_after(member: Member, before: int, said: list[bytes]) -> int:
    """What is in the book now: all that was said, and at most the one that was on its way."""
    acknowledged = before + len(said)
    there = rows(member.data)
    assert there == list(range(len(there)))
    assert acknowledged <= len(there) <= acknowledged + 1
    return len(there)
