"""What happens during an apply, as values: the engine emits them; screen, lines and NDJSON render them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec


class Progress(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Base of all records of the stream."""


class Begun(Progress, frozen=True, kw_only=True, tag="apply_start"):
    operation: str
    cluster: str
    steps: int


class StepStarted(Progress, frozen=True, kw_only=True, tag="step_start"):
    step: str
    node: str
    text: str


class StepDone(Progress, frozen=True, kw_only=True, tag="step_done"):
    """changed: False when it turned out to be done already."""

    step: str
    node: str
    text: str
    changed: bool
    seconds: float


class StepFailed(Progress, frozen=True, kw_only=True, tag="step_failed"):
    step: str
    node: str
    code: str
    message: str
    hint: str


class StepUndone(Progress, frozen=True, kw_only=True, tag="step_undone"):
    step: str
    node: str


class Stopping(Progress, frozen=True, kw_only=True, tag="stopping"):
    """The user asked to stop; these steps are brought to their end first."""

    running: tuple[str, ...]


class Ended(Progress, frozen=True, kw_only=True, tag="apply_end"):
    outcome: str
    """`complete`, `failed` or `interrupted`."""
    done: int
    steps: int
    seconds: float


Record = Begun | StepStarted | StepDone | StepFailed | StepUndone | Stopping | Ended
Emit = Callable[[Record], None]
