"""systemd through systemctl: its properties are stable text, its messages are never parsed (REQ-M09)."""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path

from hsorch.errors import NodeError
from hsorch.node.system.base import Deadline, Finished, Gate, Launch, Processes, ServiceState
from hsorch.node.system.linux import cgroup

_PROPERTIES = "Id,LoadState,ActiveState,SubState,Result,UnitFileState,ControlGroup"
_RUNTIME = Path("/run/systemd/system")
_CGROUPS = Path("/sys/fs/cgroup")
_LOOK_AGAIN_S = 0.01


class SystemdServices:
    """Implements hsorch.node.system.base.Services."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes

    def available(self) -> bool:
        return _RUNTIME.is_dir()

    def state(self, unit: str, deadline: Deadline) -> ServiceState:
        done = self._systemctl("hsorch/", deadline, "show", f"--property={_PROPERTIES}", "--", unit)
        if done.code != 0:
            raise NodeError(
                f"systemd does not tell the state of {unit}",
                hint=f"try `systemctl status {unit}` on this node",
                detail=done.output,
                code="HS658",
            )
        state = parse_show(unit, done.output)
        if not state.loaded:
            raise NodeError(
                f"systemd knows no unit {unit}",
                hint="correct `services` in the manifest or install the service on this node",
                code="HS658",
            )
        return state

    def start(self, unit: str, mark: str, deadline: Deadline, gate: Gate) -> Finished:
        return self._systemctl(mark, deadline, "start", "--", unit, gate=gate)

    def stop(self, unit: str, mark: str, deadline: Deadline) -> Finished:
        return self._systemctl(mark, deadline, "stop", "--", unit)

    def kill(self, unit: str, group: str, mark: str, deadline: Deadline) -> None:
        """Until it is gone: each command that its stop runs (ExecStop, ExecStopPost) is ended as it shows."""
        _kill_group(group)
        # The job must be there before the next kill: it keeps the manager from starting it again (Restart=).
        self._systemctl(mark, deadline, "stop", "--no-block", "--", unit)
        while not (state := self.state(unit, deadline)).gone:
            _kill_group(state.group)
            self._systemctl(mark, deadline, "kill", "--signal=SIGKILL", "--", unit)
            if deadline.left() <= _LOOK_AGAIN_S:
                return
            time.sleep(_LOOK_AGAIN_S)

    def _systemctl(
        self, mark: str, deadline: Deadline, *arguments: str, gate: Gate = nullcontext
    ) -> Finished:
        if not self.available():
            raise NodeError(
                "systemd does not run on this node, so it can have no `services`",
                hint="use `processes` in the manifest: the agent then supervises the program itself",
                code="HS658",
            )
        argv = ("systemctl", "--no-ask-password", "--no-pager", *arguments)
        return self._processes.execute(Launch(argv=argv, mark=mark, gate=gate), deadline)


def _kill_group(group: str) -> None:
    if group:
        cgroup.kill(str(_CGROUPS / group.lstrip("/")))


def parse_show(unit: str, text: str) -> ServiceState:
    """Output of `systemctl show`: KEY=VALUE lines; unknown keys do not matter, missing ones are empty."""
    facts = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return ServiceState(
        unit=facts.get("Id") or unit,
        loaded=facts.get("LoadState") in ("loaded", "masked"),
        active=facts.get("ActiveState", ""),
        sub=facts.get("SubState", ""),
        result=facts.get("Result", ""),
        at_boot=facts.get("UnitFileState", "") in ("enabled", "enabled-runtime"),
        group=facts.get("ControlGroup", ""),
    )
