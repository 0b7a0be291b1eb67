"""Carries out the core's Run and Fence on this node: name and operation in, outcome out.

Blocking and thread-safe: the agent calls it from worker threads. It decides nothing about order, retries or
roles; it never raises and keeps the limit it was given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hsorch.errors import HsorchError, NodeError
from hsorch.node.core.types import Operation, ResourceOutcome
from hsorch.node.paths import Paths
from hsorch.node.resource import fence
from hsorch.node.resource.call import Call, Kind, Note, TimeLimitError, Turn
from hsorch.node.resource.data import DataKind, Replicator
from hsorch.node.resource.ip import IpKind
from hsorch.node.resource.probe import ProbeKind
from hsorch.node.resource.process import ProcessKind
from hsorch.node.resource.records import Records
from hsorch.node.resource.script import ScriptKind
from hsorch.node.resource.service import ServiceKind
from hsorch.node.system.base import Deadline, System
from hsorch.spec import AnyResource, Data, Ip, Probe, Process, Script, Service, Spec


@dataclass(frozen=True)
class Result:
    """How an operation ended. output: at most 16 KiB of what its programs said; code: when it failed."""

    outcome: ResourceOutcome
    detail: str = ""
    output: str = ""
    code: str = ""


class Runner:
    """The resources of one group on one node."""

    def __init__(
        self,
        spec: Spec,
        me: str,
        paths: Paths,
        system: System,
        leased: Callable[[], bool] = lambda: True,
        replicator: Replicator | None = None,
    ) -> None:
        """leased: False once the watchdog's instant has passed; then no start has an effect any more.

        replicator: None where nothing can be replicated.
        """
        self.spec = spec
        self.me = me
        self._leased = leased
        self._system = system
        self._records = Records(paths.resources)
        self._turns: dict[str, Turn] = {}
        self._kinds: Mapping[type[AnyResource], Kind[Any]] = {
            Ip: IpKind(),
            Service: ServiceKind(),
            Process: ProcessKind(),
            Script: ScriptKind(),
            Probe: ProbeKind(),
        }
        if replicator is not None:
            self._kinds = {**self._kinds, Data: DataKind(replicator)}

    def reconfigure(self, spec: Spec) -> None:
        """A new committed spec; calls in progress end under the old one."""
        self.spec = spec

    def run(self, name: str, operation: Operation, limit_s: float) -> Result:
        """Carry out one operation within limit_s seconds."""
        return self.prepare(name, operation)(limit_s)

    def prepare(self, name: str, operation: Operation) -> Callable[[float], Result]:
        """Take the turn now, for a job (limit in seconds) that another thread may begin later.

        A fence that comes before that thread gets to run has overtaken it all the same.
        """
        turn = self._turns.setdefault(name, Turn())
        number = turn.number
        return lambda limit_s: self._run(name, operation, limit_s, turn, number)

    def _run(self, name: str, operation: Operation, limit_s: float, turn: Turn, number: int) -> Result:
        deadline = Deadline.after(limit_s)
        try:
            note = self._operate(name, operation, deadline, turn, number)
        except TimeLimitError as error:
            return Result(ResourceOutcome.TIMEOUT, _one_line(error), error.detail, error.code)
        except HsorchError as error:
            return Result(ResourceOutcome.FAILED, _one_line(error), error.detail, error.code)
        except Exception as error:
            # The agent's worker must get an answer whatever happens: no answer would stall the core.
            return Result(ResourceOutcome.FAILED, f"{name}: {type(error).__name__}: {error}", code="HS663")
        return Result(ResourceOutcome.OK, note.detail, note.output)

    def fence(self, reason: str) -> tuple[bool, str]:
        """Everything of the group off this node within the fence budget: (verified gone, what was done).

        An effect that is in progress and too slow to wait for may land after the look around: not verified.
        """
        slow = [name for name, turn in list(self._turns.items()) if not turn.overtake()]
        verified, done = fence.fence(
            cluster=self.spec.cluster,
            me=self.me,
            directory=self._records.directory,
            system=self._system,
            spec=self.spec,
            limit_s=self.spec.policy.fence_ms / 1000,
            reason=reason,
        )
        if slow:
            return False, f"{', '.join(slow)}: an operation is still at work; {done}"
        return verified, done

    def _operate(self, name: str, operation: Operation, deadline: Deadline, turn: Turn, number: int) -> Note:
        resource = next((r for r in self.spec.group.resources if r.name == name), None)
        if resource is None:
            raise NodeError(
                f"the group has no resource {name}", hint="a newer spec has removed it", code="HS663"
            )
        kind = self._kinds[type(resource)]
        if operation is Operation.KILL:
            turn.overtake()
            number = turn.number
        call = Call(
            name=name,
            spec=self.spec,
            me=self.me,
            system=self._system,
            records=self._records,
            deadline=deadline,
            turn=turn,
            number=number,
            mark=fence.mark(self.spec.cluster, self.me, name),
            leased=self._leased if operation is Operation.START else lambda: True,
        )
        operations: dict[Operation, Callable[[Call, Any], Note]] = {
            Operation.START: kind.start,
            Operation.STOP: kind.stop,
            Operation.KILL: kind.kill,
            Operation.CHECK: kind.check,
        }
        return operations[operation](call, resource)


def _one_line(error: HsorchError) -> str:
    return f"{error.message}; {error.hint}" if error.hint else error.message
