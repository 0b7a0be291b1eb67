"""Commits a second of MariaDB on an ordered folder, beside the same server on the plain folder.

    python tests/bench/replication_commits.py FOLDER [SECONDS [MODE,MODE...]]

Both replicators and both copies share this machine's disk and processors. sysbench oltp_insert, one durable
commit an event. Prints a table: mode, threads, commits a second, 50th and 99th percentile in ms.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec

from hsorch.node.replication.setup import Setup
from tests.lab import mariadb
from tests.lab.test_replication_process import Member, free_port, until


def run(argv: list[str]) -> str:
    return subprocess.run(argv, check=True, text=True, capture_output=True, timeout=300).stdout


def measure(data: Path, label: str, seconds: int) -> None:
    with mariadb.server(data) as socket:
        run(["mariadb", "--no-defaults", "-S", socket, "-e", "create database if not exists sbtest"])
        common = ["sysbench", "oltp_insert", f"--mysql-socket={socket}", "--mysql-user=root", "--tables=1"]
        run([*common, "--table-size=1000", "prepare"])
        for threads in (1, 8):
            timing = [f"--time={seconds}", f"--threads={threads}", "--percentile=99", "--histogram=on"]
            text = run([*common, *timing, "run"])
            rate = re.search(r"transactions:\s+\d+\s+\((\S+) per", text)
            slow = re.search(r"99th percentile:\s+(\S+)", text)
            average = re.search(r"avg:\s+(\S+)", text)
            if not (rate and slow and average):
                raise RuntimeError(text)
            line = f"{label:10} {threads} threads: {rate[1]:>9} /s, avg {average[1]} ms, p99 {slow[1]} ms"
            print(line, flush=True)
        run([*common, "cleanup"])


MODES = "native,none,received,durable"


def main(home: Path, seconds: int, modes: list[str]) -> int:
    for mode in modes:
        shutil.rmtree(home, ignore_errors=True)
        a, b = Member(home, "a", "127.0.0.1"), Member(home, "b", "127.0.0.1")
        mariadb.install(a.data)
        if mode == "native":
            measure(a.data, mode, seconds)
            continue
        port = free_port()
        for member, peer in ((a, b), (b, a)):
            member.enroll(peer, mode, port)
            setup = msgspec.json.decode(member.places.setup.read_bytes(), type=Setup)
            (only,) = setup.bindings
            bound = msgspec.structs.replace(only, preset="mariadb", exclude=("ibtmp*", "*.pid", "*.sock"))
            member.places.setup.write_bytes(
                msgspec.json.encode(msgspec.structs.replace(setup, bindings=(bound,)))
            )
        try:
            a.start()
            b.start()
            b.ask("role", role="target")
            a.ask("role", role="source")
            until(lambda b=b: bool(b.ask("status").get("consistent")))  # type: ignore[misc]
            measure(a.data, mode, seconds)
        finally:
            a.end()
            b.end()
    return 0


if __name__ == "__main__":
    folder, seconds, modes = (*sys.argv[1:], *("10", MODES)[max(0, len(sys.argv) - 2) :])
    sys.exit(main(Path(folder), int(seconds), modes.split(",")))
