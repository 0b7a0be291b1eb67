"""Mirror and verify beside rsync: over one veth.

hsorch as two replicator processes, timed as an operator would: from the order until status says that the
standby has everything. Needs root. A peer that is not installed has no row, and the note names its package.
"""

from __future__ import annotations

import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench.mirror_world import LIMIT_S, Kind, Took, World, cpu_of, world
from tests.bench.table import Row, Table
from tests.replicators.nodes import Node

ROUNDS = 5
NOTE = (
    "Over one veth; both ends share one disk and two processors. hsorch: two replicators, TLS 1.3, until "
    "both say that the standby has everything, on stable storage. rsync: -aHX --delete, plain to its daemon, "
    "or over ssh."
)


def mirrors() -> Iterator[Table]:
    """Contenders take turns, each first as often as last, so that a busy moment of the machine meets all."""
    with world() as made:
        for kind in ("one file of 1 GiB", "20,000 files of 20 kB"):
            source = made.plant(kind)
            found: dict[str, list[Took]] = {}
            contenders = [_rsyncs, _lsyncd, _watched, _ordered]
            for turn in range(ROUNDS):
                for contender in contenders if turn % 2 == 0 else reversed(contenders):
                    for name, took in contender(made, source):
                        found.setdefault(name, []).append(took)
            rows = [_row(name, samples) for name, samples in found.items()]
            yield Table(f"Mirror of {kind}", "s", tuple(rows), " ".join((NOTE, _absent())))
            shutil.rmtree(source)


def _row(name: str, samples: list[Took]) -> Row:
    source = statistics.median(took.source for took in samples)
    standby = statistics.median(took.standby for took in samples)
    there = f"{standby:.1f}" if standby else "not known"  # rsync's daemon does not wait for its children
    remark = f"CPU s: source {source:.1f}, standby {there}" if source else ""
    return Row(name, tuple(took.clock for took in samples), remark)


def _rsyncs(made: World, source: Path) -> Iterator[tuple[str, Took]]:
    for over in made.daemons.keys() & {"rsync", "ssh"}:
        name = "rsync" if over == "rsync" else "rsync over ssh"
        made.fresh()
        plain = made.rsync(source, over=over)
        yield f"{name}, mirror", plain
        yield f"{name}, mirror and sync", Took(plain.clock + _sync(), plain.source, plain.standby)
        if over == "rsync":
            yield f"{name} -c, nothing changed", made.rsync(source, "-c")


def _lsyncd(made: World, source: Path) -> Iterator[tuple[str, Took]]:
    if shutil.which("lsyncd") and shutil.which("rsync"):
        made.fresh()
        yield "lsyncd, first copy", Took(made.lsyncd(source), 0, 0)


def _watched(made: World, source: Path) -> Iterator[tuple[str, Took]]:
    return _hsorch(made, source, "watched")


def _ordered(made: World, source: Path) -> Iterator[tuple[str, Took]]:
    return _hsorch(made, source, "ordered")


def _hsorch(made: World, source: Path, kind: Kind) -> Iterator[tuple[str, Took]]:
    """From the order to be the source until both nodes say that the standby has everything, durably."""

    def verified() -> bool:
        return bool(a.binding("data").get("verified"))

    with made.pair(source, kind) as (a, b):
        took = _until(a, b, lambda: a.ask("role", role="source"), lambda: _whole(a, b))
        yield f"hsorch {kind}, mirror", took
        yield f"hsorch {kind}, verify, nothing changed", _until(a, b, lambda: a.ask("verify"), verified)


def _whole(a: Node, b: Node) -> bool:
    return bool(a.ask("status").get("level")) and bool(b.ask("status").get("consistent"))


def _until(a: Node, b: Node, order: Callable[[], object], done: Callable[[], bool]) -> Took:
    pids = [node.process.pid for node in (a, b) if node.process is not None]
    before, began = [cpu_of(pid) for pid in pids], time.monotonic()
    order()
    while not done():
        if time.monotonic() - began > LIMIT_S:
            raise RuntimeError("it never came")
        time.sleep(0.01)
    took = time.monotonic() - began
    return Took(took, *(cpu_of(pid) - so_far for pid, so_far in zip(pids, before, strict=True)))


def _sync() -> float:
    """What hsorch's mirror has done when it says that it is done."""
    began = time.monotonic()
    os.sync()
    return time.monotonic() - began


def _absent() -> str:
    missing = [tool for tool in ("rsync", "lsyncd") if not shutil.which(tool)]
    return f"Not installed: apt-get install {' '.join(missing)}." if missing else ""
