"""The guard as a service: what is written, and what counts as running."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hsorch.errors import NodeError
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


@pytest.fixture
def systemctl(paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine where systemd runs, with a systemctl that only keeps a list of what it was asked."""
    (paths.root / "run/systemd/system").mkdir(parents=True)
    (paths.root / "etc/systemd/system").mkdir(parents=True)
    calls, programs = tmp_path / "calls", tmp_path / "bin"
    programs.mkdir()
    (programs / "systemctl").write_text(f'#!/bin/sh\necho "$@" >> {calls}\n[ "$2" != start ] || exit 5\n')
    (programs / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return calls


def test_the_unit_is_written_enabled_and_removed(paths: Paths, systemctl: Path) -> None:
    assert service.install(paths).changed
    assert not service.install(paths).changed
    unit = paths.root / "etc/systemd/system/hsorch-demo.service"
    assert f"ExecStart={paths.current_runtime}/hsorch-node guard demo" in unit.read_text()
    assert "KillMode=process" in unit.read_text(), "the group outlives a guard that is restarted"
    assert service.remove(paths, 1.0).changed
    assert not unit.exists()
    assert systemctl.read_text().splitlines() == [
        "--no-ask-password daemon-reload",
        "--no-ask-password enable hsorch-demo.service",
        "--no-ask-password disable hsorch-demo.service",
        "--no-ask-password daemon-reload",
    ]


def test_a_changed_unit_file_is_written_anew(paths: Paths, systemctl: Path) -> None:
    service.install(paths)
    (paths.root / "etc/systemd/system/hsorch-demo.service").write_text("[Service]\n")
    assert service.state(paths) == "absent"
    assert service.install(paths).changed


def test_what_systemd_refuses_is_told_with_the_call(paths: Paths, systemctl: Path) -> None:
    service.install(paths)
    with pytest.raises(NodeError, match="systemctl --no-ask-password start") as caught:
        service.start(paths, 1.0)
    assert caught.value.code == "HS453"


def test_an_agent_that_does_not_come_up_is_told_with_the_end_of_its_log(paths: Paths) -> None:
    service.install(paths)
    launcher = paths.current_runtime / "hsorch-node"
    launcher.parent.mkdir(parents=True)
    launcher.write_text("#!/bin/sh\necho the port is taken >&2\n")
    launcher.chmod(0o755)
    with pytest.raises(NodeError, match=r"gave no answer within 0\.5 s") as caught:
        service.start(paths, 0.5)
    assert caught.value.code == "HS451"
