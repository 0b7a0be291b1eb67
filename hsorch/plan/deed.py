"""What all deeds have in common: the site they work at, and the plain deed that does nothing by itself."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from hsorch.errors import NodeError
from hsorch.node import install
from hsorch.node.operate import Ask
from hsorch.plan.enrolment import Enrolment
from hsorch.plan.model import Plan, Step
from hsorch.plan.observe import python_argv
from hsorch.plan.runtime import Runtime
from hsorch.transport import door
from hsorch.transport.base import Transport
from hsorch.verbs import StatusReport

INSTALL_LIMIT_S = 120.0

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
    """What a deed has by default: no check, no verification, no undo. What it does is its own."""

    temporary = False

    def __init__(self, site: Site) -> None:
        self.site = site

    def check(self, step: Step) -> bool:
        return False

    def verify(self, step: Step) -> None:
        """The answer of the node's verb is proof enough."""

    def undo(self, step: Step) -> bool:
        return False
