"""The controller's memory of one apply: the plan and what became of each step. A killed one can go on.

One file per cluster, append only, each line on disk before the next step; gone when the apply is complete.
What is true of the nodes is asked of the nodes again; kept here is what they can't tell: the id that opens
their locks, and that the group was to come in at the end.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from hsorch.errors import HsorchError, RefusedError
from hsorch.plan.model import Plan


class Opening(msgspec.Struct, frozen=True, kw_only=True, tag="apply"):
    """First line. id: of the operation; it holds the nodes' locks."""

    id: str
    plan: Plan


class Mark(msgspec.Struct, frozen=True, kw_only=True, tag="step"):
    step: str
    state: Literal["started", "done", "undone"]


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """An apply that has not come to its end. done: ids of steps that need not be looked at again."""

    id: str
    plan: Plan
    done: frozenset[str]

    @property
    def owes_bring_in(self) -> bool:
        """It was to bring the group in, and had not yet."""
        return self.plan.brings_in and "bring-in" not in self.done


_line = msgspec.json.Decoder(Opening | Mark)


class Journal:
    """An open journal: `opening` and `mark` are durable when they return."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    def pending(self) -> Pending | None:
        """A torn last line is the crash itself: it is left out."""
        opening: Opening | None = None
        done: set[str] = set()
        for line in self._path.read_bytes().splitlines():
            try:
                record = _line.decode(line)
            except msgspec.DecodeError:
                break
            if isinstance(record, Opening):
                opening, done = record, set()
            elif record.state == "done":
                done.add(record.step)
            else:
                done.discard(record.step)
        return Pending(id=opening.id, plan=opening.plan, done=frozenset(done)) if opening else None

    def opening(self, operation: str, plan: Plan) -> None:
        """Forget what was there and begin anew."""
        os.ftruncate(self._descriptor, 0)
        self._append(Opening(id=operation, plan=plan))

    def mark(self, step: str, state: Literal["started", "done", "undone"]) -> None:
        self._append(Mark(step=step, state=state))

    def complete(self) -> None:
        """The apply came to its end: there is nothing to remember."""
        os.ftruncate(self._descriptor, 0)
        os.fsync(self._descriptor)

    def _append(self, record: Opening | Mark) -> None:
        os.write(self._descriptor, msgspec.json.encode(record) + b"\n")
        os.fsync(self._descriptor)


@contextmanager
def opened(cluster: str, folder: Path | None = None) -> Iterator[Journal]:
    """The journal of a cluster, held by this process alone.

    Raises RefusedError HS435 while another apply of this cluster runs on this machine.
    """
    path = _path(cluster, folder)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise HsorchError(
            f"the journal {path} can't be opened: {error.strerror}",
            hint="set XDG_STATE_HOME to a folder that you may write",
            code="HS422",
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RefusedError(
                f"another apply of {cluster} runs on this machine",
                hint="wait until it is done",
                code="HS435",
            ) from error
        yield Journal(path, descriptor)
    finally:
        os.close(descriptor)


def peek(cluster: str, folder: Path | None = None) -> Pending | None:
    """What an apply that stopped left to do; reads only."""
    path = _path(cluster, folder)
    return Journal(path, -1).pending() if path.exists() else None


def forget(cluster: str, folder: Path | None = None) -> None:
    """The machines are gone, and with them what was under way there."""
    _path(cluster, folder).unlink(missing_ok=True)


def _path(cluster: str, folder: Path | None) -> Path:
    return (folder or state_folder()) / cluster / "apply.ndjson"


def state_folder() -> Path:
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "hsorch"
