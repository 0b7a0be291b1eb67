"""Power cuts of the active node of a real pair, while clients write to its MariaDB at the virtual address.

A round: load with DDL, then the data link goes down and, a moment later, everything on the active node dies;
the other takes over by the real runtime. What the clients were told is compared with what is there.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hsorch.lab import lifecycle
from tests.lab.mariadb import LOAD
from tests.lab.world import Pair, copy_example, fresh_name, hsorch, until

Mode = Literal["complete", "logical"]
VIP = "10.77.0.10"
LOAD_LIMIT_S = 12.0
"""A client that waits for an answer of a dead node never gets one, nor an error; by then all is over."""
FOR_CLIENTS = """
CREATE DATABASE IF NOT EXISTS test;
GRANT ALL ON test.* TO app@'%';
"""


@dataclass(frozen=True)
class Outcome:
    """commits: acknowledged before the cut; lost: of these, not there afterwards.

    lost_ms: from the oldest lost acknowledgement to the cut. bound_ms: what the other node lacks by the last
    status, and the time from then to the cut. takeover_s: from the cut until the database answers at the
    virtual address; data_ms, database_ms: the parts of it for the data and MariaDB. rejoin_s: from the return
    of the dead node's power until both are protected again.
    """

    seed: int
    commits: int
    lost: int
    lost_ms: float
    bound_ms: float
    takeover_s: float
    data_ms: int
    database_ms: int
    rejoin_s: float
    faults: tuple[str, ...]

    @property
    def pair_ms(self) -> float:
        """What is left of the takeover: the pair's own time, and the address."""
        return 1000 * self.takeover_s - self.data_ms - self.database_ms


@contextmanager
def database_pair(folder: Path, mode: Mode) -> Iterator[Pair]:
    """The example with MariaDB, applied and protected."""
    pair = Pair(fresh_name(), folder / "cluster.yaml")
    copy_example(folder, pair.cluster, "replicated.yaml")
    text = pair.manifest.read_text()
    policy = f"takeover: {mode}\n  reverse_replication: true\n  max_failovers: 1000 per 1h"
    pair.manifest.write_text(text.replace("takeover: complete", policy))
    (folder / LOAD.name).write_bytes(LOAD.read_bytes())
    with (folder / "database.sql").open("a") as file:
        file.write(FOR_CLIENTS)
    try:
        hsorch("apply", str(pair.manifest), "--yes", timeout=180)
        pair.wait_protected(60)
        yield pair
    finally:
        lifecycle.down(pair.cluster)


def power_cut(pair: Pair, seed: int) -> Outcome:
    """One round, from protected to protected. Raises AssertionError: nobody takes over, or nobody returns."""
    rng = random.Random(seed)
    active = pair.active
    survivor = pair.other(active)
    seen = len(pair.events(survivor))
    with _load(pair, ddl=seed % 2 == 0) as load:
        time.sleep(rng.uniform(2.0, 5.0))
        if rng.random() < 0.7:
            pair.fault("link-down", active, "direct")
            time.sleep(rng.uniform(0.0, 0.1))
        asked = time.time()
        report = pair.status(active)
        assert report is not None
        assert report.data is not None
        assert report.active == active, f"it moved before the cut\n{pair.describe()}"
        pair.fault("crash", active)
        cut = time.time()
        pair.wait_active(survivor, 30)
        until("the database answers", lambda: _answers(pair), 60)
        takeover = time.time() - cut
        written = json.loads(load.communicate(timeout=LOAD_LIMIT_S + 30)[0])
    found = _check(pair)
    lost = [
        when
        for number, (had, times) in enumerate(zip(written["had"], written["acknowledged"], strict=True))
        for when in times[max(0, found["counts"].get(f"w{number}", 0) - had) :]
        if when < cut
    ]
    starts = _starts(pair, survivor, seen)
    return Outcome(
        seed=seed,
        commits=sum(when < cut for times in written["acknowledged"] for when in times),
        lost=len(lost),
        lost_ms=1000 * (cut - min(lost, default=cut)),
        bound_ms=max(0, report.data.lag_ms) + 1000 * (cut - asked),
        takeover_s=takeover,
        data_ms=starts.get("Data-app", -1),
        database_ms=starts.get("database", -1),
        rejoin_s=_rejoin(pair),
        faults=tuple(found["faults"]),
    )


def let_go(pair: Pair) -> None:
    """Of what resyncs put away, as an operator would: the disks of a lab are small."""
    kept = json.loads(hsorch("quarantine", "list", str(pair.manifest), "--format", "json").stdout)["nodes"]
    for node, incidents in kept.items():
        for incident in incidents:
            of = (incident["incident"], str(pair.manifest), "--node", node)
            hsorch("quarantine", "drop", *of, "--confirm", pair.cluster)


def _rejoin(pair: Pair) -> float:
    began = time.monotonic()
    pair.heal()
    pair.wait_protected(90)
    return time.monotonic() - began


@contextmanager
def _load(pair: Pair, *, ddl: bool) -> Iterator[subprocess.Popen[bytes]]:
    argv = [
        "python3",
        f"/lab/{LOAD.name}",
        "write",
        VIP,
        "--for",
        str(LOAD_LIMIT_S),
        *(["--ddl"] if ddl else []),
    ]
    command = lifecycle.command_inside(pair.cluster, "client", argv)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def _answers(pair: Pair) -> bool:
    ping = ["mariadb-admin", "--no-defaults", f"--host={VIP}", "--user=app", "--connect-timeout=1", "ping"]
    return pair.exec("client", *ping).returncode == 0


def _check(pair: Pair) -> dict[str, dict[str, int]]:
    done = pair.exec("client", "python3", f"/lab/{LOAD.name}", "check", VIP, timeout=120)
    if done.returncode != 0:
        return {"counts": {}, "faults": [done.stderr[-1000:]]}  # type: ignore[dict-item]
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def _starts(pair: Pair, node: str, after: int) -> dict[str, int]:
    """Milliseconds that each resource took to start, as the node tells."""
    told = "\n".join(event.message for event in pair.events(node, after))
    return {name: int(took) for name, took in re.findall(r"start of (\S+): ok in (\d+) ms", told)}
