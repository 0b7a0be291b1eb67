"""What an application does on a real mount arrives on the standby, name for name and byte for byte."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hsorch.node.replication.record import Kind
from tests.replicators.world import Active, picture, replay

pytestmark = [pytest.mark.lab, pytest.mark.timeout(60)]

# The application is always a process of its own: who waits for a page of a mount holds its interpreter, and
# the mount's own interpreter is this one.
FILL_SQLITE = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1])
database.execute(f"pragma journal_mode={sys.argv[2]}")
database.execute("create table t (n integer primary key, text text)")
for number in range(60):
    database.execute("insert into t values (?, ?)", (number, "x" * (number * 40)))
    database.commit()
database.close()
"""
WRITE_MAPPED = """
import mmap, sys
with open(sys.argv[1], "r+b") as file, mmap.mmap(file.fileno(), 20_000) as memory:
    memory[9_000:9_005] = b"bytes"
    memory.flush()
"""


def same(active: Active, target: Path) -> None:
    replay(active.journal, target)
    assert picture(active.tree.folder) == picture(target)


def test_names_contents_and_attributes_arrive(tmp_path: Path) -> None:
    with Active(tmp_path / "a") as active:
        data = active.data
        (data / "sub").mkdir(mode=0o750)
        (data / "sub/file").write_bytes(b"hello")
        os.chmod(data / "sub/file", 0o604)
        os.chown(data / "sub/file", 12, 34)
        os.utime(data / "sub/file", ns=(1_000_000_001, 2_000_000_002))
        os.setxattr(data / "sub/file", "user.colour", b"blue")
        os.link(data / "sub/file", data / "twin")
        os.symlink("sub/file", data / "link")
        os.rename(data / "sub", data / "moved")
        (data / "victim").write_bytes(b"old")
        (data / "fresh").write_bytes(b"new")
        os.replace(data / "fresh", data / "victim")
        (data / "gone").write_bytes(b"x")
        (data / "gone").unlink()
        with (data / "holes").open("wb") as file:
            file.truncate(1_000_000)
            file.seek(500_000)
            file.write(b"middle")
        subprocess.run(["fallocate", "-p", "-o", "0", "-l", "65536", str(data / "holes")], check=True)
        assert (data / "moved/file").read_bytes() == b"hello"
        assert os.listxattr(data / "moved/file") == ["user.colour"]
    same(active, tmp_path / "b")
    assert (tmp_path / "b/holes").stat().st_blocks < 1_000


def test_two_handles_of_one_file_keep_their_order(tmp_path: Path) -> None:
    with Active(tmp_path / "a") as active:
        with (active.data / "f").open("wb", 0) as one, (active.data / "f").open("r+b", 0) as two:
            for number in range(200):
                os.pwrite((one, two)[number % 2].fileno(), bytes([number]) * 300, number % 7 * 50)
        with (active.data / "log").open("ab", 0) as one, (active.data / "log").open("ab", 0) as two:
            for number in range(50):
                (one, two)[number % 2].write(b"line %d\n" % number)
        assert (active.data / "log").read_bytes().count(b"\n") == 50
    same(active, tmp_path / "b")


def test_a_file_removed_while_open_lives_until_it_is_closed(tmp_path: Path) -> None:
    with Active(tmp_path / "a") as active, (active.data / "temporary").open("w+b") as file:
        (active.data / "temporary").unlink()
        file.write(b"still here")
        file.flush()
        file.seek(0)
        assert file.read() == b"still here"
        assert os.fstat(file.fileno()).st_size == 10
    same(active, tmp_path / "b")
    assert list((tmp_path / "b").iterdir()) == []


def test_what_was_removed_while_open_is_gone_after_a_process_that_was_killed(tmp_path: Path) -> None:
    """On the standby, too. Until it is closed, the library keeps such a file under a name of its own."""
    with Active(tmp_path / "a") as killed:
        (killed.data / "sub/.fuse_hidden folder").mkdir(parents=True)
        (killed.data / "sub/.fuse_hidden0001").write_bytes(b"still here")
    replay(killed.journal, tmp_path / "b")
    assert (tmp_path / "b/sub/.fuse_hidden0001").exists()
    killed.journal.close()
    with Active(tmp_path / "a") as again:
        assert [path.name for path in (again.data / "sub").iterdir()] == [".fuse_hidden folder"]
    same(again, tmp_path / "c")


def test_a_shared_memory_mapping_is_replicated_when_it_is_written_back(tmp_path: Path) -> None:
    with Active(tmp_path / "a") as active:
        (active.data / "mapped").write_bytes(bytes(20_000))
        subprocess.run(
            [sys.executable, "-c", WRITE_MAPPED, str(active.data / "mapped")], check=True, timeout=30
        )
    same(active, tmp_path / "b")


def test_what_is_excluded_stays_here_and_renames_across_the_edge_copy_or_remove(tmp_path: Path) -> None:
    with Active(tmp_path / "a", exclude=("*.tmp",)) as active:
        (active.data / "work.tmp").write_bytes(b"x" * 3_000_000)
        (active.data / "kept").write_bytes(b"kept")
        os.rename(active.data / "work.tmp", active.data / "result")
        os.rename(active.data / "kept", active.data / "kept.tmp")
        (active.data / "local.tmp").write_bytes(b"local")
    replay(active.journal, tmp_path / "b", exclude=("*.tmp",))
    assert {p.name: p.stat().st_size for p in (tmp_path / "b").iterdir()} == {"result": 3_000_000}


def test_a_bound_file_takes_its_neighbours_along_only_when_asked(tmp_path: Path) -> None:
    with Active(tmp_path / "a", include=("./ibdata1",)) as active:
        (active.data / "ibdata1").write_bytes(b"data")
        (active.data / "neighbour").write_bytes(b"not bound")
        (active.data / "folder").mkdir()
    replay(active.journal, tmp_path / "b", include=("./ibdata1",))
    assert [p.name for p in (tmp_path / "b").iterdir()] == ["ibdata1"]


def test_a_file_that_comes_in_while_it_is_written_is_followed_from_then_on(tmp_path: Path) -> None:
    """A download, say, that gets its name before its last bytes."""
    with Active(tmp_path / "a", exclude=("*.part",)) as active:
        script = (
            "import os, sys\n"
            "with open('film.part', 'wb') as file:\n"
            "    file.write(b'begin'), file.flush()\n"
            "    os.rename('film.part', 'film')\n"
            "    file.write(b' and end'), file.flush()\n"
            "    file.truncate(12)\n"
        )
        subprocess.run([sys.executable, "-c", script], cwd=active.data, check=True, timeout=30)
        whole = picture(active.tree.folder)
    replay(active.journal, tmp_path / "b", exclude=("*.part",))
    assert (tmp_path / "b/film").read_bytes() == b"begin and en"
    assert picture(tmp_path / "b") == whole


def test_a_folder_that_is_not_bound_takes_the_bound_files_in_it_along(tmp_path: Path) -> None:
    with Active(tmp_path / "a", include=("*.db",)) as active:
        (active.data / "sub/in").mkdir(parents=True)
        (active.data / "sub/in/a.db").write_bytes(b"data")
        os.rename(active.data / "sub", active.data / "renamed")
    replay(active.journal, tmp_path / "b", include=("*.db",))
    assert (tmp_path / "b/renamed/in/a.db").read_bytes() == b"data"
    assert not (tmp_path / "b/sub").exists()


def test_a_failed_deed_leaves_no_trace(tmp_path: Path) -> None:
    with Active(tmp_path / "a") as active:
        (active.data / "full").mkdir()
        (active.data / "full/file").write_bytes(b"")
        before = active.journal.end
        deeds: list[Callable[[], None]] = [
            lambda: os.rmdir(active.data / "full"),
            lambda: os.mkdir(active.data / "full"),
            lambda: os.rename(active.data / "full/file", active.data / "full"),
            lambda: os.unlink(active.data / "missing"),
            lambda: os.link(active.data / "full/file", active.data / "full/file"),
        ]
        for deed in deeds:
            with pytest.raises(OSError, match="Errno"):
                deed()
        # The kernel tells of the last close when it likes: the times of `file` may come now.
        assert {record.kind for record in active.journal.records(before)} <= {Kind.ATTRIBUTES}
        assert active.faults == []
    same(active, tmp_path / "b")


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_every_cut_of_the_journal_is_a_database_that_opens(tmp_path: Path, mode: str) -> None:
    with Active(tmp_path / "a") as active:
        subprocess.run(
            [sys.executable, "-c", FILL_SQLITE, str(active.data / "app.db"), mode], check=True, timeout=30
        )
    ends = [record.end for record in active.journal.records(active.journal.first)]
    last = -1
    for place, end in enumerate(ends[:: max(1, len(ends) // 40)]):
        target = tmp_path / f"cut{place}"
        replay(active.journal, target, end)
        if not (target / "app.db").exists():
            continue
        copy = sqlite3.connect(target / "app.db")
        assert copy.execute("pragma integrity_check").fetchone() == ("ok",)
        if copy.execute("select count(*) from sqlite_master").fetchone() != (0,):
            rows = [n for (n,) in copy.execute("select n from t order by n")]
            assert rows == list(range(len(rows)))
            assert len(rows) - 1 >= last
            last = len(rows) - 1
        copy.close()
    assert last >= 50


@pytest.mark.parametrize("seed", [1, 2])
def test_random_operations_leave_two_equal_trees(tmp_path: Path, seed: int) -> None:
    count = os.environ.get("HSORCH_RANDOM_OPS", "1500")
    with Active(tmp_path / "a") as active:
        script = Path(__file__).with_name("random_ops.py")
        subprocess.run([sys.executable, script, active.data, str(seed), count], check=True, timeout=300)
        assert active.faults == []
    same(active, tmp_path / "b")
