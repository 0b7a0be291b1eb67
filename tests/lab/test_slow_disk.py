"""A disk that is busy with something else costs an alarm at most, never the service.

The nodes' folder lies on a real disk here, whatever else the machine of the test keeps in memory.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsorch.manifest.build import PROFILES
from hsorch.spec import Policy, Spec
from tests.lab.runtime_pair import Machine, Pair, make_spec, running_pair

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

STORM_S = 65
"""Longer than the minute between two probes of the disk."""
STORM = """
import os, sys, threading, time
def write(name, size):
    while True:
        with open(name, "wb") as file:
            for _ in range(16):
                file.write(bytes(size))
                file.flush()
                os.fsync(file.fileno())
for number, size in enumerate((4 << 20, 4 << 20, 4096, 4096)):
    threading.Thread(target=write, args=(f"{sys.argv[1]}/storm{number}", size), daemon=True).start()
time.sleep(float(sys.argv[2]))
os._exit(0)
"""
DEFAULT = PROFILES["default"]
"""`fast` wants a disk whose writes stay well below its 340 ms: docs/decisions/0007."""


def spec_of(share: Path) -> Spec:
    policy = Policy(
        lease_ms=DEFAULT.lease,
        fence_ms=DEFAULT.fence,
        suspect_ms=DEFAULT.suspect,
        slack_ms=DEFAULT.slack,
        witness_timeout_ms=DEFAULT.witness_timeout,
        start_wait_ms=3000,
        on_conflict="a",
    )
    return make_spec(share, policy=policy, interval_ms=DEFAULT.interval, max_missed=DEFAULT.max_missed)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    if os.geteuid() != 0:
        pytest.skip("makes network namespaces by hand, which needs root")
    with running_pair(tmp_path, spec_of, start=False) as pair:
        for machine in (pair.a, pair.b):
            on_disk(machine, tmp_path / f"disk-{machine.name}")
            machine.start_guard()
        pair.until("both nodes are protected", pair.healthy)
        assert pair.active() == "a"
        yield pair


def on_disk(machine: Machine, folder: Path) -> None:
    shutil.copytree(machine.paths.var.parent, folder)
    machine.run("mount", "--bind", str(folder), "/var/lib/hsorch")


def test_a_storm_of_writes_on_the_disk_of_the_active_fences_nobody_and_moves_nothing(pair: Pair) -> None:
    before = [machine.status() for machine in (pair.a, pair.b)]
    seen = {machine.name: machine.events(limit=1)[-1].id for machine in (pair.a, pair.b)}
    storm = [sys.executable, "-S", "-c", STORM, "/var/lib/hsorch", str(STORM_S)]
    subprocess.run(pair.a.command(*storm), check=True, timeout=STORM_S + 60)
    after = [machine.status() for machine in (pair.a, pair.b)]
    assert [report.role for report in after] == [report.role for report in before]
    assert [report.epoch_major for report in after] == [report.epoch_major for report in before]
    for machine in (pair.a, pair.b):
        kinds = {event.kind for event in machine.events(after=seen[machine.name])}
        assert not kinds & {"role_changed", "epoch_changed", "fence_result", "store_failed"}, machine.tells()
