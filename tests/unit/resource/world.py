"""A node with real processes, without any network: the runner as the agent uses it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from hsorch.node.core.types import Operation
from hsorch.node.paths import Paths
from hsorch.node.resource.fence import mark
from hsorch.node.resource.runner import Result, Runner
from hsorch.node.system import system
from hsorch.spec import AnyResource, Group, Link, Nic, Node, NoWitness, Policy, Process, Spec

CLUSTER = f"plant-{os.getpid()}"
"""Of this process alone: a fence ends whatever bears the mark, also what tests beside these have started."""
AMPLE_S = 60.0
"""For what ends by itself, however busy the machine is."""


def pair(*resources: AnyResource) -> Spec:
    """Nodes alpha and beta with this group."""
    return Spec(
        cluster=CLUSTER,
        nodes=(
            Node(name="alpha", nics={"service": Nic(name="svc", address="10.9.0.1/24")}),
            Node(name="beta", nics={"service": Nic(name="svc", address="10.9.0.2/24")}),
        ),
        preferred="alpha",
        links=(Link(name="lan", nic="service", port=3000, interval_ms=200, max_missed=5),),
        witness=NoWitness(),
        group=Group(name="app", resources=resources),
        policy=Policy(lease_ms=120_000, fence_ms=60_000, suspect_ms=30_000, on_conflict="alpha"),
    )


class NodeWorld:
    """Runs one group on alpha; `restart` is what a new agent after a crash of the old one sees."""

    def __init__(self, root: Path, me: str = "alpha") -> None:
        self.root = root
        self.me = me
        self.paths = Paths(CLUSTER, root)
        self.system = system()

    def runner(self, *resources: AnyResource, leased: Callable[[], bool] = lambda: True) -> Runner:
        return Runner(pair(*resources), self.me, self.paths, self.system, leased)

    def restart(self, *resources: AnyResource) -> Runner:
        return Runner(pair(*resources), self.me, self.paths, system())

    def processes(self) -> dict[int, str]:
        return self.system.processes.members(mark(CLUSTER, self.me), [])


def python(code: str) -> tuple[str, ...]:
    """A program, as argv."""
    return (sys.executable, "-S", "-c", code)


def program(code: str, name: str = "web") -> Process:
    return Process(name=name, argv=python(code))


def start(runner: Runner, name: str = "web", limit_s: float = AMPLE_S) -> Result:
    return runner.run(name, Operation.START, limit_s)


def stop(runner: Runner, name: str = "web", limit_s: float = AMPLE_S) -> Result:
    return runner.run(name, Operation.STOP, limit_s)


def kill(runner: Runner, name: str = "web", limit_s: float = AMPLE_S) -> Result:
    return runner.run(name, Operation.KILL, limit_s)


def check(runner: Runner, name: str = "web", limit_s: float = AMPLE_S) -> Result:
    return runner.run(name, Operation.CHECK, limit_s)


def eventually(condition: Callable[[], bool], limit_s: float = AMPLE_S) -> None:
    """Fails the test when the condition does not come true; the limit is generous, not a measure."""
    ends = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < ends, "it did not come true"
        time.sleep(0.01)
