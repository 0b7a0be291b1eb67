"""A disk that takes nothing any more in the middle of the work: full, or not writable even for root. It is
told by a code, nothing acknowledged is lost, and it goes on by itself once the disk does."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsorch.node.replication.bindings import STAGING
from tests.replicators.nodes import Node, until
from tests.replicators.test_volumes import FILES, TABLES, equal, follow, level, limits, pair, write

__all__ = ["pair"]
pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]


DEEDS = """
import ctypes, errno, os, sys
file = os.open(sys.argv[1], os.O_RDWR)
print("open", flush=True)
sys.stdin.readline()
def punch():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.fallocate(file, 3, ctypes.c_long(0), ctypes.c_long(3_000_000)):
        raise OSError(ctypes.get_errno(), "")
for deed in (
    lambda: os.pwrite(file, b"x" * 100_000, 70_000),
    lambda: os.ftruncate(file, 10),
    lambda: os.ftruncate(file, 9_000_000),
    punch,
):
    try:
        deed()
        print("done")
    except OSError as error:
        print(errno.errorcode[error.errno])
"""


@contextlib.contextmanager
def immutable(folder: Path) -> Iterator[None]:
    """Nobody changes anything there, nor through what is open already."""
    paths = [str(path) for path in (folder, *folder.rglob("*")) if path.is_dir() or path.is_file()]
    done = subprocess.run(["chattr", "+i", *paths], capture_output=True, text=True, check=False)
    try:
        if done.returncode:
            pytest.skip(f"no immutable files on this file system: {done.stderr}")
        yield
    finally:
        subprocess.run(["chattr", "-i", *paths], capture_output=True, check=False)


def attempt(node: Node, script: str) -> bool:
    """Whether the application gets done what it tries."""
    return node.run("sh", "-ec", f"cd {node.home / 'common'}; {script}").returncode == 0


def small(node: Node, folder: str) -> None:
    """The bound folder lies on a disk with 8 MiB left, and hsorch is told to use all of it."""
    limits(node, 2, 1)
    filler = f"{folder}/{STAGING}/filler"
    script = (
        f"mount -t tmpfs -o size=160m tmpfs {folder}; mkdir {folder}/{STAGING}; fallocate -l 152M {filler}"
    )
    assert attempt(node, script)


def sums(node: Node) -> str:
    script = "find tables files -type f -not -path '*/.hsorch*' | sort | xargs -r sha256sum"
    done = node.run("sh", "-ec", f"cd {node.home / 'common'}; {script}")
    assert done.returncode == 0, done.stderr
    return done.stdout


def fault(node: Node) -> str:
    seen = node.ask("status")
    return f"{seen['fault_code']}: {seen['fault']}" if seen.get("fault") else ""


# ------------------------------------------------------------------- no right to write


@pytest.mark.parametrize("script", ["touch new", "mv table other", "rm table", "chmod 7 table"])
def test_an_active_that_may_not_change_a_name_fails_the_deed_and_says_that_both_must_be_compared(
    pair: tuple[Node, Node], script: str
) -> None:
    a, b = pair
    (a.folders[TABLES] / "table").write_bytes(b"before" * 1_000)
    follow(a, b)
    before = sums(a)
    with immutable(a.folders[TABLES]):
        assert not attempt(a, f"cd tables; {script}")
        until(lambda: "HS638" in a.troubles())
        assert sums(a) == before
    write(a, "tables/after", "it goes on")
    a.ask("verify")
    until(lambda: not a.troubles())
    assert a.ask("drain", limit_s=30)["ok"]
    assert equal(a, b)


def test_an_active_that_may_not_write_a_file_sends_what_stands_there(pair: tuple[Node, Node]) -> None:
    """The journal has the write already: the standby carried it out and must be put right."""
    a, b = pair
    (a.folders[TABLES] / "table").write_bytes(os.urandom(5_000_000))
    follow(a, b)
    table = a.home / "common" / TABLES / "table"
    assert a.process is not None
    inside = ["nsenter", "--mount", "-t", str(a.process.pid)]
    with subprocess.Popen([*inside, sys.executable, "-c", DEEDS, table], stdin=-1, stdout=-1) as application:
        assert application.stdin is not None
        assert application.stdout is not None
        assert application.stdout.readline() == b"open\n"
        with immutable(a.folders[TABLES]):
            said, _ = application.communicate(b"now\n", timeout=30)
            assert said.split() == [b"EPERM"] * 4
            assert a.ask("drain", limit_s=30)["ok"]
            assert a.troubles() == set()
            until(lambda: sums(a) == sums(b))


def test_a_standby_that_may_not_write_its_ordered_folder_tells_it_and_catches_up(
    pair: tuple[Node, Node],
) -> None:
    a, b = pair
    (a.folders[TABLES] / "table").write_bytes(b"before" * 1_000)
    follow(a, b)
    with immutable(b.folders[TABLES]):
        write(a, "tables/table", "changed")
        write(a, "tables/new", "new")
        until(lambda: "HS618: record at " in fault(b))
        assert "Operation not permitted" in fault(b)
    until(lambda: level(a, b) and equal(a, b))
    assert not fault(b)


def test_a_standby_that_may_not_write_its_watched_folder_tells_it_and_catches_up(
    pair: tuple[Node, Node],
) -> None:
    a, b = pair
    (a.folders[FILES] / "cat").write_bytes(b"meow")
    follow(a, b)
    with immutable(b.folders[FILES]):
        write(a, "files/cat", "changed")
        until(lambda: "HS673" in a.troubles())
        assert not a.ask("status")["level"]
        assert (b.folders[FILES] / "cat").read_bytes() == b"meow"
    until(lambda: level(a, b) and equal(a, b))
    assert a.troubles() == set()


def test_an_active_that_may_not_write_its_state_takes_no_write_that_it_could_not_replicate(
    pair: tuple[Node, Node],
) -> None:
    """The application is refused each, and goes on once the state can be written; killed meanwhile, the
    replicator says why it cannot begin again."""
    a, b = pair
    (a.folders[TABLES] / "table").write_bytes(b"before")
    follow(a, b)
    with immutable(a.places.home):
        assert not attempt(a, "echo lost > tables/new; sync -f tables")
    write(a, "tables/between", "it goes on")
    with immutable(a.places.home):
        assert not attempt(a, "echo lost > tables/new; sync -f tables")
        a.kill()
        a.start()
        refused = a.request("role", role="source")
        assert refused["code"] == "HS687"
        assert str(a.places.home) in refused["message"]
        assert a.ask("status")["role"] == "none"
    a.ask("role", role="source")
    until(lambda: level(a, b))
    write(a, "tables/after", "it goes on")
    assert a.ask("drain", limit_s=30)["ok"]
    assert equal(a, b)


def test_a_standby_that_may_not_write_its_state_takes_nothing_and_catches_up(
    pair: tuple[Node, Node],
) -> None:
    a, b = pair
    (a.folders[TABLES] / "table").write_bytes(b"before")
    follow(a, b)
    with immutable(b.places.home):
        write(a, "tables/new", "while the standby takes nothing")
        until(lambda: "the stream cannot be taken" in a.ask("status")["state"])
        write(a, "files/cat", "meow")
        assert a.ask("status")["queue"] > 0
        assert "HS618" in b.troubles()
        assert not (b.folders[TABLES] / "new").exists(), "nothing is in the files that a restart may forget"
    until(lambda: level(a, b) and equal(a, b))
    assert not fault(b)


# ---------------------------------------------------------------------------- no space


@pytest.mark.parametrize("folder", [TABLES, FILES])
def test_an_active_whose_own_folder_is_full_is_as_full_as_it_would_be_alone(
    pair: tuple[Node, Node], folder: str
) -> None:
    a, b = pair
    small(a, folder)
    follow(a, b)
    assert not attempt(a, f"dd if=/dev/urandom of={folder}/large bs=1M count=40 2>&1")
    assert attempt(a, f"truncate -s 1M {folder}/large; echo more > {folder}/more")
    assert attempt(a, f"rm {folder}/{STAGING}/filler")
    until(lambda: level(a, b) and sums(a) == sums(b))


@pytest.mark.parametrize(("folder", "told"), [(TABLES, "HS618"), (FILES, "HS673")])
def test_a_standby_whose_folder_is_full_tells_it_and_catches_up(
    pair: tuple[Node, Node], folder: str, told: str
) -> None:
    a, b = pair
    small(b, folder)
    follow(a, b)
    staging = f"{folder}/{STAGING}"
    assert attempt(b, f"mkdir -p {staging}; cd {staging}; rm -f filler; fallocate -l 152M part-filler")
    assert attempt(a, f"dd if=/dev/urandom of={folder}/large bs=1M count=12 2>&1; echo more > {folder}/more")
    until(lambda: bool({told, "HS632"} & ({fault(b)[:5]} | a.troubles() | b.troubles())))
    assert attempt(b, f"rm {folder}/{STAGING}/part-filler")
    until(lambda: level(a, b) and sums(a) == sums(b))
    assert not fault(b)
    assert a.troubles() | b.troubles() == set()
