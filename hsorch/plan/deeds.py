"""How each kind of step is done on a node: check, do, verify, undo, all through the narrow door.

Order and failures are execute.py's. Every deed may be repeated after a crash of the controller.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from hsorch.errors import NodeError
from hsorch.node import install
from hsorch.node.deploy import Reload
from hsorch.node.deployment.wire import (
    Abort,
    Commit,
    Done,
    Enroll,
    Lock,
    ReleaseLock,
    Service,
    Stage,
    TakeLock,
)
from hsorch.node.operate import Ask
from hsorch.plan.enrolment import Enrolment
from hsorch.plan.execute import Deed
from hsorch.plan.model import Plan, Step, StepKind
from hsorch.plan.observe import python_argv
from hsorch.plan.runtime import Runtime
from hsorch.spec import Identity
from hsorch.transport import door
from hsorch.transport.base import Transport
from hsorch.verbs import Operate, StatusReport

INSTALL_LIMIT_S = 120.0
SERVICE_LIMIT_S = 100.0
ALIVE_LIMIT_S = 20.0
PAIR_LIMIT_S = 30.0
GROUP_LIMIT_S = 180.0
POLL_S = 0.2

T = TypeVar("T")


@dataclass(frozen=True)
class Site:
    """What the deeds of one apply work with. operation: id that holds the locks and names the operations."""

    plan: Plan
    transports: Mapping[str, Transport]
    runtime: Runtime
    operation: str
    owner: str
    create_lab: Callable[[], None]
    enrolment: Enrolment
    break_lock: str = ""

    def ask(self, node: str, verb: str, order: msgspec.Struct, kind: type[T], timeout: float = 30.0) -> T:
        """By the runtime that this plan brings, current or not yet."""
        transport = self.transports[node]
        return door.ask(transport, node, verb, order, kind, timeout=timeout, runtime=self.plan.runtime)

    def status(self, node: str) -> StatusReport:
        return self.ask(node, "status", Ask(cluster=self.plan.cluster), StatusReport)

    def install(self, node: str, *arguments: str, stdin: bytes = b"") -> None:
        """Run install.py with the node's Python. Raises NodeError HS440 with what it wrote."""
        argv = python_argv(inspect.getsource(install), *arguments)
        done = self.transports[node].run(argv, stdin, INSTALL_LIMIT_S)
        if done.returncode != 0:
            raise NodeError(
                f"the runtime could not be installed on {node} ({arguments[0]})",
                hint="free disk space, or repair what the detail names, then apply again",
                detail=done.stderr.decode(errors="replace").strip(),
                code="HS440",
            )


class Plain:
    """A deed without check, verification and undo; the others override what they have."""

    temporary = False

    def __init__(self, site: Site) -> None:
        self.site = site

    def check(self, step: Step) -> bool:
        return False

    def do(self, step: Step) -> None:
        raise NotImplementedError

    def verify(self, step: Step) -> None:
        """The answer of the node's verb is proof enough."""

    def undo(self, step: Step) -> bool:
        return False


class CreateLab(Plain):
    def do(self, step: Step) -> None:
        self.site.create_lab()


class Unpack(Plain):
    def check(self, step: Step) -> bool:
        launcher = f"{door.RUNTIMES}/{self.site.runtime.name}/hsorch-node"
        return self.site.transports[step.node].run(["test", "-x", launcher]).returncode == 0

    def do(self, step: Step) -> None:
        runtime = self.site.runtime
        self.site.install(step.node, "unpack", runtime.name, runtime.sha256, stdin=runtime.bundle)

    def verify(self, step: Step) -> None:
        if not self.check(step):
            raise NodeError(
                f"the runtime is not on {step.node} after it was unpacked",
                hint="look at the disk and the mounts of /var/lib/hsorch there",
                code="HS440",
            )


class TakeLocks(Plain):
    temporary = True

    def do(self, step: Step) -> None:
        site = self.site
        order = TakeLock(
            cluster=site.plan.cluster,
            id=site.operation,
            owner=site.owner,
            operation=f"apply of revision {site.plan.spec.revision}",
            steal=site.break_lock,
        )
        site.ask(step.node, "lock", order, Lock)

    def undo(self, step: Step) -> bool:
        order = ReleaseLock(cluster=self.site.plan.cluster, id=self.site.operation)
        return self.site.ask(step.node, "unlock", order, Done).changed


class Unlock(Plain):
    def do(self, step: Step) -> None:
        order = ReleaseLock(cluster=self.site.plan.cluster, id=self.site.operation)
        self.site.ask(step.node, "unlock", order, Done)


class Activate(Plain):
    def do(self, step: Step) -> None:
        """The runtime that was current stays until the next one comes: processes may still run from it."""
        self.site.install(step.node, "activate", self.site.runtime.name)
        before = self.site.plan.observed[step.node].runtime
        self.site.install(step.node, "prune", *filter(None, [before]))


class EnrollNode(Plain):
    def do(self, step: Step) -> None:
        cluster = self.site.plan.cluster
        secret = self.site.enrolment.get()
        identity = Identity(cluster=cluster, cluster_id=secret.cluster_id, node=step.node)
        order = Enroll(cluster=cluster, identity=identity, key=secret.key)
        self.site.ask(step.node, "enroll", order, Done)


class StageSpec(Plain):
    temporary = True

    def do(self, step: Step) -> None:
        plan = self.site.plan
        order = Stage(cluster=plan.cluster, lock=self.site.operation, spec=plan.spec)
        self.site.ask(step.node, "stage", order, Done)

    def undo(self, step: Step) -> bool:
        order = Abort(cluster=self.site.plan.cluster, lock=self.site.operation)
        return self.site.ask(step.node, "abort", order, Done).changed


class CommitSpec(Plain):
    def do(self, step: Step) -> None:
        plan = self.site.plan
        order = Commit(
            cluster=plan.cluster,
            lock=self.site.operation,
            revision=plan.spec.revision,
            digest=plan.digest,
        )
        self.site.ask(step.node, "commit", order, Done)


class StartService(Plain):
    def do(self, step: Step) -> None:
        self.act(step, "install")
        self.act(step, "start")

    def verify(self, step: Step) -> None:
        _until_ready(lambda: _alive(self.site, step.node), f"the agent of {step.node}", ALIVE_LIMIT_S)

    def undo(self, step: Step) -> bool:
        return self.act(step, "stop").changed

    def act(self, step: Step, action: str) -> Done:
        order = msgspec.convert({"cluster": self.site.plan.cluster, "action": action}, Service)
        return self.site.ask(step.node, "service", order, Done, timeout=SERVICE_LIMIT_S)


class RestartService(StartService):
    """Stopping lets go of the group first; with both nodes healthy the peer takes it."""

    def do(self, step: Step) -> None:
        self.act(step, "stop")
        super().do(step)

    def undo(self, step: Step) -> bool:
        return False


class ReloadSpec(Plain):
    def do(self, step: Step) -> None:
        self.site.ask(step.node, "reload", Reload(cluster=self.site.plan.cluster), Done)

    def verify(self, step: Step) -> None:
        _until_ready(lambda: _current(self.site, step.node), f"the agent of {step.node}", ALIVE_LIMIT_S)


class VerifyPair(Plain):
    def do(self, step: Step) -> None:
        """Nothing is changed; see verify."""

    def verify(self, step: Step) -> None:
        for node in self.site.transports:
            _until_ready(lambda: _in_step(self.site, node), f"{node}", PAIR_LIMIT_S)  # noqa: B023


class MoveGroup(Plain):
    """bring-in and bring-out, by whichever node the agents take the order from."""

    def __init__(self, site: Site, verb: str) -> None:
        super().__init__(site)
        self._verb = verb
        self._wanted = verb == "bring-in"

    def check(self, step: Step) -> bool:
        return not self._missing()

    def do(self, step: Step) -> None:
        reports = [self.site.status(node) for node in self.site.transports]
        node = next((r.node for r in reports if r.active == r.node), self.site.plan.spec.preferred)
        order = Operate(
            cluster=self.site.plan.cluster,
            verb=self._verb,
            actor=self.site.owner,
            id=f"{self.site.operation}-{self._verb}",
            timeout_ms=int(GROUP_LIMIT_S * 1000),
        )
        self.site.ask(node, "operate", order, dict[str, str], timeout=GROUP_LIMIT_S + 5)

    def verify(self, step: Step) -> None:
        _until_ready(self._missing, "the group", GROUP_LIMIT_S)

    def _missing(self) -> str:
        """What is not as wanted yet; empty when all is."""
        reports = [self.site.status(node) for node in self.site.transports]
        desired = "in" if self._wanted else "out"
        waiting = [r.node for r in reports if r.desired != desired]
        if waiting:
            return f"is not yet desired {desired} on {' and '.join(waiting)}"
        if any(r.up for r in reports) != self._wanted:
            return "does not run" if self._wanted else "still runs"
        return ""


def deeds(site: Site) -> dict[StepKind, Deed]:
    return {
        StepKind.LAB: CreateLab(site),
        StepKind.UNPACK: Unpack(site),
        StepKind.LOCK: TakeLocks(site),
        StepKind.ACTIVATE: Activate(site),
        StepKind.ENROLL: EnrollNode(site),
        StepKind.STAGE: StageSpec(site),
        StepKind.BRING_OUT: MoveGroup(site, "bring-out"),
        StepKind.COMMIT: CommitSpec(site),
        StepKind.SERVICE: StartService(site),
        StepKind.RELOAD: ReloadSpec(site),
        StepKind.RESTART: RestartService(site),
        StepKind.VERIFY: VerifyPair(site),
        StepKind.BRING_IN: MoveGroup(site, "bring-in"),
        StepKind.UNLOCK: Unlock(site),
    }


def _alive(site: Site, node: str) -> str:
    try:
        site.status(node)
    except NodeError as error:
        return f"gives no answer: {error.message}"
    return ""


def _current(site: Site, node: str) -> str:
    report = site.status(node)
    if (report.revision, report.digest) != (site.plan.spec.revision, site.plan.digest):
        return f"runs revision {report.revision}, not {site.plan.spec.revision}"
    return ""


def _in_step(site: Site, node: str) -> str:
    report = site.status(node)
    return _current(site, node) or ("" if report.peer_seen else f"does not hear {report.peer}")


def _until_ready(missing: Callable[[], str], what: str, limit_s: float) -> None:
    """Wait until nothing is missing. Raises NodeError HS450 with what still is."""
    end = time.monotonic() + limit_s
    while why := missing():
        if time.monotonic() >= end:
            raise NodeError(
                f"{what} {why} after {limit_s:g} s",
                hint="see `hsorch status` and `hsorch events` for the reason",
                code="HS450",
            )
        time.sleep(POLL_S)
