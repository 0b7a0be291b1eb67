"""The wall clock of a node jumps by hours while records flow: nothing freezes or is sent twice, and both
sides stay equal. (The lab's library steps the clock of a node's programs; the kernel's stays.)"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import hsorch.lab
from hsorch.lab.root import CLOCK, write_clock
from tests.replicators.members import Member, count, free_port, protected, until
from tests.replicators.world import picture

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]
HOUR = 3600


class Clocked(Member):
    """A replicator with a wall clock of its own."""

    @property
    def library(self) -> Path:
        return self.root / "clock.so"

    def build(self) -> None:
        source = (Path(hsorch.lab.__file__).parent / "clock.c").read_text()
        assert str(CLOCK) in source
        own = self.root / "clock.c"
        own.write_text(source.replace(str(CLOCK), str(self.root / "clock")))
        write_clock(self.root / "clock", 0)
        command = ["cc", "-shared", "-fPIC", "-O2", "-o", str(self.library), str(own), "-ldl"]
        subprocess.run(command, check=True, capture_output=True)

    def step(self, hours: int) -> None:
        write_clock(self.root / "clock", hours * HOUR)


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Clocked, Clocked]]:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler on this machine: clocks cannot be stepped (apt-get install gcc libc6-dev)")
    a, b = Clocked(tmp_path, "a", "127.0.0.1"), Clocked(tmp_path, "b", "127.0.0.1")
    port = free_port()
    a.enroll(b, "durable", port)
    b.enroll(a, "durable", port)
    try:
        for node in (a, b):
            node.build()
            monkeypatch.setenv("LD_PRELOAD", str(node.library))
            node.start()
        monkeypatch.delenv("LD_PRELOAD")
        yield a, b
    finally:
        a.end()
        b.end()


def test_clocks_that_jump_by_hours_stop_nobody_and_part_nobody(pair: tuple[Clocked, Clocked]) -> None:
    a, b = pair
    (a.data / "before").write_bytes(os.urandom(3_000_000))
    b.ask("role", role="target")
    a.ask("role", role="source")
    until(lambda: protected(a, b))
    copied = a.ask("status")["copied"]
    application = count(a, 0, 1_000_000)
    assert application.stdout is not None
    said = 0
    for node, hours in ((a, 6), (b, -6), (a, -12), (b, 30), (a, 0), (b, 0)):
        node.step(hours)
        for _ in range(20):
            said = int(application.stdout.readline())
        seen = a.ask("status")
        assert seen["connected"]
        assert seen["guarded"]
        assert seen["lag_ms"] < HOUR * 1000
    application.kill()
    application.communicate()
    assert said >= 119
    assert a.ask("drain", limit_s=30)["ok"]
    assert a.ask("status")["copied"] == copied, "no resync"
    assert a.troubles() | b.troubles() == set()
    assert picture(a.data) == picture(b.data)


def test_a_pair_whose_clocks_are_hours_apart_meets_compares_and_takes_over(
    pair: tuple[Clocked, Clocked],
) -> None:
    """Certificates that are not valid yet, comparisons that end before they began, an older takeover that
    looks newer: no date counts."""
    a, b = pair
    a.step(-1000 * 24)
    b.step(9)
    (a.data / "table").write_bytes(b"1" * 100_000)
    (a.data / "table").chmod(0o640)
    b.ask("role", role="target")
    a.ask("role", role="source")
    until(lambda: protected(a, b))
    a.ask("verify")
    until(lambda: a.ask("status").get("verified_ns", 0) > 0)
    assert a.ask("status")["verified_ns"] < (time.time() - 999 * 24 * HOUR) * 1e9, "the clock was stepped"
    assert count(a, 0, 20).wait(60) == 0

    a.kill()
    b.ask("role", role="source", alone=True)
    assert count(b, 20, 40).wait(60) == 0
    b.step(-9)
    a.start()
    a.ask("role", role="target")
    until(lambda: protected(b, a))
    assert b.ask("drain", limit_s=30)["ok"]
    assert picture(a.data) == picture(b.data)
