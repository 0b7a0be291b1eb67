"""How each kind of step is done on a node: check, do, verify, undo, all through the narrow door.

Order and failures are execute.py's. Every deed may be repeated after a crash of the controller.
"""

from __future__ import annotations

from typing import Literal

from hsorch.errors import NodeError
from hsorch.node.deployment.wire import (
    Abort,
    Certificate,
    Commit,
    Done,
    Enroll,
    Lock,
    Pin,
    ReleaseLock,
    Service,
    ShowCertificate,
    Stage,
    TakeLock,
)
from hsorch.plan.deed import Plain, Site
from hsorch.plan.deeds_pair import (
    PAIR_LIMIT_S,
    MoveGroup,
    ReloadSpec,
    VerifyPair,
    hears_peer,
    until_ready,
)
from hsorch.plan.execute import Deed
from hsorch.plan.model import Step, StepKind
from hsorch.spec import Identity
from hsorch.transport import door

STOP_LIMIT_S = 90.0
ALIVE_LIMIT_S = 20.0


def deeds(site: Site) -> dict[StepKind, Deed]:
    return {
        StepKind.LAB: CreateLab(site),
        StepKind.UNPACK: Unpack(site),
        StepKind.LOCK: TakeLocks(site),
        StepKind.ACTIVATE: Activate(site),
        StepKind.ENROLL: EnrollNode(site),
        StepKind.PIN: PinPeer(site),
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
        order = Enroll(cluster=cluster, identity=identity, key=secret.key, joins=secret.joins)
        self.site.ask(step.node, "enroll", order, Done)


class PinPeer(Plain):
    def do(self, step: Step) -> None:
        """Only certificates pass through here; private keys stay on their nodes."""
        cluster = self.site.plan.cluster
        peer = self.site.plan.spec.peer_of(step.node).name
        shown = self.site.ask(peer, "certificate", ShowCertificate(cluster=cluster), Certificate)
        self.site.ask(step.node, "pin", Pin(cluster=cluster, pem=shown.pem), Done)


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
        """Start returns when the agent has answered; once more, from here."""
        self.site.status(step.node)

    def undo(self, step: Step) -> bool:
        return self.act(step, "stop").changed

    def act(self, step: Step, action: Literal["install", "start", "stop"]) -> Done:
        limit_s = ALIVE_LIMIT_S if action == "start" else STOP_LIMIT_S
        order = Service(cluster=self.site.plan.cluster, action=action, limit_s=limit_s)
        return self.site.ask(step.node, "service", order, Done, timeout=limit_s + 10)


class RestartService(StartService):
    """Stopping lets go of the group first; with both nodes healthy the peer takes it."""

    def do(self, step: Step) -> None:
        self.act(step, "stop")
        super().do(step)

    def verify(self, step: Step) -> None:
        """Only when this node hears its peer again may the peer be restarted."""
        until_ready(lambda: hears_peer(self.site, step.node), "the pair:", PAIR_LIMIT_S)

    def undo(self, step: Step) -> bool:
        return False
