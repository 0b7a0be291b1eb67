"""Start the measurement on the lab's client machine and read its report. What it measures: client.py.

with Probe("demo", default_url("demo")) as probe:
    fault("demo", "crash", ["node-a"])
    time.sleep(3)
    assert probe.stop().longest_gap_ms < 2500
"""

from __future__ import annotations

import subprocess
from types import TracebackType

import msgspec

from hsorch.errors import LabError
from hsorch.lab.client import BEGUN, Report
from hsorch.lab.lifecycle import command_inside, one
from hsorch.lab.python import own_python
from hsorch.lab.topology import first_address
from hsorch.node.paths import Paths
from hsorch.spec import Spec, decode_spec
from hsorch.transport.lab import LabState

START_LIMIT_S = 10.0


class Probe:
    def __init__(self, cluster: str, url: str, seconds: float = 3600.0) -> None:
        self._argv = command_inside(
            cluster, "client", own_python("-m", "hsorch.lab.client", url, str(seconds))
        )
        self._seconds = seconds

    def __enter__(self) -> Probe:
        self._process = subprocess.Popen(
            self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
        )
        assert self._process.stdout is not None
        # What the caller does next must fall into the measurement.
        if self._process.stdout.readline().strip() != BEGUN.encode():
            self._report(START_LIMIT_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def stop(self) -> Report:
        """End the measurement now."""
        return self._report(START_LIMIT_S)

    def wait(self) -> Report:
        """Until its time is over."""
        try:
            self._process.wait(self._seconds + START_LIMIT_S)
        except subprocess.TimeoutExpired:
            return self.stop()
        return self._report(START_LIMIT_S)

    def _report(self, limit_s: float) -> Report:
        # communicate closes stdin, which ends the measurement.
        stdout, stderr = self._process.communicate(timeout=limit_s)
        if self._process.returncode != 0:
            raise LabError(
                "the lab's client could not measure",
                hint="is the client machine on? hsorch lab status",
                detail=stderr.decode(errors="replace"),
                code="HS806",
            )
        return msgspec.json.decode(stdout, type=Report)


def default_url(cluster: str) -> str:
    """The examples' application at the pair's first VIP. Raises LabError HS812 for a pair without a VIP."""
    state = one(cluster)
    specs = [spec for name in state.hosts if (spec := _applied(state, name)) is not None]
    vip = first_address(max(specs, key=lambda spec: spec.revision)) if specs else state.vip
    if not vip:
        raise LabError(f"{cluster} has no VIP", hint="say what to ask for: --url http://...", code="HS812")
    return f"http://{vip}:8080/"


def _applied(state: LabState, name: str) -> Spec | None:
    """The spec that a node holds; since the lab was made it may have been given another VIP."""
    host = state.hosts[name]
    if host.kind != "node" or host.power != "on":
        return None
    read = command_inside(state.cluster, name, ["cat", str(Paths(state.cluster).spec)])
    done = subprocess.run(read, capture_output=True, timeout=START_LIMIT_S, check=False)
    return decode_spec(done.stdout) if done.returncode == 0 else None
