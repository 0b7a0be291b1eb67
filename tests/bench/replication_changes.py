"""How soon a change is seen on the standby: of a watched tree, and of a file in an ordered folder."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench import replication_commits
from tests.bench.mirror_world import world
from tests.bench.table import Row, Table

WATCHED, ORDERED = 1000, 500
"""Changes of each kind."""
WITHIN_S = 60.0
LOOK_S = 0.0005


def changes() -> Iterator[Table]:
    yield watched()
    yield ordered()


def watched() -> Table:
    """From the end of a write at the source until the standby has it in its place, in a tree of 10,000."""
    with world() as made:
        source = made.home / "live"
        for n in range(10_000):
            folder = source / f"{n // 100}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{n}").write_bytes(b"x" * 1000)
        with made.pair(source, "watched") as (a, b):
            a.ask("role", role="source")
            _until(lambda: bool(a.ask("status").get("level")) and bool(b.ask("status").get("consistent")))
            here, there = a.folders["data"], b.folders["data"]
            samples = [_replaced(here, there, n) for n in range(WATCHED)]
    return _table("A change in a watched tree of 10,000 files is seen on the standby", samples)


def ordered() -> Table:
    """From the end of a write at the active until the standby's file has it, nobody waiting for it."""
    with (
        TemporaryDirectory(prefix="hsorch-bench-") as home,
        replication_commits.pair(Path(home), "none") as (a, b),
        (a.data / "file").open("wb", buffering=0) as file,
    ):
        samples = [_written(file.fileno(), b.data / "file", n) for n in range(1, ORDERED + 1)]
    return _table("A change of a file in an ordered folder is seen on the standby", samples)


def _table(title: str, samples: list[float]) -> Table:
    cuts = statistics.quantiles(samples, n=100)
    return Table(
        title, "ms", (Row("hsorch", tuple(samples), f"p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms"),)
    )


def _replaced(here: Path, there: Path, n: int) -> float:
    name = f"{n % 100}/{n % 100 * 100 + n // 100}"
    content = n.to_bytes(4, "big") * 250
    (here / name).write_bytes(content)
    return _until(lambda: (there / name).read_bytes() == content)


def _written(descriptor: int, standby: Path, number: int) -> float:
    content = number.to_bytes(8, "big") * 64
    os.pwrite(descriptor, content, 0)
    return _until(lambda: standby.exists() and standby.read_bytes() == content)


def _until(seen: Callable[[], bool]) -> float:
    """How many ms it took."""
    began = time.monotonic()
    while not seen():
        if time.monotonic() - began > WITHIN_S:
            raise RuntimeError(f"it is not on the standby after {WITHIN_S:g} s")
        time.sleep(LOOK_S)
    return (time.monotonic() - began) * 1000
