"""A process tree that cut every tie (environment, parent, session) still ends with its control group."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsorch.node.system.linux import cgroup

pytestmark = pytest.mark.lab

# A systemd unit gives the agent a group of its own. This one starts a program which leaves a grandchild
# without mark, parent and session, then ends the tree and tells what is left.
AGENT = """
import os, pathlib, sys, time
group, away = sys.argv[1:]
pathlib.Path(group, "cgroup.procs").write_text(str(os.getpid()))
from hsorch.node.system import system
from hsorch.node.system.base import Deadline, Launch
from hsorch.node.system.linux import proctable
processes = system().processes
code = f"env -i setsid sh -c 'echo $$ >{away}.new; mv {away}.new {away}; exec sleep 600' & sleep 600"
# The group is joined just after the start, hence the moment before anything forks.
running = processes.start(Launch(argv=["sh", "-c", "sleep 0.3; " + code], mark="plant/alpha/web/"))
while not os.path.exists(away):
    time.sleep(0.01)
grandchild = int(open(away).read())
print(running.group, grandchild in processes.members("plant/alpha/web/", [running]))
print(dict(processes.kill("plant/alpha/web/", [running], Deadline.after(5)).left))
left = proctable.entry(grandchild)
print(os.path.exists(running.group), left is not None and not left.dead)
"""


@pytest.fixture
def group() -> Iterator[Path]:
    mount = cgroup._mount()
    if mount is None or os.geteuid() != 0:
        pytest.skip("needs root and a mounted cgroup v2")
    path = mount / f"test-{os.getpid()}"
    try:
        path.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    yield path
    path.rmdir()


def test_the_control_group_ends_what_nothing_else_would_find(group: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", AGENT, str(group), str(tmp_path / "away")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    found, left, after = done.stdout.splitlines()
    assert found.startswith(str(group))
    assert found.endswith("True")
    assert left == "{}"
    assert after == "False False"
