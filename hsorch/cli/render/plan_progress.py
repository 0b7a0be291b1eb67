"""Receivers of an apply's progress: a live screen, plain lines, NDJSON. Each shows the plan first."""

from __future__ import annotations

import json
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

import msgspec

from hsorch import __version__
from hsorch.cli.console import Terminal
from hsorch.cli.render import plan_json, plan_text
from hsorch.plan.model import FORMAT, Plan
from hsorch.plan.progress import Ended, Record, StepDone, StepFailed, StepStarted, StepUndone, Stopping

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Receiver(Protocol):
    """A context around the apply; emit takes every record in order."""

    def planned(self, plan: Plan) -> None: ...

    def emit(self, record: Record) -> None: ...

    def __enter__(self) -> Receiver: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def receiver(terminal: Terminal, format_: str) -> Receiver:
    if format_ == "json":
        return JsonLines(terminal)
    return Screen(terminal) if terminal.live else Lines(terminal)


class Lines:
    """One line per step on stderr."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def planned(self, plan: Plan) -> None:
        self._terminal.print(plan_text.text(plan))

    def emit(self, record: Record) -> None:
        line = line_of(record)
        if line:
            self._terminal.tell(line)

    def __enter__(self) -> Receiver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is kept open."""


class Screen(Lines):
    """A live line per running step on stderr; finished ones scroll up."""

    def __init__(self, terminal: Terminal) -> None:
        super().__init__(terminal)
        self._progress = _progress(terminal)
        self._tasks: dict[str, TaskID] = {}

    def emit(self, record: Record) -> None:
        if isinstance(record, StepStarted):
            self._tasks[record.step] = self._progress.add_task(record.text, total=None)
            return
        if isinstance(record, StepDone | StepFailed) and record.step in self._tasks:
            self._progress.remove_task(self._tasks.pop(record.step))
        line = line_of(record)
        if line:
            self._progress.console.print(line)

    def __enter__(self) -> Receiver:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


class JsonLines(Lines):
    """One record a line on stdout, the first of type `version`, then the plan, then the progress."""

    def planned(self, plan: Plan) -> None:
        self._write({"type": "version", "hsorch": __version__, "format_version": FORMAT})
        self._write({"type": "plan", **plan_json.data(plan)})

    def emit(self, record: Record) -> None:
        self._write(msgspec.to_builtins(record))

    def _write(self, record: dict[str, object]) -> None:
        self._terminal.print(json.dumps(record))


def line_of(record: Record) -> str:
    """The plain text of a record; empty for those that only a live screen or a program needs."""
    match record:
        case StepDone(text=text, changed=changed, seconds=seconds):
            return f"  {'done' if changed else 'same':<5} {text}  {seconds:.1f} s"
        case StepFailed(step=step, code=code, message=message):
            return f"  FAIL  {step}: {code} {message}"
        case StepUndone(step=step):
            return f"  undone  {step}"
        case Stopping(running=running):
            return f"  stopping when these are done: {', '.join(running) or 'nothing runs'}"
        case Ended(outcome="complete", steps=steps, seconds=seconds):
            return f"Apply complete: {steps} steps in {seconds:.1f} s."
        case Ended(outcome=outcome, done=done, steps=steps):
            return f"Apply {outcome}: {done} of {steps} steps are done."
        case _:
            return ""


def _progress(terminal: Terminal) -> Progress:
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    return Progress(*columns, console=terminal.ui, transient=True)
