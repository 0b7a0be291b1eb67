"""Runtimes side by side: whole or not at all, switched in one rename, run by the node's own Python."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from hsorch.node import install
from hsorch.node.deployment import probe
from hsorch.node.deployment.wire import Facts
from hsorch.plan.runtime import Runtime, build


@pytest.fixture(scope="module")
def runtime() -> Runtime:
    return build()


def unpack(runtime: Runtime, folder: Path) -> Path:
    return install.unpack(runtime.name, runtime.sha256, runtime.bundle, folder)


def test_the_same_sources_give_the_same_bundle(runtime: Runtime) -> None:
    build.cache_clear()
    assert build() == runtime


def test_an_unpacked_runtime_runs_without_the_controllers_packages(runtime: Runtime, tmp_path: Path) -> None:
    folder = unpack(runtime, tmp_path)
    done = subprocess.run([folder / "hsorch-node"], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 64
    assert "facts" in done.stderr
    look = "import hsorch, msgspec, sys; print(hsorch.__file__, msgspec.__file__)"
    python = (folder / "hsorch-node").read_text().split("exec ")[1].split()[0]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    where = subprocess.run(
        [python, "-P", "-c", look], capture_output=True, text=True, check=True, env=environment
    )
    assert all(path.startswith(str(folder)) for path in where.stdout.split())


def test_a_damaged_bundle_leaves_nothing(runtime: Runtime, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="damaged"):
        install.unpack(runtime.name, runtime.sha256, runtime.bundle[:-1], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_unpack_left_is_no_runtime_and_in_nobodys_way(runtime: Runtime, tmp_path: Path) -> None:
    part = tmp_path / f".{runtime.name}.part"
    part.mkdir()
    (part / "half").write_text("")
    folder = unpack(runtime, tmp_path)
    assert not (folder / "half").exists()
    assert not part.exists()


def test_the_current_runtime_is_switched_and_old_ones_go(runtime: Runtime, tmp_path: Path) -> None:
    for old in ("0.1-older", "0.2-old"):
        (tmp_path / old).mkdir()
    install.activate("0.2-old", tmp_path)
    unpack(runtime, tmp_path)
    install.activate(runtime.name, tmp_path)
    install.prune({"0.2-old"}, tmp_path)
    assert (tmp_path / "current").readlink().name == runtime.name
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["0.2-old", runtime.name, "current"])


def test_a_runtime_that_something_still_runs_from_stays(runtime: Runtime, tmp_path: Path) -> None:
    """Another pair on this machine, or an apply that was killed before it restarted guard and agent."""
    (tmp_path / "0.1-older").mkdir()
    folder = unpack(runtime, tmp_path)
    install.activate(runtime.name, tmp_path)
    environment = {"PYTHONPATH": str(tmp_path / "0.1-older")}
    with subprocess.Popen(["sleep", "600"], env=environment, executable="/bin/sleep") as guard:
        while not Path(f"/proc/{guard.pid}/environ").read_bytes():
            time.sleep(0.01)  # the kernel has not laid it out yet
        install.prune(set(), tmp_path)
        guard.kill()
    assert (tmp_path / "0.1-older").is_dir()
    install.prune(set(), tmp_path)
    assert not (tmp_path / "0.1-older").exists()
    assert folder.is_dir()


def test_a_runtime_that_is_not_there_never_becomes_current(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        install.activate("1.0-none", tmp_path)
    assert not (tmp_path / "current").exists()


def test_the_probes_source_alone_tells_a_bare_machines_facts() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-"], input=inspect.getsource(probe).encode(), capture_output=True, check=True
    )
    found = msgspec.json.decode(done.stdout, type=Facts)
    assert found.machine.version == sys.version_info[:2]
    assert "127.0.0.1/8" in found.machine.nics["lo"]
    assert (found.runtime, found.spec, found.service) == ("", None, "absent")
