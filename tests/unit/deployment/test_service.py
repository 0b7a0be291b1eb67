"""The guard as a service: what is written, and what counts as running."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hsorch.node.deployment import service
from hsorch.node.deployment.managers import OnBoot, Systemd, manager
from hsorch.node.paths import Paths


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths("demo", root=tmp_path)
    made.var.mkdir(parents=True)
    made.run.mkdir(parents=True)
    return made


def test_where_systemd_runs_the_guard_is_a_unit_elsewhere_an_on_boot_script(paths: Paths) -> None:
    assert isinstance(manager(paths), OnBoot)
    (paths.root / "run/systemd/system").mkdir(parents=True)
    assert isinstance(manager(paths), Systemd)


def test_the_on_boot_script_starts_each_enabled_pair_and_no_other(paths: Paths) -> None:
    launcher = paths.current_runtime / "hsorch-node"
    launcher.parent.mkdir(parents=True)
    launcher.write_text(f'#!/bin/sh\necho "$@" >> {paths.root}/started\n')
    launcher.chmod(0o755)
    (paths.home / "other").mkdir()
    assert service.install(paths).changed
    assert not service.install(paths).changed
    subprocess.run(["sh", paths.on_boot], check=True)
    subprocess.run(
        ["sh", "-c", f"while [ ! -s {paths.root}/started ]; do sleep 0.05; done"], check=True, timeout=20
    )
    assert (paths.root / "started").read_text() == "guard demo\n"


def test_removing_the_last_pair_removes_the_script(paths: Paths) -> None:
    service.install(paths)
    second = Paths("second", root=paths.root)
    second.var.mkdir()
    service.install(second)
    assert service.remove(paths, 1.0).changed
    assert paths.on_boot.exists()
    assert service.remove(second, 1.0).changed
    assert not paths.on_boot.exists()
    assert not service.remove(second, 1.0).changed


def test_a_pid_file_proves_nothing_by_itself(paths: Paths) -> None:
    service.install(paths)
    assert service.state(paths) == "stopped"
    for content in ("", "no number", str(os.getpid()), "999999999"):
        paths.guard_pid.write_text(content)
        assert service.guard_pid(paths) is None
        assert service.state(paths) == "stopped"


def test_a_living_guard_of_this_pair_runs_and_tells_its_runtime(paths: Paths) -> None:
    service.install(paths)
    environment = {**os.environ, "PYTHONPATH": "/var/lib/hsorch/runtime/1.0-abc"}
    argv = [sys.executable, "-c", "input('up\\n')", "guard", "demo"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as guard:
        assert guard.stdout is not None
        guard.stdout.readline()
        paths.guard_pid.write_text(f"{guard.pid}\n")
        assert service.state(paths) == "running"
        assert service.running_runtime(paths) == "1.0-abc"
        assert service.state(Paths("other", root=paths.root)) == "absent"
        guard.communicate(b"\n")
    assert service.state(paths) == "stopped"
