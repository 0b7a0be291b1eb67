"""The plan as a value: what differs, what of it is drift, what stands in the way, and the steps in order.

A saved plan is this value as JSON. Nothing in it is secret. format_version: a higher minor adds fields only.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec

from hsorch.manifest.impact import Impact
from hsorch.spec import Spec

FORMAT = "1.0"


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all values of this room."""


class Action(StrEnum):
    ADD = "+"
    CHANGE = "~"
    REMOVE = "-"
    REPLACE = "-/+"


class Item(Value, frozen=True, kw_only=True):
    """One difference. address: `NODE.what` for a node, the manifest's own words for the pair."""

    address: str
    action: Action
    before: str = ""
    after: str = ""
    impact: str = "live"
    """Name of a manifest Impact, in lower case."""


class Problem(Value, frozen=True, kw_only=True):
    """Found before anything is changed. An error forbids apply."""

    code: str
    severity: Literal["error", "warning"]
    node: str
    message: str
    hint: str


class StepKind(StrEnum):
    LAB = "lab"
    UNPACK = "unpack"
    LOCK = "lock"
    ACTIVATE = "activate"
    ENROLL = "enroll"
    PIN = "pin"
    STAGE = "stage"
    BRING_OUT = "bring-out"
    COMMIT = "commit"
    SERVICE = "service"
    RELOAD = "reload"
    RESTART = "restart"
    VERIFY = "verify"
    BRING_IN = "bring-in"
    UNLOCK = "unlock"


class Step(Value, frozen=True, kw_only=True):
    """One piece of work. id: `kind node`, or the kind alone for work on the pair."""

    id: str
    kind: StepKind
    node: str = ""
    needs: tuple[str, ...] = ()
    text: str


class NodeState(Value, frozen=True, kw_only=True):
    """What of a node must not move between plan and apply."""

    exists: bool = True
    runtime: str = ""
    cluster_id: str = ""
    key: str = ""
    channel: str = ""
    channel_peer: str = ""
    revision: int = 0
    digest: str = ""
    service: str = "absent"
    group_in: bool = False


class Plan(Value, frozen=True, kw_only=True):
    format_version: str = FORMAT
    cluster: str
    manifest: str
    """Path as the user gave it."""
    spec: Spec
    """With the revision that it gets."""
    digest: str
    """Of the spec: it stands for the manifest."""
    runtime: str
    observed: dict[str, NodeState]
    drift: tuple[Item, ...] = ()
    items: tuple[Item, ...] = ()
    problems: tuple[Problem, ...] = ()
    steps: tuple[Step, ...] = ()
    brings_in: bool = False
    """The last step starts the group."""
    source: str = ""
    """Node whose data count when they begin to be replicated: the active one, or where the group starts."""

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(p for p in self.problems if p.severity == "error")

    @property
    def impact(self) -> Impact:
        """The gravest of all items."""
        return max((Impact[i.impact.upper()] for i in (*self.items, *self.drift)), default=Impact.LIVE)

    @property
    def changes(self) -> bool:
        return bool(self.steps)

    @property
    def overwritten(self) -> tuple[str, ...]:
        """Folders in which the data of one node replace those of the other."""
        return tuple(i.address.removeprefix("replication.") for i in self.items if i.impact == "overwrite")

    @property
    def target(self) -> str:
        return self.spec.peer_of(self.source).name

    @property
    def is_outage(self) -> bool:
        """The group is brought out, and in again."""
        return any(step.kind is StepKind.BRING_OUT for step in self.steps)

    def count(self, action: Action) -> int:
        return sum(item.action is action for item in self.items)
