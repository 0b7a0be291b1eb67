"""A node of the embedded lab: enter its namespaces and run there. Owns the format of a lab's state file.

Not here: what a lab is made of, how it boots or breaks (hsorch.lab). This module only reads.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Literal

import msgspec

from hsorch.errors import LabError, TransportError
from hsorch.transport.base import Completed
from hsorch.transport.posix import PosixFiles

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


class LabHost(msgspec.Struct, frozen=True, kw_only=True):
    """One machine of the lab as it is now."""

    name: str
    alias: str = ""
    kind: Literal["node", "client", "witness"]
    power: Literal["off", "on", "frozen"] = "off"
    pid: int = 0
    """Of the machine's process 1, as the host system counts; 0: off."""
    boot_id: str = ""
    addresses: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    """What every program in there sees."""


class LabState(msgspec.Struct, frozen=True, kw_only=True):
    """Content of `lab.json`, rewritten whole by the lab's chassis on each change."""

    cluster: str
    chassis: int
    """Process that holds the lab, as the host system counts."""
    chassis_started: int
    """Its start time in clock ticks: a later process of the same number is not the lab."""
    user_namespace: bool
    vip: str = ""
    """The pair's first one; empty: it has none."""
    clocks: bool = False
    """The wall clocks of the machines can be stepped."""
    hosts: dict[str, LabHost]
    faults: tuple[str, ...] = ()

    def host(self, name: str) -> LabHost | None:
        """By name or alias."""
        found = self.hosts.get(name)
        return found or next((h for h in self.hosts.values() if h.alias and h.alias == name), None)


def labs_dir() -> Path:
    """Where this user's labs keep their state: one folder per cluster, where nobody else can write."""
    if os.geteuid() == 0:
        return Path("/run/hsorch-lab")
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime) / "hsorch-lab" if runtime else Path.home() / ".cache" / "hsorch-lab"


def state_dir(cluster: str) -> Path:
    """Of one lab. Raises LabError HS801 for what is no name: the folder is removed with the lab."""
    if not _NAME.fullmatch(cluster):
        raise LabError(f"'{cluster}' is no name of a lab", hint="hsorch lab status lists them", code="HS801")
    return labs_dir() / cluster


def read_state(cluster: str) -> LabState | None:
    """None: there is no such lab, or what is left of one whose chassis is gone."""
    try:
        state = msgspec.json.decode((state_dir(cluster) / "lab.json").read_bytes(), type=LabState)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    return state if start_time(state.chassis) == state.chassis_started else None


def start_time(pid: int) -> int:
    """Start of a process in clock ticks since boot; 0: no such process (proc(5), field 22)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    fields = text.rpartition(")")[2].split()
    return 0 if fields[0] in "ZX" else int(fields[19])


def enter(pid: int, environment: dict[str, str], argv: list[str], *, user_namespace: bool) -> list[str]:
    """argv that runs `argv` in the machine whose process 1 is `pid`, with this environment and no other."""
    user = ["--user", "--preserve-credentials"] if user_namespace else []
    spaces = ["--mount", "--net", "--pid", "--uts", "--ipc"]
    values = [f"{name}={value}" for name, value in environment.items()]
    # env runs inside: a library to preload is not visible to the programs of the host system.
    return ["nsenter", "--target", str(pid), *user, *spaces, "--", "env", "-i", *values, *argv]


class LabTransport(PosixFiles):
    """Runs programs on a node of the lab. A crashed or frozen node is unreachable, as a real one is."""

    def __init__(self, cluster: str, node: str) -> None:
        self._cluster = cluster
        self._node = node

    def run(self, argv: list[str], stdin: bytes = b"", timeout: float = 30.0) -> Completed:
        state, host = self._reachable()
        command = enter(host.pid, host.environment, argv, user_namespace=state.user_namespace)
        try:
            # Its own session: what a timeout must end is this program with all that it started.
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise TransportError(
                "nsenter is not installed here", hint="apt-get install util-linux", code="HS504"
            ) from error
        try:
            stdout, stderr = process.communicate(stdin, timeout)
        except subprocess.TimeoutExpired as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise TransportError(
                f"{argv[0]} on {self._node} did not end within {timeout:g} s",
                hint="look at what the program waits for, then run the command again",
                code="HS502",
            ) from error
        if process.returncode != 0 and start_time(host.pid) == 0:
            raise self._error(f"{self._node} went down while {argv[0]} ran", f"hsorch lab boot {self._node}")
        return Completed(process.returncode, stdout, stderr)

    def close(self) -> None:
        """Nothing is kept open."""

    def _reachable(self) -> tuple[LabState, LabHost]:
        state = read_state(self._cluster)
        if state is None:
            raise self._error(
                f"the lab of {self._cluster} is not up",
                "apply makes it; or: hsorch lab up MANIFEST",
                code="HS801",
            )
        host = state.host(self._node)
        if host is None:
            raise self._error(
                f"the lab of {self._cluster} has no machine {self._node}",
                f"it has {', '.join(state.hosts)}; if the manifest changed: hsorch lab down, then apply",
            )
        if host.power == "off":
            raise self._error(f"{self._node} is off", f"hsorch lab boot {self._node}")
        if host.power == "frozen":
            raise self._error(f"{self._node} is frozen by a lab fault", "hsorch lab heal")
        return state, host

    def _error(self, message: str, hint: str, *, code: str = "HS501") -> TransportError:
        return TransportError(message, hint=hint, code=code)
