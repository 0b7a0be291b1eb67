"""`complete`, and the standby's replicator hangs: until the pair is decided, each flush waits."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hsorch.lab import lifecycle
from tests.lab.world import Pair, applied, hsorch, until, with_policy

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

DATA = """
replication:
  ordered: [{path: /srv/app, preset: sqlite}]
  free_space: {warn: 64MiB, stop: 32MiB}  # the disks of a lab are small
"""


@pytest.fixture(scope="module")
def pair(lab_allowed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    change = with_policy("takeover: complete")
    yield from applied(tmp_path_factory.mktemp("frozen"), lambda text: change(text) + DATA)


@contextmanager
def hanging(pair: Pair, node: str) -> Iterator[None]:
    """The replicator of the node does nothing."""

    def signal(name: str) -> None:
        pair.exec(node, "pkill", f"-{name}", "-f", "hsorch.node replicator")

    signal("STOP")
    try:
        yield
    finally:
        signal("CONT")


@contextmanager
def customer(pair: Pair, prefix: str) -> Iterator[list[str]]:
    """Writes for 15 s, one of which is over; what was acknowledged is there once this ends."""
    argv = ["python3", "/lab/customer.py", "write", "--for", "15", "--prefix", prefix]
    acknowledged: list[str] = []
    command = lifecycle.command_inside(pair.cluster, "client", argv)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        time.sleep(1)
        yield acknowledged
        assert process.stdout is not None
        acknowledged += json.load(process.stdout)["acknowledged"]


def flushes_wait(pair: Pair, node: str) -> bool:
    report = pair.status(node)
    return report is not None and report.data is not None and report.data.frozen > 0


def book(pair: Pair) -> set[str]:
    done = pair.exec("client", "python3", "/lab/customer.py", "read", timeout=40)
    return set(json.loads(done.stdout)["sqlite"])


def test_an_application_that_is_killed_while_it_waits_is_started_again(pair: Pair) -> None:
    source = pair.active
    with customer(pair, "killed ") as told, hanging(pair, pair.other(source)):
        until("flushes wait", lambda: flushes_wait(pair, source))
        seen = len(pair.events(source))
        pair.exec(source, "pkill", "-KILL", "-f", "/lab/app.py")
        until(
            "it is started again",
            lambda: any(e.kind == "resource_started" for e in pair.events(source, seen)),
        )
        assert not [e.kind for e in pair.events(source, seen) if e.kind == "fence_begin"]
    pair.wait_protected(60)
    assert pair.active == source
    assert told
    assert set(told) <= book(pair)


def test_bringing_out_while_flushes_wait_ends_the_application_and_loses_nothing(pair: Pair) -> None:
    source = pair.active
    with customer(pair, "out ") as told, hanging(pair, pair.other(source)):
        until("flushes wait", lambda: flushes_wait(pair, source))
        seen = len(pair.events(source))
        hsorch("bring-out", str(pair.manifest), "--confirm", pair.cluster)
        assert pair.active == ""
        assert not [e.kind for e in pair.events(source, seen) if e.kind == "fence_begin"]
    hsorch("bring-in", str(pair.manifest), "--yes")
    pair.wait_protected(60)
    assert told
    assert set(told) <= book(pair)
