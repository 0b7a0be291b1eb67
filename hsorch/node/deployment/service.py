"""The guard as a service of the machine: install, start, stop, remove, and whether it runs.

Stopping is graceful: the guard lets the agent release the group first. What the agent does is not known here.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from hsorch.errors import HsorchError, NodeError
from hsorch.node import control
from hsorch.node.deployment.managers import manager, unit_name
from hsorch.node.deployment.wire import Done, ServiceState
from hsorch.node.paths import Paths
from hsorch.verbs import StatusReport

POLL_S = 0.05
AGENT_LIMIT_S = 2.0


def install(paths: Paths) -> Done:
    return manager(paths).install()


def start(paths: Paths, limit_s: float) -> Done:
    """Start guard and agent. Raises NodeError HS451 when the agent gives no answer in time."""
    if guard_pid(paths) and agent_report(paths):
        return Done(changed=False)
    if not guard_pid(paths):
        manager(paths).start()
    if not _wait(lambda: agent_report(paths) is not None, limit_s):
        raise NodeError(
            f"the agent of {paths.cluster} gave no answer within {limit_s:g} s after its start",
            hint=f"look at the end of {paths.log} on the node, or at: journalctl -u {unit_name(paths)}",
            detail=_tail(paths.log),
            code="HS451",
        )
    return Done(changed=True)


def stop(paths: Paths, limit_s: float) -> Done:
    """Raises NodeError HS452 when the guard is still there after limit_s."""
    pid = guard_pid(paths)
    if pid is None:
        return Done(changed=False)
    manager(paths).stop(pid, limit_s)
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


def agent_report(paths: Paths) -> StatusReport | None:
    """What the agent says of itself; None when it gives no answer."""
    with contextlib.suppress(HsorchError):
        return control.ask(paths, "status", b"null", StatusReport, timeout_s=AGENT_LIMIT_S)
    return None


def guard_pid(paths: Paths) -> int | None:
    """The living guard's process id. The file alone proves nothing: ids are used again after a reboot."""
    with contextlib.suppress(OSError, ValueError):
        pid = int(paths.guard_pid.read_text().partition("\n")[0])
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
