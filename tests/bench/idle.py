"""What a protected pair costs while nothing happens: CPU and memory of guard and agent on each node."""

from __future__ import annotations

import time
from pathlib import Path

from tests.bench.failover import DEFAULT, FAST
from tests.bench.table import Row, Table
from tests.lab.world import Pair

TICK_S = 0.01


def idle(seconds: float = 30.0) -> tuple[Table, Table]:
    """Percent of one core, MB resident: guard and agent together, a sample per node."""
    cpu, memory = [], []
    for contender in (DEFAULT, FAST):
        with contender.running() as rig:
            pids = {node: _pids(rig.lab, node) for node in rig.lab.nodes}
            before = {node: sum(map(_cpu_s, found)) for node, found in pids.items()}
            time.sleep(seconds)
            spent = [sum(map(_cpu_s, found)) - before[node] for node, found in pids.items()]
            cpu.append(Row(contender.name, tuple(100 * s / seconds for s in spent)))
            memory.append(Row(contender.name, tuple(sum(map(_rss_mb, found)) for found in pids.values())))
    return (
        Table("Idle: CPU of guard and agent", "% of a core", tuple(cpu)),
        Table("Idle: memory of guard and agent", "MB resident", tuple(memory)),
    )


def _pids(pair: Pair, node: str) -> list[int]:
    """As this machine counts: processes of the node's runtime are found by their PID namespace."""
    inside = pair.exec(node, "readlink", "/proc/self/ns/pid").stdout.strip()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if b"hsorch.node" in words and str((entry / "ns/pid").readlink()) == inside:
                found.append(int(entry.name))
        except OSError:
            continue
    assert len(found) == 2, f"guard and agent of {node}: {found}"
    return found


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def _rss_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Rss:")) / 1024
