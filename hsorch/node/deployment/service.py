"""The guard as a service of the machine: a systemd unit where systemd runs, else an on-boot script.

Stopping is graceful: the guard lets the agent release the group first. What the agent does is not known here.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from hsorch.errors import NodeError
from hsorch.node.deployment.wire import Done, ServiceState
from hsorch.node.paths import Paths
from hsorch.node.store import replace_file

POLL_S = 0.05

UNIT = """# Written by hsorch.
[Unit]
Description=hsorch guard of the pair {cluster}
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=all
ExecStart={launcher} guard {cluster}
Restart=always
RestartSec=200ms
KillMode=process
TimeoutStopSec=120
OOMScoreAdjust=-900
RuntimeDirectory=hsorch
RuntimeDirectoryPreserve=yes

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

    def stop(self, limit_s: float) -> None: ...

    def remove(self) -> Done: ...

    def installed(self) -> bool: ...


def manager(paths: Paths) -> Manager:
    systemd = (paths.root / "run/systemd/system").is_dir()
    return Systemd(paths) if systemd else OnBoot(paths)


def install(paths: Paths) -> Done:
    return manager(paths).install()


def start(paths: Paths, limit_s: float) -> Done:
    """Raises NodeError HS451 when the guard does not come up in time."""
    if guard_pid(paths):
        return Done(changed=False)
    manager(paths).start()
    if not _wait(lambda: guard_pid(paths) is not None, limit_s):
        raise NodeError(
            f"the guard of {paths.cluster} did not start within {limit_s:g} s",
            hint=f"look at the end of {paths.log} on the node, or at: journalctl -u {_unit(paths)}",
            detail=_tail(paths.log),
            code="HS451",
        )
    return Done(changed=True)


def stop(paths: Paths, limit_s: float) -> Done:
    """Raises NodeError HS452 when the guard is still there after limit_s."""
    if not guard_pid(paths):
        return Done(changed=False)
    manager(paths).stop(limit_s)
    if not _wait(lambda: guard_pid(paths) is None, limit_s):
        raise NodeError(
            f"the guard of {paths.cluster} did not stop within {limit_s:g} s",
            hint="a resource may hang while it stops: look at `hsorch events`, then try again",
            detail=_tail(paths.log),
            code="HS452",
        )
    return Done(changed=True)


def remove(paths: Paths, limit_s: float) -> Done:
    stopped = stop(paths, limit_s)
    removed = manager(paths).remove()
    return Done(changed=stopped.changed or removed.changed)


def state(paths: Paths) -> ServiceState:
    if not manager(paths).installed():
        return "absent"
    return "running" if guard_pid(paths) else "stopped"


def guard_pid(paths: Paths) -> int | None:
    """The living guard's process id. The file alone proves nothing: ids are used again after a reboot."""
    with contextlib.suppress(OSError, ValueError):
        pid = int(paths.guard_pid.read_text().split()[0])
        command = (Path("/proc") / str(pid) / "cmdline").read_bytes().split(b"\0")
        if b"guard" in command and paths.cluster.encode() in command:
            return pid
    return None


def running_runtime(paths: Paths) -> str:
    """Name of the runtime that the living guard was started from."""
    with contextlib.suppress(OSError):
        if pid := guard_pid(paths):
            for entry in (Path("/proc") / str(pid) / "environ").read_bytes().split(b"\0"):
                if entry.startswith(b"PYTHONPATH="):
                    return Path(entry.decode().partition("=")[2]).name
    return ""


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

    def stop(self, limit_s: float) -> None:
        if pid := guard_pid(self._paths):
            os.kill(pid, signal.SIGTERM)

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
        self._name = _unit(paths)
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

    def stop(self, limit_s: float) -> None:
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


def _unit(paths: Paths) -> str:
    return f"hsorch-{paths.cluster}.service"


def _systemctl(*arguments: str, limit_s: float = 30.0) -> None:
    argv = ["systemctl", "--no-ask-password", *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=limit_s, check=False)
    if done.returncode != 0:
        raise NodeError(
            f"{' '.join(argv)} failed",
            hint="run it on the node and repair what it names",
            detail=done.stderr.strip(),
            code="HS453",
        )


def _wait(condition: Callable[[], bool], limit_s: float) -> bool:
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() >= end:
            return False
        time.sleep(POLL_S)
    return True


def _tail(log: Path, lines: int = 15) -> str:
    if not log.exists():
        return ""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
