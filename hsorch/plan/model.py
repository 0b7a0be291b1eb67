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
        touched = {item.address for item in self.items if item.impact == "overwrite"}
        return tuple(path for path, where in self._bound.items() if touched & where)

    @property
    def lets_overwrite(self) -> bool:
        """From now on an old active node is overwritten without a word (REQ-G06)."""
        policy = self.spec.policy
        mine = any(i.address == "policy.reverse_replication" and i.after == "true" for i in self.items)
        return mine and policy.takeover == "logical"

    @property
    def unbound(self) -> tuple[str, ...]:
        """Folders that are not replicated any more."""
        known = {address for where in self._bound.values() for address in where}
        gone = (i.address for i in self.items if i.action is Action.REMOVE and i.address not in known)
        return tuple(a.removeprefix("replication.") for a in gone if a.startswith("replication./"))

    @property
    def _bound(self) -> dict[str, set[str]]:
        """Bound path → addresses of its items."""
        bound = self.spec.replication.bindings if self.spec.replication is not None else ()
        own = {b.path: f"replication.{b.path}" for b in bound}
        return {path: {at, f"{at}.include", f"{at}.exclude", f"{at}.preset"} for path, at in own.items()}

    @property
    def target(self) -> str:
        return self.spec.peer_of(self.source).name

    @property
    def is_outage(self) -> bool:
        """The group is brought out, and in again."""
        return any(step.kind is StepKind.BRING_OUT for step in self.steps)

    def count(self, action: Action) -> int:
        return sum(item.action is action for item in self.items)
