"""Programs that wait in a flush for a standby that is gone: what else uses the folder goes on, and who is
killed is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from hsorch.node.replication.capture.group import clear_mounts

pytestmark = [pytest.mark.lab, pytest.mark.timeout(90)]

SERVE = """
import sys
from pathlib import Path
from hsorch.node.replication.capture.callers import was_killed
from hsorch.node.replication.gate import Gate
from tests.replicators.world import Active
gate = Gate("durable", was_killed)
with Active(Path(sys.argv[1]), gate):
    print("mounted", flush=True)
    for order in sys.stdin:
        if order == "open\\n":
            gate.open()
        print(gate.waiting, flush=True)
"""
WRITE = """
import os, signal, sys, threading
signal.signal(signal.SIGUSR1, lambda *_: None)
flags = os.O_WRONLY | os.O_CREAT | int(sys.argv[3])
def write(number):
    file = os.open(f"{sys.argv[1]}/{os.getpid()}-{number}", flags)
    os.write(file, b"booked")
    os.fsync(file)
    print(number, flush=True)
threads = [threading.Thread(target=write, args=(number,)) for number in range(int(sys.argv[2]))]
for thread in threads: thread.start()
for thread in threads:
    while thread.is_alive(): thread.join(0.1)
"""
READ = """
import os, sys
print(len(os.listdir(sys.argv[1])), open(f"{sys.argv[1]}/read.me", "rb").read(5))
with open(f"{sys.argv[1]}/unflushed", "wb") as file: file.write(b"x" * 100_000)
"""


@dataclass
class Folder:
    """Mounted by a process of its own, whose flushes wait for a standby that never answers."""

    path: Path
    serving: subprocess.Popen[str]

    def waiting(self, order: str = "") -> int:
        """Flushes that wait."""
        assert self.serving.stdin is not None
        assert self.serving.stdout is not None
        self.serving.stdin.write(order + "\n")
        self.serving.stdin.flush()
        return int(self.serving.stdout.readline())

    def wait_for(self, count: int) -> None:
        ends = time.monotonic() + 20
        while self.waiting() != count:
            assert time.monotonic() < ends, f"{self.waiting()} wait, not {count}"
            time.sleep(0.05)

    @contextmanager
    def writers(self, count: int, flags: int = 0) -> Iterator[subprocess.Popen[bytes]]:
        """A program that flushes so many files of its own at once."""
        argv = [sys.executable, "-c", WRITE, str(self.path), str(count), str(flags)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
            try:
                yield process
            finally:
                self.waiting("open")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    data = tmp_path / "source/data"
    data.mkdir(parents=True)
    (data / "read.me").write_bytes(b"hello")
    argv = [sys.executable, "-c", SERVE, str(tmp_path / "source")]
    serving = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert serving.stdout is not None
        assert serving.stdout.readline() == "mounted\n"
        yield Folder(data, serving)
    finally:
        serving.kill()
        serving.wait()
        clear_mounts([data])


@pytest.mark.parametrize("flags", [0, os.O_DSYNC], ids=["fsync", "O_DSYNC"])
def test_who_only_reads_does_not_wait_with_sixteen_who_flush(folder: Folder, flags: int) -> None:
    with folder.writers(16, flags) as writers:
        folder.wait_for(16)
        argv = [sys.executable, "-c", READ, str(folder.path)]
        seen = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=True)
        assert seen.stdout == "17 b'hello'\n"
        folder.waiting("open")
        assert writers.wait(20) == 0


def test_a_flush_through_a_handle_that_only_reads_waits_as_well(folder: Folder) -> None:
    """As sync(1) does it."""
    (folder.path / "booked").write_bytes(b"booked")
    with subprocess.Popen(["sync", str(folder.path / "booked")]) as syncs:
        try:
            folder.wait_for(1)
            folder.waiting("open")
            assert syncs.wait(20) == 0
        finally:
            folder.waiting("open")


def test_a_program_that_is_killed_in_a_flush_is_gone(folder: Folder) -> None:
    with folder.writers(3) as killed, folder.writers(1) as other:
        folder.wait_for(4)
        killed.kill()
        killed.wait(20)
        folder.wait_for(1)
        assert other.poll() is None, "nobody killed this one"
        folder.waiting("open")
        assert other.wait(20) == 0


def test_a_signal_that_does_not_end_the_program_does_not_end_its_flush(folder: Folder) -> None:
    with folder.writers(1) as writer:
        folder.wait_for(1)
        writer.send_signal(signal.SIGUSR1)
        time.sleep(1)
        assert folder.waiting() == 1
        folder.waiting("open")
        assert writer.communicate(timeout=20)[0] == b"0\n"
