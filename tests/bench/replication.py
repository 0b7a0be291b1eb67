"""All tables of replication: cost, mirror and verify, and how soon a change is seen on the standby."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench import replication_commits, replication_mirror
from tests.bench.table import Row, Table

CHANGES = 500
WITHIN_S = 10.0


def replication() -> Iterator[Table]:
    return chain(
        replication_commits.commits(), replication_mirror.mirrors(), replication_mirror.visible(), ordered()
    )


def ordered() -> Iterator[Table]:
    """From the end of a write at the active until the standby's file has it, nobody waiting for it."""
    with (
        TemporaryDirectory(prefix="hsorch-bench-") as home,
        replication_commits.pair(Path(home), "none") as (a, b),
        (a.data / "file").open("wb", buffering=0) as file,
    ):
        samples = [_one_change(file.fileno(), b.data / "file", n) for n in range(1, CHANGES + 1)]
    cuts = statistics.quantiles(samples, n=100)
    yield Table(
        "A change of a file in an ordered folder is seen on the standby", "ms",
        (Row("hsorch", tuple(samples), f"p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms"),),
    )  # fmt: skip


def _one_change(descriptor: int, standby: Path, number: int) -> float:
    content = number.to_bytes(8, "big") * 64
    os.pwrite(descriptor, content, 0)
    began = time.monotonic()
    while not standby.exists() or standby.read_bytes() != content:
        if time.monotonic() - began > WITHIN_S:
            raise RuntimeError(f"change {number} is not on the standby after {WITHIN_S:g} s")
        time.sleep(0.0005)
    return (time.monotonic() - began) * 1000
