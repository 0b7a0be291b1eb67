"""A mirror at full speed beside the heartbeats: no lease is missed, nothing moves, clients notice nothing.

HSORCH_MIRROR_MB says how much is mirrored. The folder is on this machine's disk, not on the lab's.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsorch.lab import lifecycle
from tests.lab.world import Pair, copy_example, fresh_name, hsorch, until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

MEGABYTES = int(os.environ.get("HSORCH_MIRROR_MB", "1000"))
PIECE_MB = 500
DATA = """
replication:
  watched: [/srv/large]
  free_space: {warn: 64MiB, stop: 32MiB}
"""
MOVES = ("role_changed", "link_down", "takeover_begin", "takeover_done", "lease_lost", "fenced")


@pytest.fixture
def folders() -> Iterator[dict[str, Path]]:
    """One for each node, on a real disk."""
    home = Path(tempfile.mkdtemp(prefix="hsorch-mirror-", dir="/tmp"))
    try:
        yield {"node-a": home / "a", "node-b": home / "b"}
    finally:
        shutil.rmtree(home)


@pytest.fixture
def pair(lab_allowed: None, tmp_path: Path, folders: dict[str, Path]) -> Iterator[Pair]:
    """Up and without hsorch yet; the folder on each node is full, or empty."""
    name = fresh_name()
    made = Pair(name, copy_example(tmp_path, name))
    made.manifest.write_text(made.manifest.read_text() + DATA)
    try:
        hsorch("lab", "up", str(made.manifest))
        for node, folder in folders.items():
            folder.mkdir()
            made.exec(node, "mkdir", "-p", "/srv/large")
            assert made.exec(node, "mount", "--bind", str(folder), "/srv/large").returncode == 0
        yield made
    finally:
        lifecycle.down(made.cluster)


def test_a_mirror_at_full_speed_delays_no_heartbeat(pair: Pair, folders: dict[str, Path]) -> None:
    for number in range(MEGABYTES // PIECE_MB):
        with (folders["node-a"] / f"{number}").open("wb") as file:
            for _ in range(PIECE_MB):
                file.write(os.urandom(1 << 20))
    hsorch("apply", str(pair.manifest), "--confirm", pair.cluster)
    before = {node: len(pair.events(node)) for node in pair.nodes}
    with pair.probe() as probe:
        until("all is on the standby", lambda: _bytes(folders["node-b"]) == MEGABYTES << 20, 800)
        seen = probe.stop()
    pair.wait_protected()
    for node in pair.nodes:
        told = [event for event in pair.events(node, before[node]) if event.kind in MOVES]
        assert told == [], told
    assert list(seen.nodes) == ["node-a"]
    print(f"{MEGABYTES} MiB mirrored; longest gap of the client {seen.longest_gap_ms:.0f} ms")


def _bytes(folder: Path) -> int:
    """Of what is in its place; pieces on their way are not."""
    return sum(path.stat().st_size for path in folder.glob("[0-9]*"))
