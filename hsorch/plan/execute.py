"""Carry out steps in the order of their graph: parallel where independent, each one journalled.

What a step does is deeds.py's; what is shown is the receiver's of the progress stream. On a failure or Ctrl-C
nothing new starts, running steps come to their end, and what was temporary (staged spec, lock) is undone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Protocol

from hsorch.errors import HsorchError, Interrupted, PartlyApplied
from hsorch.plan.journal import Journal
from hsorch.plan.model import Step, StepKind
from hsorch.plan.progress import (
    Begun,
    Emit,
    Ended,
    StepDone,
    StepFailed,
    StepStarted,
    StepUndone,
    Stopping,
)

WORKERS = 4
STOP_POLL_S = 0.2


class Deed(Protocol):
    """How one kind of step is done. Everything may be called again after a crash."""

    temporary: bool
    """Holds for the time of the apply only: undone when the apply fails."""

    def check(self, step: Step) -> bool:
        """It is done already."""
        ...

    def do(self, step: Step) -> None: ...

    def verify(self, step: Step) -> None:
        """Raises HsorchError when the effect is not there."""
        ...

    def undo(self, step: Step) -> bool:
        """Take back what a failed or temporary step left. False: there is nothing to take back."""
        ...


Deeds = Mapping[StepKind, Deed]


@dataclass
class _Run:
    """State of one execution."""

    steps: Sequence[Step]
    done: set[str] = field(default_factory=set)
    jobs: dict[Future[bool], Step] = field(default_factory=dict)
    since: dict[str, float] = field(default_factory=dict)
    failures: list[tuple[Step, HsorchError]] = field(default_factory=list)
    interrupted: bool = False

    @property
    def going_on(self) -> bool:
        return not self.failures and not self.interrupted

    def ready(self) -> list[Step]:
        """Not begun, and all that they need is done."""
        return [
            step
            for step in self.steps
            if step.id not in self.done and step.id not in self.since and self.done.issuperset(step.needs)
        ]


def execute(
    operation: str,
    cluster: str,
    steps: Sequence[Step],
    deeds: Deeds,
    journal: Journal,
    emit: Emit,
    stop: threading.Event,
) -> None:
    """stop: set by the user's Ctrl-C; looked at between steps, so that none is torn.

    Raises PartlyApplied when lasting steps were done before the failure, the failure itself when none was,
    and Interrupted after a stop.
    """
    began = time.monotonic()
    run = _Run(steps)
    emit(Begun(operation=operation, cluster=cluster, steps=len(steps)))
    with ThreadPoolExecutor(WORKERS) as pool:
        _work_through(run, pool, deeds, journal, emit, stop)
    complete = len(run.done) == len(steps)
    if not complete:
        _undo(run, deeds, journal, emit)
    outcome = "complete" if complete else "interrupted" if run.interrupted else "failed"
    emit(Ended(outcome=outcome, done=len(run.done), steps=len(steps), seconds=time.monotonic() - began))
    if not complete:
        raise _story(run, cluster)


def _work_through(
    run: _Run, pool: ThreadPoolExecutor, deeds: Deeds, journal: Journal, emit: Emit, stop: threading.Event
) -> None:
    while True:
        if stop.is_set() and not run.interrupted:
            run.interrupted = True
            emit(Stopping(running=tuple(step.id for step in run.jobs.values())))
        for step in run.ready() if run.going_on else ():
            journal.mark(step.id, "started")
            emit(StepStarted(step=step.id, node=step.node, text=step.text))
            run.since[step.id] = time.monotonic()
            run.jobs[pool.submit(_perform, deeds[step.kind], step)] = step
        if not run.jobs:
            return
        finished, _ = wait(run.jobs, STOP_POLL_S, FIRST_COMPLETED)
        for job in finished:
            _collect(run, job, journal, emit)


def _perform(deed: Deed, step: Step) -> bool:
    """Returns whether anything was changed."""
    if deed.check(step):
        return False
    deed.do(step)
    deed.verify(step)
    return True


def _collect(run: _Run, job: Future[bool], journal: Journal, emit: Emit) -> None:
    step = run.jobs.pop(job)
    try:
        changed = job.result()
    except HsorchError as error:
        run.failures.append((step, error))
        emit(
            StepFailed(step=step.id, node=step.node, code=error.code, message=error.message, hint=error.hint)
        )
        return
    run.done.add(step.id)
    journal.mark(step.id, "done")
    seconds = time.monotonic() - run.since[step.id]
    emit(StepDone(step=step.id, node=step.node, text=step.text, changed=changed, seconds=seconds))


def _undo(run: _Run, deeds: Deeds, journal: Journal, emit: Emit) -> None:
    """The failed steps, then what is temporary, latest first. A node out of reach keeps its lock a while."""
    failed = {step.id for step, _ in run.failures}
    for step in reversed(run.steps):
        deed = deeds[step.kind]
        if step.id not in failed and not (step.id in run.done and deed.temporary):
            continue
        try:
            undone = deed.undo(step)
        except HsorchError as error:
            emit(
                StepFailed(
                    step=f"undo {step.id}",
                    node=step.node,
                    code=error.code,
                    message=error.message,
                    hint=error.hint,
                )
            )
            continue
        if undone:
            run.done.discard(step.id)
            journal.mark(step.id, "undone")
            emit(StepUndone(step=step.id, node=step.node))


def _story(run: _Run, cluster: str) -> HsorchError:
    left = [step.id for step in run.steps if step.id not in run.done]
    lasting = [step.id for step in run.steps if step.id in run.done]
    detail = f"done: {', '.join(lasting) or 'nothing'}\nto do: {', '.join(left)}"
    again = "run the same `hsorch apply` again: it goes on where it stopped"
    if not run.failures:
        return Interrupted(f"the apply of {cluster} was stopped at a safe point", hint=again, detail=detail)
    step, error = run.failures[0]
    if not lasting:
        return error
    return PartlyApplied(
        f"{step.text} failed: {error.message}",
        hint=f"{error.hint.rstrip('.')}; then {again}",
        detail="\n".join(filter(None, [f"{error.code}", error.detail, detail])),
    )
