"""What hsorch itself keeps lies on a disk that is full, or too small for a resync: nothing stops for that."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.replicators.nodes import Node, pair_of, until
from tests.replicators.world import picture

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]
TABLES = "tables"


@contextlib.contextmanager
def small_disk(node: Node, mib: int) -> Iterator[None]:
    """What hsorch itself keeps on the node lies on a disk of its own."""
    home = node.places.home
    files = {path: (path.read_bytes(), path.stat().st_mode) for path in home.iterdir()}
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", home], check=True)
    try:
        for path, (content, mode) in files.items():
            path.write_bytes(content)
            path.chmod(mode)
        yield
    finally:
        node.end()
        subprocess.run(["umount", "-l", home], check=True)


def fill(node: Node, leave: int) -> Path:
    """Its own disk, but for so many bytes."""
    filler = node.places.home / "filler"
    with filler.open("wb") as file:
        room = os.statvfs(node.places.home)
        os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize - leave)
    return filler


def test_under_complete_the_standby_knows_before_a_flush_goes_on_without_it(tmp_path: Path) -> None:
    with pair_of(tmp_path, (TABLES,)) as made:
        a, b = made.a, made.b
        bound = made.ordered(TABLES)
        made.bind(bound, nodes=(a,), level="durable", warn_bytes=60 << 20, stop_bytes=50 << 20)
        made.bind(bound, nodes=(b,), level="durable", warn_bytes=2, stop_bytes=1)
        table = str(tmp_path / "common" / TABLES / "large")
        with small_disk(a, 200):
            a.start()
            b.start()
            b.ask("role", role="target")
            a.ask("role", role="source")
            until(lambda: bool(a.ask("status")["guarded"] and b.ask("status")["guarded"]))
            filler = fill(a, 40 << 20)
            until(lambda: "free space on a" in a.ask("status")["state"])
            assert not b.ask("status")["guarded"]
            done = a.run(
                "dd", "if=/dev/urandom", f"of={table}", "bs=64k", "count=80", "conv=fsync", timeout=10
            )
            assert done.returncode == 0, done.stderr
            filler.unlink()
            until(lambda: bool(a.ask("status")["guarded"] and b.ask("status")["guarded"]))
            tables = [picture(node.folders[TABLES], times=False) for node in (a, b)]
            assert tables[0] == tables[1]


def test_a_full_disk_of_the_journal_is_none_of_the_applications_business(tmp_path: Path) -> None:
    with pair_of(tmp_path, (TABLES,)) as made:
        a, b = made.a, made.b
        made.bind(made.ordered(TABLES), warn_bytes=2, stop_bytes=1)
        with small_disk(a, 400):
            a.start()
            b.start()
            b.ask("role", role="target")
            a.ask("role", role="source")
            until(lambda: bool(b.ask("status")["consistent"]))
            b.kill()
            filler = fill(a, 8_000_000)
            table = str(tmp_path / "common" / TABLES / "large")
            done = a.run("dd", "if=/dev/urandom", f"of={table}", "bs=64k", "count=800", "conv=fsync")
            assert done.returncode == 0, done.stderr
            assert a.run("mkdir", f"{table}.d").returncode == 0
            assert a.ask("status")["behind"]
            filler.unlink()
            b.start()
            b.ask("role", role="target")
            until(lambda: not a.ask("status")["behind"] and bool(b.ask("status")["consistent"]))
            assert a.ask("drain", limit_s=30)["ok"]
            tables = [picture(node.folders[TABLES], times=False) for node in (a, b)]
            assert tables[0] == tables[1]


def test_a_resync_of_more_than_the_actives_disk_has_room_for_comes_to_its_end(tmp_path: Path) -> None:
    """Of the first mirror as of what was written while the standby was away, also when it breaks off."""
    with pair_of(tmp_path, (TABLES,)) as made:
        a, b = made.a, made.b
        made.bind(made.ordered(TABLES), warn_bytes=2, stop_bytes=1, queue_bytes=1_000_000)
        (a.folders[TABLES] / "large").write_bytes(os.urandom(450_000_000))
        table = str(tmp_path / "common" / TABLES / "large")

        def equal_but_for_the_last() -> bool:
            seen = a.ask("status")
            return bool(seen["level"] and b.ask("status")["consistent"])

        with small_disk(a, 320):
            a.start()
            b.start()
            b.ask("role", role="target")
            a.ask("role", role="source")
            until(equal_but_for_the_last, 60)
            b.kill()
            over = ("dd", "if=/dev/urandom", f"of={table}", "bs=1M", "count=400", "conv=notrunc,fsync")
            assert a.run(*over).returncode == 0
            assert a.ask("status")["behind"]
            b.start()
            b.ask("role", role="target")
            until(lambda: a.ask("status")["copied"] - 450_000_000 > 0, 60)
            for node, role in ((a, "source"), (b, "target")):
                node.kill()
                node.start()
                node.ask("role", role=role)
            until(equal_but_for_the_last, 60)
            assert a.ask("drain", limit_s=30)["ok"]
            tables = [picture(node.folders[TABLES], times=False) for node in (a, b)]
            assert tables[0] == tables[1]
