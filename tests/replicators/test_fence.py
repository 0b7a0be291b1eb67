"""A node must let go while its program waits in a flush for a standby that is gone: it does."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from hsorch.node.replication.capture.group import clear_mounts
from hsorch.node.replication.capture.mount import is_mounted
from hsorch.node.resource.runner import Runner
from hsorch.spec import Binding, Replication
from tests.unit.resource.world import NodeWorld, eventually, pair, program, start

pytestmark = [pytest.mark.lab, pytest.mark.timeout(60)]

SOURCE = """
import sys, time
from pathlib import Path
from hsorch.node.replication.gate import Gate
from tests.replicators.world import Active
with Active(Path(sys.argv[1]), Gate("durable")):
    print("mounted", flush=True)
    time.sleep(60)
"""
FLUSH = """
import os
file = os.open({path!r}, os.O_WRONLY | os.O_CREAT)
os.write(file, b"booked")
open({begun!r}, "w").close()
os.fsync(file)
open({done!r}, "w").close()
"""


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Path]:
    """A mounted folder whose flushes wait for a standby that never answers."""
    argv = [sys.executable, "-c", SOURCE, str(tmp_path / "source")]
    serving = subprocess.Popen(argv, stdout=subprocess.PIPE)
    try:
        assert serving.stdout is not None
        assert serving.stdout.readline() == b"mounted\n"
        yield tmp_path / "source/data"
    finally:
        serving.kill()
        serving.wait()
        clear_mounts([tmp_path / "source/data"])


def test_a_program_that_waits_in_a_flush_is_gone_after_a_fence(source: Path, tmp_path: Path) -> None:
    begun, done = tmp_path / "begun", tmp_path / "done"
    code = FLUSH.format(path=str(source / "book"), begun=str(begun), done=str(done))
    world = NodeWorld(tmp_path / "node")
    bound = Replication(bindings=(Binding(path=str(source), kind="ordered"),), ack="durable")
    spec = msgspec.structs.replace(pair(program(code)), replication=bound)
    runner = Runner(spec, "alpha", world.paths, world.system)
    start(runner)
    eventually(begun.exists)
    time.sleep(0.2)
    assert not done.exists(), "no standby, no flush"

    verified, said = runner.fence("the lease is over")

    assert verified, said
    assert "1 mounts cut" in said
    assert world.processes() == {}
    assert not done.exists(), "the flush was never answered as if it had held"
    assert not is_mounted(source)
