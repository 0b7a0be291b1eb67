"""`make bench [ARGS="crash switch ..."]`: print the tables; each as soon as it is measured."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

from tests.bench import (
    command_line,
    cut_points,
    failover,
    idle,
    node_ports,
    power_cut,
    replication_changes,
    replication_commits,
    replication_mirror,
)
from tests.bench.table import Table

BENCHES: dict[str, Callable[[], Iterable[Table]]] = {
    "crash": lambda: [failover.hard_crash()],
    "switch": lambda: [failover.switch()],
    "faults": failover.suffering,
    "loss": lambda: [failover.frame_loss(10), failover.frame_loss(30)],
    "idle": idle.idle,
    "ports": node_ports.ports,
    "start-up": lambda: [command_line.start_up()],
    "plan": lambda: [command_line.plan_over_ssh()],
    "cut-points": cut_points.cut_points,
    "power-cut": power_cut.power_cuts,
    "commits": replication_commits.commits,
    "mirrors": replication_mirror.mirrors,
    "changes": replication_changes.changes,
    "validate": lambda: [command_line.validate_many()],
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        sys.stderr.write(f"unknown: {' '.join(unknown)}; there are: {' '.join(BENCHES)}\n")
        return 64
    for name in names or BENCHES:
        for table in BENCHES[name]():
            print(table.markdown(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
