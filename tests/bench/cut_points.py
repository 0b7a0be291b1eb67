"""Cut points of a real MariaDB's journal: every prefix must be a database that starts and passes its checks.

A server under load with DDL on an ordered mount; then random prefixes of its journal are applied, and a
server started on each. Twice: onto empty folders, and onto those of a separately installed server that
shares only what a user would bind (its databases and what the preset adds). Needs root, /dev/fuse and
mariadb-server.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from hsorch.node.replication.apply import Applier
from hsorch.node.replication.bindings import Binding, expand
from hsorch.node.replication.journal import Journal
from hsorch.node.replication.record import NAME_KINDS, Kind
from hsorch.node.replication.tree import Tree
from tests.bench.table import Row, Table
from tests.lab import mariadb
from tests.replicators.comparing import Compared
from tests.replicators.world import Active, refuse

CUTS = 100
JOURNAL_BYTES = 250_000_000
LOAD_S = 5.0
NAMED = 5
"""Changed names that are told on each side of a cut that failed."""
BOUND = ("test/**", "mysql/**")


@dataclass(frozen=True)
class Recorded:
    """A journal on a disk: where the load begins and ends in it, and what was acknowledged."""

    active: Active
    begins: int
    commits: int

    @property
    def journal(self) -> Journal:
        return self.active.journal


def whole() -> dict[str, object]:
    return {"preset": "mariadb", "exclude": expand(_bound()).exclude}


def chosen() -> dict[str, object]:
    """What an operator binds of a server that is installed on both nodes."""
    full = expand(_bound(include=BOUND))
    return {"preset": "mariadb", "include": full.include, "exclude": full.exclude}


def _bound(**more: object) -> Binding:
    return Binding(path="/srv", kind="ordered", preset="mariadb", **more)  # type: ignore[arg-type]


def record(home: Path, fields: dict[str, object], size: int) -> Recorded:
    """Load until the journal has so many bytes beside the first image."""
    data = home / "a/data"
    data.mkdir(parents=True)
    mariadb.install(data)
    commits = 0
    with Active(home / "a", **fields) as active:
        begin = active.capture.log.journal.append(Kind.MIRROR_BEGIN)
        (home / "blank").mkdir()
        blank = Tree(0, Binding(path=str(home / "blank"), kind="ordered", **fields))  # type: ignore[arg-type]
        begins = Compared([active.tree], active.capture, [blank]).run(begin).end
        blank.close()
        while active.journal.end - begins < size:
            with mariadb.server(data) as socket:
                # Killed at the end, it recovers on the same mount: that is in the journal, too.
                commits += _load(socket, min(LOAD_S, size / 5e7))
    return Recorded(active, begins, commits)


def _load(socket: str, seconds: float) -> int:
    output, _ = mariadb.load(socket, seconds).communicate(timeout=120)
    return sum(len(times) for times in json.loads(output)["acknowledged"])


def cuts(
    recorded: Recorded, target: Path, count: int, fields: dict[str, object]
) -> Iterator[tuple[int, str]]:
    """Place and fault ("" when usable) of each. target: what the standby has before the first record."""
    journal = recorded.journal
    ends = [item.end for item in journal.records(recorded.begins)]
    places = sorted(random.Random(7).sample(ends, min(count, len(ends))))
    tree = Tree(0, Binding(path=str(target), kind="ordered", **fields))  # type: ignore[arg-type]
    applier, lsn, cut = Applier([tree], refuse), journal.first, target.with_name("cut")
    for place in places:
        for item in journal.records(lsn, place):
            applier.apply(item)
        lsn = place
        subprocess.run(["cp", "-a", "--sparse=always", str(target), str(cut)], check=True)
        try:
            mariadb.examine(cut)
            yield place, ""
        except mariadb.UnusableError as error:
            yield place, f"{str(error)[-400:]}; {_around(journal, place)}"
        shutil.rmtree(cut)
    applier.close()


def _around(journal: Journal, place: int) -> str:
    """What was done to names just before and after."""
    before: deque[str] = deque(maxlen=NAMED)
    after: list[str] = []
    for item in journal.records(journal.first):
        if item.kind in NAME_KINDS:
            path, to = (os.fsdecode(bytes(raw)[:80]) for raw in (item.path, item.data))
            named = f"{item.kind.name} {path}" + (f" to {to}" if item.kind is Kind.RENAME else "")
            if item.end <= place:
                before.append(named)
            else:
                after.append(named)
        if len(after) == NAMED:
            break
    return f"after {', '.join(before)}; before {', '.join(after)}"


def foreign(target: Path, fields: dict[str, object]) -> None:
    """A separately installed server's folder, without what the stream brings."""
    target.mkdir()
    mariadb.install(target)
    bound = Binding(path=str(target), kind="ordered", **fields)  # type: ignore[arg-type]
    for path in sorted(target.rglob("*"), reverse=True):
        name = str(path.relative_to(target))
        if path.is_dir():
            if bound.enters(name) and not any(path.iterdir()):
                path.rmdir()
        elif bound.covers(name):
            path.unlink()


def run(home: Path, name: str, size: int, count: int) -> Row:
    """samples: 1 for each usable cut, 0 for another."""
    apart = name == "separately installed standby"
    fields = chosen() if apart else whole()
    recorded = record(home, fields, size)
    target = home / "standby"
    if apart:
        foreign(target, fields)
    else:
        target.mkdir()
    mariadb.accessible(target)
    faults = list(cuts(recorded, target, count, fields))
    usable = sum(not fault for _, fault in faults)
    size_mb = (recorded.journal.end - recorded.begins) / 1e6
    remark = (
        f"{usable} of {len(faults)} usable; journal {size_mb:.0f} MB, {recorded.commits} commits with DDL"
    )
    first = next((f"; first fault at {place}: {fault}" for place, fault in faults if fault), "")
    return Row(name, tuple(float(not fault) for _, fault in faults), remark + first)


def cut_points() -> Iterator[Table]:
    rows = []
    for name in ("empty standby", "separately installed standby"):
        with TemporaryDirectory(prefix="hsorch-cuts-") as home:
            rows.append(run(Path(home), name, JOURNAL_BYTES, CUTS))
    yield Table("Cut points of a database's journal", "usable", tuple(rows))
