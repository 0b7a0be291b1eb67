"""Load on a MariaDB, and what must be true of its data afterwards: a program of its own.

    python3 mariadb_load.py write --for 5 [--ddl] [--writers 8] ADDRESS     acknowledged commits, as JSON
    python3 mariadb_load.py check ADDRESS                                   counts by table, faults, as JSON

ADDRESS is a host or the path of a socket. Writer n fills table wN with ids 1, 2, 3..., each row with the MD5
of its text, and counts its rows in `total` by the same transaction. A commit is acknowledged when the client
has its answer. Standard library only. Writers end at the first failure:
the server is gone, or the time is up.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import threading
import time

TEXT = "(select repeat(md5(rand()), 1 + floor(rand() * 60)) x)"


class GoneError(Exception):
    """The server went away, or refused a statement."""


class Client:
    """MariaDB's own client, one session."""

    def __init__(self, address: str, database: str = "test") -> None:
        where = f"--socket={address}" if address.startswith("/") else f"--host={address}"
        argv = ["mariadb", "--no-defaults", where, "--user=app", "--connect-timeout=3"]
        self.process = subprocess.Popen(
            [*argv, "-N", "-B", "-n", "-r", database],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._end = 0

    def ask(self, statements: str) -> list[str]:
        """Lines of the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._end += 1
        end, lines = f"-- {self._end}", []
        try:
            self.process.stdin.write(f"{statements}; select '{end}';\n")
            self.process.stdin.flush()
        except OSError as error:
            raise GoneError(str(error)) from error
        for line in self.process.stdout:
            if line.rstrip("\n") == end:
                return lines
            lines.append(line.rstrip("\n"))
        assert self.process.stderr is not None
        raise GoneError(self.process.stderr.read())

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


def prepare(address: str, writers: int) -> list[int]:
    """Tables, where they are not there yet. Returns the rows that each writer has."""
    client = Client(address, "")
    tables = "".join(
        f"insert ignore into total values ({n}, 0);"
        f"create table if not exists w{n} (id int primary key, text varchar(2000), sum char(32));"
        for n in range(writers)
    )
    client.ask(
        "create database if not exists test; use test;"
        f"create table if not exists total (writer int primary key, count int); {tables} select 1"
    )
    counts = [int(client.ask(f"select count(*) from w{n}")[0]) for n in range(writers)]
    client.close()
    return counts


def write(address: str, writers: int, seconds: float, *, ddl: bool) -> dict[str, object]:
    """had: rows before. acknowledged: per writer, the wall-clock time of each commit's answer, by ids."""
    had = prepare(address, writers)
    clients = [Client(address) for _ in range(writers + ddl)]
    answered: list[list[float]] = [[] for _ in range(writers)]
    wrong: list[str] = []
    stopping = threading.Event()

    def run(deed: object, *given: object) -> None:
        try:
            deed(*given)  # type: ignore[operator]
        except GoneError as error:
            if not stopping.is_set():
                wrong.append(str(error).strip())

    threads = [
        threading.Thread(target=run, args=(_write, clients[n], n, had[n], answered[n], stopping))
        for n in range(writers)
    ]
    if ddl:
        threads.append(threading.Thread(target=run, args=(_churn, clients[-1], stopping)))
    for thread in threads:
        thread.start()
    ends = time.monotonic() + seconds
    while time.monotonic() < ends and any(thread.is_alive() for thread in threads):
        time.sleep(0.02)
    stopping.set()
    for client in clients:
        client.process.kill()
    for thread in threads:
        thread.join()
    return {"had": had, "acknowledged": answered, "wrong": wrong}


def _write(client: Client, number: int, had: int, answered: list[float], stopping: threading.Event) -> None:
    table, rng = f"w{number}", random.Random(number)
    while not stopping.is_set():
        row = had + len(answered) + 1
        statement = (
            f"begin; insert into {table} select {row}, x, md5(x) from {TEXT} y;"
            f"update total set count = count + 1 where writer = {number};"
        )
        if row % 3 == 0:
            old = rng.randrange(1, row)
            statement += f"update {table}, {TEXT} y set text = x, sum = md5(x) where id = {old};"
        client.ask(statement + "commit")
        answered.append(time.time())


def _churn(client: Client, stopping: threading.Event) -> None:
    """Statements that move, rebuild and drop files."""
    step = 0
    while not stopping.is_set():
        step += 1
        client.ask(
            f"drop table if exists e{step}; create or replace table d{step} like w0;"
            f"insert into d{step} select * from w0 limit 20; alter table w1 force;"
            f"alter table d{step} add column more int default 7; rename table d{step} to e{step};"
            f"create or replace table a{step} engine=aria select * from e{step};"
            f"alter table e{step} add index (sum); truncate table e{step}; drop table e{step}, a{step}"
        )
        time.sleep(0.05)


def check(address: str) -> dict[str, object]:
    """counts: rows of each writer's table. faults: empty when all is well."""
    client, faults = Client(address, ""), []
    if not client.ask("show databases like 'test'"):
        return {"counts": {}, "faults": [], "tables": 0}
    client.ask("use test")
    tables = client.ask("select table_name from information_schema.tables where table_schema = 'test'")
    for table in tables:
        answer = client.ask(f"check table {table} extended")
        if not answer or not answer[-1].endswith("status\tOK"):
            faults.append(f"{table}: {answer}")
    counts = {}
    for table in [name for name in tables if name.startswith("w")]:
        wrong = "coalesce(sum(binary sum <> binary md5(text)), 0)"
        row = client.ask(f"select count(*), coalesce(max(id), 0), {wrong} from {table}")
        count, last, changed = map(int, row[0].split("\t"))
        total = int(client.ask(f"select count from total where writer = {table[1:]}")[0])
        if (last, changed, total) != (count, 0, count):
            faults.append(
                f"{table}: {count} rows, last {last}, total says {total}, {changed} with a wrong sum"
            )
        counts[table] = count
    client.close()
    return {"counts": counts, "faults": faults, "tables": len(tables)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("deed", choices=["write", "check"])
    parser.add_argument("address")
    parser.add_argument("--for", dest="seconds", type=float, default=5.0)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--ddl", action="store_true")
    given = parser.parse_args()
    if given.deed == "check":
        print(json.dumps(check(given.address)))
    else:
        print(json.dumps(write(given.address, given.writers, given.seconds, ddl=given.ddl)))


if __name__ == "__main__":
    main()
