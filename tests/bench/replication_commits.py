"""Durable commits a second of MariaDB: alone, with a semi-synchronous replica, on an ordered folder.

sysbench oltp_insert, one commit an event, 1 and 8 threads. Contenders take turns, and both nodes of each
share this machine's disk and processors: two machines do better. Needs root, mariadb-server and sysbench.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import msgspec

from hsorch.node.replication.gate import Level
from hsorch.node.replication.setup import Setup
from tests.bench.table import Row, Table
from tests.lab import mariadb
from tests.replicators.members import Member, free_port, until

ROUNDS = 3
SECONDS = 5
THREADS = (1, 8)
ROOMY = ("--innodb-buffer-pool-size=256M", "--innodb-log-file-size=96M")
LOCAL = "127.0.0.1"
NOTE = (
    "Both nodes share one disk and two processors. The server is MariaDB with a pool of 256 MB and a log of "
    "96 MB; a commit is one flush of its log."
)


def commits() -> Iterator[Table]:
    contenders = {
        "native": plain,
        "MariaDB semi-sync": semi_sync,
        "hsorch logical": partial(ordered, level="none"),
        "hsorch complete, received": partial(ordered, level="received"),
        "hsorch complete, durable": partial(ordered, level="durable"),
    }
    rates: dict[tuple[str, int], list[float]] = {}
    slow: dict[tuple[str, int], list[float]] = {}
    for _ in range(ROUNDS):
        for name, contender in contenders.items():
            with TemporaryDirectory(prefix="hsorch-bench-") as home, contender(Path(home)) as socket:
                for threads, (rate, p99) in insert(socket):
                    rates.setdefault((name, threads), []).append(rate)
                    slow.setdefault((name, threads), []).append(p99)
    for threads in THREADS:
        rows = tuple(
            Row(name, tuple(rates[name, threads]), f"p99 {median(slow[name, threads]):.1f} ms")
            for name in contenders
        )
        yield Table(f"Commits of MariaDB, {threads} writing", "commits/s", rows, NOTE)


def insert(socket: str) -> Iterator[tuple[int, tuple[float, float]]]:
    """Per number of threads: commits a second, and the 99th percentile of their time in ms."""
    sql(socket, "create database sbtest")
    common = ["sysbench", "oltp_insert", f"--mysql-socket={socket}", "--mysql-user=root", "--tables=1"]
    _run([*common, "--table-size=1000", "prepare"])
    for threads in THREADS:
        said = _run([*common, f"--time={SECONDS}", f"--threads={threads}", "--percentile=99", "run"])
        rate = re.search(r"transactions:\s+\d+\s+\((\S+) per", said)
        p99 = re.search(r"99th percentile:\s+(\S+)", said)
        if rate is None or p99 is None:
            raise RuntimeError(said)
        yield threads, (float(rate[1]), float(p99[1]))


@contextmanager
def plain(home: Path) -> Iterator[str]:
    data = _installed(home / "data")
    with mariadb.server(data, *ROOMY) as socket:
        yield socket


@contextmanager
def semi_sync(home: Path) -> Iterator[str]:
    """A second server has each commit in its relay log before it is answered, not yet on stable storage."""
    with ExitStack() as stack:
        servers = []
        for number, role in ((1, "master"), (2, "slave")):
            port = free_port()
            socket = stack.enter_context(
                mariadb.server(
                    _installed(home / role), *ROOMY, "--skip-networking=0", f"--bind-address={LOCAL}",
                    f"--port={port}", f"--server-id={number}", "--log-bin=binary", "--sync-binlog=1",
                    "--binlog-format=row", f"--rpl-semi-sync-{role}-enabled=1",
                    "--rpl-semi-sync-master-timeout=60000",
                )
            )  # fmt: skip
            servers.append((socket, port))
        (source, port), (replica, _) = servers
        sql(
            replica,
            f"change master to master_host='{LOCAL}', master_port={port}, master_user='root',"
            " master_use_gtid=slave_pos; start slave",
        )
        until(lambda: "Rpl_semi_sync_master_clients\t1" in sql(source, "show status like 'rpl_semi%'"))
        yield source


@contextmanager
def ordered(home: Path, level: Level) -> Iterator[str]:
    """MariaDB on the active node of a pair."""
    with (
        pair(home, level, mariadb.install, preset="mariadb", exclude=("ibtmp*",)) as (a, _),
        mariadb.server(a.data, *ROOMY) as socket,
    ):
        yield socket


@contextmanager
def pair(
    home: Path, level: Level, fill: Callable[[Path], None] | None = None, **binding: object
) -> Iterator[tuple[Member, Member]]:
    """Two replicators, the first of which is the source; the standby is level with it.

    fill: puts into the source's folder what is there before.
    """
    a, b = Member(home, "a", LOCAL), Member(home, "b", LOCAL)
    if fill is not None:
        fill(a.data)
    port = free_port()
    for member, peer in ((a, b), (b, a)):
        member.enroll(peer, level, port)
        setup = msgspec.json.decode(member.places.setup.read_bytes(), type=Setup)
        bindings = tuple(msgspec.structs.replace(bound, **binding) for bound in setup.bindings)
        member.places.setup.write_bytes(
            msgspec.json.encode(msgspec.structs.replace(setup, bindings=bindings))
        )
    try:
        a.start()
        b.start()
        b.ask("role", role="target")
        a.ask("role", role="source")
        until(lambda: bool(b.ask("status")["consistent"]))
        if level != "none":
            until(lambda: bool(a.ask("status")["guarded"]))
        yield a, b
    finally:
        a.end()
        b.end()


def sql(socket: str, text: str) -> str:
    return _run(["mariadb", "--no-defaults", "-S", socket, "-N", "-B", "-e", text])


def _installed(data: Path) -> Path:
    data.mkdir(parents=True)
    mariadb.install(data)
    return data


def _run(argv: list[str]) -> str:
    return subprocess.run(argv, check=True, text=True, capture_output=True, timeout=120).stdout
