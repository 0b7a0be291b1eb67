"""What the core asks of the world, carried out in order (perform.py). Values only; what answers them are
events (types.py).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from hsorch.node.core.types import Beat, Durable, Instant, Operation, Span, Value


class Persist(Value, frozen=True, kw_only=True, tag=True):
    """Must be on stable storage before the next action of the list begins."""

    durable: Durable


class ProbeStore(Value, frozen=True, kw_only=True, tag=True):
    """Store something of no meaning beside the state; nothing waits for it. Answer with StoreProbed."""


class Send(Value, frozen=True, kw_only=True, tag=True):
    """Send one beat on these links (all when empty)."""

    beat: Beat
    links: tuple[str, ...] = ()


class AskWitness(Value, frozen=True, kw_only=True, tag=True):
    """Create (or with create=False read) the register of `major` for this node; answer within limit."""

    request: int
    major: int
    create: bool
    limit: Span


class Run(Value, frozen=True, kw_only=True, tag=True):
    """Run one operation of a resource, with a time limit; answer with ResourceResult."""

    call: int
    resource: str
    operation: Operation
    limit: Span


class Fence(Value, frozen=True, kw_only=True, tag=True):
    """All effects off now: VIP off and blocked, then kill the resource tree, then verify."""

    reason: str


class Arm(Value, frozen=True, kw_only=True, tag=True):
    """The watchdog (and the kernel's dead-man switch) fences at `until` unless armed again."""

    until: Instant


class Disarm(Value, frozen=True, kw_only=True, tag=True):
    """Only after a verified fence or stop, or when SOLO makes the lease unnecessary."""


class ProbeIsolation(Value, frozen=True, kw_only=True, tag=True):
    """Ping the reference addresses from the service NIC."""


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    ALARM = "alarm"


class Emit(Value, frozen=True, kw_only=True, tag=True):
    """One record of the event log. code: HS7xx when there is a page for it."""

    severity: Severity
    kind: str
    message: str
    code: str = ""
    fields: dict[str, Any] = msgspec.field(default_factory=dict)


class Answer(Value, frozen=True, kw_only=True, tag=True):
    """Final answer to a Command. code and hint say why it was refused and what would make it pass."""

    id: str
    ok: bool
    message: str
    code: str = ""
    hint: str = ""


class Exit(Value, frozen=True, kw_only=True, tag=True):
    """The agent may stop: nothing of the group is left here."""


Action = (
    Persist | ProbeStore | Send | AskWitness | Run | Fence | Arm | Disarm | ProbeIsolation | Emit | Answer
    | Exit
)  # fmt: skip
