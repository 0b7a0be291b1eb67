"""Cut points of a real MariaDB's journal: every prefix must be a database that starts and passes its checks.

    python tests/bench/replication_mariadb.py FOLDER [CUTS] [SECONDS]

Runs mariadbd with a small buffer pool and redo log on an ordered mount, loads it with transactions and DDL,
then applies random prefixes of the journal to empty folders and starts mariadbd on each. Prints one line.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

from hsorch.node.replication.apply import Applier
from hsorch.node.replication.capture.copyin import copy_in
from hsorch.node.replication.record import Kind
from hsorch.node.replication.tree import Tree
from tests.lab.replication_world import Active, binding, refuse


def run(argv: list[str], **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, check=True, text=True, capture_output=True, timeout=120, **more)  # type: ignore[call-overload,no-any-return]


def server(data: Path, socket: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [
            "mariadbd", "--no-defaults", f"--datadir={data}", f"--socket={socket}", "--skip-networking",
            "--user=mysql", "--innodb-buffer-pool-size=12M", "--innodb-log-file-size=6M",
            f"--pid-file={data}/m.pid", f"--log-error={socket}.err", "--skip-grant-tables",
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    for _ in range(400):
        if process.poll() is not None:
            raise RuntimeError(Path(f"{socket}.err").read_text()[-2000:])
        if subprocess.run(["mariadb-admin", "-S", socket, "ping"], capture_output=True).returncode == 0:
            return process
        time.sleep(0.05)
    process.kill()
    raise RuntimeError("mariadbd does not answer")


def sql(socket: Path, text: str) -> str:
    return run(["mariadb", "-S", str(socket), "-N", "-B", "-e", text]).stdout


def load(socket: Path, seconds: float) -> int:
    """Transactions of three writers, with DDL between them. Commits."""
    sql(
        socket,
        "create database if not exists test; use test;"
        + "".join(
            f"create table t{n} (id int auto_increment primary key, text varchar(2000), sum char(32));"
            for n in range(3)
        ),
    )
    end, count, step = time.monotonic() + seconds, 0, 0
    while time.monotonic() < end:
        step += 1
        statements = "".join(
            f"begin; insert into t{n} (text, sum) select x, md5(x) "
            "from (select repeat(md5(rand()), 1 + floor(rand()*60)) x) y; commit;"
            for n in range(3)
        )
        ddl = (
            f"create table d{step} like t0; insert into d{step} select * from t0 limit 20;"
            f"alter table t1 force; rename table d{step} to e{step};"
            f"truncate table e{step}; drop table e{step};"
            if step % 4 == 0
            else ""
        )
        sql(socket, "use test; " + statements * 10 + ddl)
        count += 30
    return count


def usable(target: Path, socket: Path) -> str:
    """ "": it starts, every table passes, rows are contiguous and whole."""
    try:
        process = server(target, socket)
    except RuntimeError as error:
        return f"does not start: {error}"
    try:
        tables = sql(
            socket, "select table_name from information_schema.tables where table_schema='test'"
        ).split()
        for table in tables:
            check = sql(socket, f"check table test.{table} extended")
            if "status\tOK" not in check:
                return check
            if table in ("t0", "t1", "t2"):
                bad = sql(
                    socket, f"select count(*) from test.{table} where binary sum <> binary md5(text)"
                ).strip()
                if bad != "0":
                    return f"{table}: rows changed ({bad})"
        return ""
    except subprocess.CalledProcessError as error:
        return str(error.stderr)
    finally:
        process.kill()
        process.wait()


def main(home: Path, cuts: int, seconds: float) -> int:
    home.mkdir(parents=True)
    data = home / "a/data"
    data.mkdir(parents=True)
    run(
        [
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={data}",
            "--user=mysql",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        ]
    )
    os.chmod(home, 0o755)
    shutil.chown(data, "mysql", "mysql")
    socket = Path(f"/tmp/hsorch-bench-{os.getpid()}.sock")
    with Active(home / "a", preset="mariadb", exclude=("ibtmp*", "*.pid", "*.sock")) as active:
        log = active.capture.log
        log.journal.append(Kind.MIRROR_BEGIN)
        copy_in(active.tree, log, active.capture.nodes, active.capture.files)
        mirrored = log.journal.append(Kind.MIRROR_END).end
        process = server(data, socket)
        began = time.monotonic()
        commits = load(socket, seconds)
        took = time.monotonic() - began
        process.kill()
        process.wait()
    records = [record.end for record in active.journal.records(mirrored)]
    places = sorted(random.Random(7).sample(records, min(cuts, len(records))))
    rolling, target, bad = home / "rolling", home / "cut", []
    rolling.mkdir()
    applier, lsn = Applier([Tree(0, binding(rolling))], refuse), active.journal.first
    for place in places:
        for record in active.journal.records(lsn, place):
            applier.apply(record)
        lsn = place
        shutil.rmtree(target, ignore_errors=True)
        run(["cp", "-a", "--sparse=always", str(rolling), str(target)])
        fault = usable(target, socket)
        if fault:
            bad.append((place, fault))
            print(place, fault[-300:], flush=True)
    megabytes = (active.journal.end - mirrored) / 1e6
    print(
        f"journal {megabytes:.0f} MB, {len(records)} records, {commits} commits in {took:.0f} s; "
        f"{len(places) - len(bad)} of {len(places)} cuts usable",
        flush=True,
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int((sys.argv[2:] or ["20"])[0]), float((sys.argv[3:] or ["20"])[0])))
