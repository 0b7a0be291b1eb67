"""A real MariaDB server on any folder of this machine. Small buffers: pages are always on their way."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LOAD = Path(__file__).with_name("mariadb_load.py")
START_LIMIT_S = 30.0
QUIET: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


class UnusableError(Exception):
    """The server does not start on these files, or they fail a check."""


def install(data: Path) -> None:
    """A new, empty one. data: exists and is empty."""
    accessible(data)
    shutil.chown(data, "mysql", "mysql")
    subprocess.run(
        ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--user=mysql", "--skip-test-db",
         "--auth-root-authentication-method=normal"],
        check=True, timeout=120, **QUIET,
    )  # fmt: skip


@contextmanager
def server(data: Path, *options: str) -> Iterator[str]:
    """Yields its socket; killed in the end. options: of the server, above ours. Raises UnusableError with
    its log."""
    with tempfile.TemporaryDirectory(prefix="hsorch-mariadb-") as run:
        shutil.chown(run, "mysql", "mysql")
        socket, log = f"{run}/sock", Path(run) / "log"
        process = subprocess.Popen(
            ["/usr/sbin/mariadbd", "--no-defaults", f"--datadir={data}", f"--socket={socket}", "--user=mysql",
             "--skip-networking", "--skip-grant-tables", f"--pid-file={run}/pid", f"--log-error={log}",
             f"--tmpdir={run}", "--innodb-buffer-pool-size=12M", "--innodb-log-file-size=6M",
             *options],
            **QUIET,
        )  # fmt: skip
        try:
            _await(process, socket, log)
            yield socket
        finally:
            process.kill()
            process.wait()


def _await(process: subprocess.Popen[bytes], socket: str, log: Path) -> None:
    ends = time.monotonic() + START_LIMIT_S
    ping = ["mariadb-admin", "--no-defaults", f"--socket={socket}", "ping"]
    while subprocess.run(ping, check=False, **QUIET).returncode != 0:
        if process.poll() is not None or time.monotonic() > ends:
            said = log.read_text(errors="replace")[-2000:] if log.exists() else "it said nothing"
            raise UnusableError(f"mariadbd on {socket} ended with {process.returncode}: {said}")
        time.sleep(0.05)


def load(socket: str, seconds: float, writers: int = 8) -> subprocess.Popen[bytes]:
    """Writers and DDL, in the background; its output is JSON."""
    argv = [sys.executable, str(LOAD), "write", socket, "--for", str(seconds), "--writers", str(writers)]
    return subprocess.Popen([*argv, "--ddl"], stdout=subprocess.PIPE)


def examine(data: Path) -> dict[str, int]:
    """Start on the files, check every table and row. Counts by table. Raises UnusableError."""
    with server(data) as socket:
        done = subprocess.run(
            [sys.executable, str(LOAD), "check", socket],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    if done.returncode != 0:
        raise UnusableError(done.stderr[-2000:])
    found = json.loads(done.stdout)
    if found["faults"]:
        raise UnusableError("; ".join(found["faults"]))
    counts: dict[str, int] = found["counts"]
    return counts


def accessible(folder: Path) -> None:
    """For the server's own user."""
    for path in (folder, *folder.parents):
        what = path.stat()
        if what.st_uid == os.getuid() and not what.st_mode & 0o001:
            path.chmod(what.st_mode | 0o011)
