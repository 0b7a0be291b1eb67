"""What starts the guard: a systemd unit where systemd runs, else an on-boot script."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Protocol

from hsorch.errors import NodeError
from hsorch.node.deployment.wire import Done
from hsorch.node.paths import Paths
from hsorch.node.store import replace_file

UNIT = """# Written by hsorch. No sandbox here: scripts and processes of the group run in this unit.
[Unit]
Description=hsorch guard of the pair {cluster}
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={launcher} guard {cluster}
Restart=always
RestartSec=200ms
WatchdogSec=10s
KillMode=process
# Processes of the group get control groups of their own below this unit's.
Delegate=
TimeoutStopSec=120
OOMScoreAdjust=-900

[Install]
WantedBy=multi-user.target
"""

ON_BOOT = """#!/bin/sh
# Written by hsorch. Whatever boots this machine runs it: it starts the pairs that are enabled here.
for enabled in {home}/*/enabled; do
    [ -e "$enabled" ] || continue
    folder=${{enabled%/enabled}}
    setsid {launcher} guard "${{folder##*/}}" </dev/null >>"$folder/runtime.log" 2>&1 &
done
"""


class Manager(Protocol):
    """What starts the guard at boot and on demand. Each call may be repeated; Done.changed tells."""

    def install(self) -> Done: ...

    def start(self) -> None: ...

    def stop(self, guard_pid: int, limit_s: float) -> None: ...

    def remove(self) -> Done: ...

    def installed(self) -> bool: ...


def manager(paths: Paths) -> Manager:
    systemd = (paths.root / "run/systemd/system").is_dir()
    return Systemd(paths) if systemd else OnBoot(paths)


class OnBoot:
    """A marker file enables the cluster; one script starts all enabled ones."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._enabled = paths.var / "enabled"
        self._script = ON_BOOT.format(home=paths.home, launcher=launcher(paths)).encode()

    def install(self) -> Done:
        if self.installed():
            return Done(changed=False)
        replace_file(self._paths.on_boot, self._script, mode=0o755)
        replace_file(self._enabled, b"", mode=0o600)
        return Done(changed=True)

    def start(self) -> None:
        with self._paths.log.open("ab") as log:
            subprocess.Popen(
                [str(launcher(self._paths)), "guard", self._paths.cluster],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
            )

    def stop(self, guard_pid: int, limit_s: float) -> None:
        os.kill(guard_pid, signal.SIGTERM)

    def remove(self) -> Done:
        if not self._enabled.exists():
            return Done(changed=False)
        self._enabled.unlink()
        if not any(self._paths.home.glob("*/enabled")):
            self._paths.on_boot.unlink(missing_ok=True)
        return Done(changed=True)

    def installed(self) -> bool:
        on_boot = self._paths.on_boot
        return self._enabled.exists() and on_boot.exists() and on_boot.read_bytes() == self._script


class Systemd:
    """One unit per cluster."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._name = unit_name(paths)
        self._file = paths.root / "etc/systemd/system" / self._name
        self._unit = UNIT.format(cluster=paths.cluster, launcher=launcher(paths)).encode()

    def install(self) -> Done:
        if self.installed():
            return Done(changed=False)
        replace_file(self._file, self._unit, mode=0o644)
        _systemctl("daemon-reload")
        _systemctl("enable", self._name)
        return Done(changed=True)

    def start(self) -> None:
        _systemctl("start", "--no-block", self._name)

    def stop(self, guard_pid: int, limit_s: float) -> None:
        _systemctl("stop", self._name, limit_s=limit_s + 5)

    def remove(self) -> Done:
        if not self._file.exists():
            return Done(changed=False)
        _systemctl("disable", self._name)
        self._file.unlink()
        _systemctl("daemon-reload")
        return Done(changed=True)

    def installed(self) -> bool:
        return self._file.exists() and self._file.read_bytes() == self._unit


def launcher(paths: Paths) -> Path:
    return paths.current_runtime / "hsorch-node"


def unit_name(paths: Paths) -> str:
    return f"hsorch-{paths.cluster}.service"


def _systemctl(*arguments: str, limit_s: float = 30.0) -> None:
    argv = ["systemctl", "--no-ask-password", *arguments]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        raise _refused(argv, f"no end within {limit_s:g} s") from None
    if done.returncode != 0:
        raise _refused(argv, done.stderr.strip())


def _refused(argv: list[str], detail: str) -> NodeError:
    return NodeError(
        f"{' '.join(argv)} failed",
        hint="run it on the node and repair what it names",
        detail=detail,
        code="HS453",
    )
