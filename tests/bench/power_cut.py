"""Power cuts of a pair with a MariaDB under load, in both modes of takeover, one after the other.

python -m tests.bench.power_cut [ROUNDS [MODE...]]     20 rounds of complete and logical
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import cast

from tests.bench.table import Row, Table
from tests.lab.power_cut import Mode, Outcome, database_pair, let_go, power_cut

ROUNDS = 20
ON_ONE_PAIR = 3
"""The database grows with each round, and the disks of a lab are small."""
MODES = ("complete", "logical")


def rounds(mode: Mode, count: int) -> Iterator[Outcome]:
    """The dead node comes back after each, so the roles alternate."""
    for first in range(0, count, ON_ONE_PAIR):
        with (
            TemporaryDirectory(prefix="hsorch-power-cut-") as folder,
            database_pair(Path(folder), mode) as pair,
        ):
            for seed in range(first, min(first + ON_ONE_PAIR, count)):
                yield power_cut(pair, seed)
                let_go(pair)


def row(mode: Mode, outcomes: list[Outcome]) -> Row:
    usable = sum(not outcome.faults for outcome in outcomes)
    bounded = sum(outcome.lost_ms <= outcome.bound_ms for outcome in outcomes)
    data = median(outcome.data_ms for outcome in outcomes)
    database = median(outcome.database_ms for outcome in outcomes)
    own = median(outcome.pair_ms for outcome in outcomes)
    remark = (
        f"{usable} of {len(outcomes)} pass all checks; {sum(outcome.lost for outcome in outcomes)} of"
        f" {sum(outcome.commits for outcome in outcomes)} acknowledged commits lost, within the bound shown"
        f" in {bounded}; of the takeover, the pair itself {own:.0f} ms, data {data:.0f} ms,"
        f" MariaDB {database:.0f} ms;"
        f" protected again {median(outcome.rejoin_s for outcome in outcomes):.1f} s after the return"
    )
    return Row(f"takeover: {mode}", tuple(outcome.takeover_s for outcome in outcomes), remark)


def power_cuts() -> Iterator[Table]:
    yield _table(ROUNDS, MODES)


def _table(count: int, modes: tuple[str, ...]) -> Table:
    rows = []
    for mode in cast("tuple[Mode, ...]", modes):
        outcomes = []
        for outcome in rounds(mode, count):
            outcomes.append(outcome)
            sys.stderr.write(f"{mode}: {outcome}\n")
        rows.append(row(mode, outcomes))
    note = (
        "The time is from the cut until the database answers at the virtual address, its recovery included."
    )
    return Table("Power cut of the active node under load", "s", tuple(rows), note)


if __name__ == "__main__":
    given = sys.argv[1:]
    print(_table(int(given[0]) if given else ROUNDS, tuple(given[1:]) or MODES).markdown())
