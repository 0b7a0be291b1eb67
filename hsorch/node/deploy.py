"""Verbs of the narrow door by which a controller deploys a pair; the work is done in deployment/."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from hsorch.errors import NodeError
from hsorch.node import control
from hsorch.node.deployment import channel, membership, service
from hsorch.node.deployment import facts as observing
from hsorch.node.deployment import lock as locking
from hsorch.node.deployment.wire import (
    Abort,
    Commit,
    Done,
    Enroll,
    Facts,
    FactsQuery,
    Leave,
    Order,
    Pin,
    ReleaseLock,
    Service,
    ShowCertificate,
    Stage,
    TakeLock,
)
from hsorch.node.paths import Paths

O = TypeVar("O", bound=Order)  # noqa: E741


class Reload(Order, frozen=True, kw_only=True):
    """Tell the agent to read the committed spec."""


def reload(paths: Paths, order: Reload) -> Done:
    control.ask(paths, "reload", b"null", msgspec.Raw)
    return Done(changed=True)


def run_service(paths: Paths, order: Service) -> Done:
    match order.action:
        case "install":
            return service.install(paths)
        case "start":
            return service.start(paths, order.limit_s)
        case "stop":
            return service.stop(paths, order.limit_s)
        case "remove":
            return service.remove(paths, order.limit_s)


def leave(paths: Paths, order: Leave) -> Done:
    """Stop, then remove without residue."""
    service.remove(paths, limit_s=90.0)
    return membership.leave(paths, order)


def facts(paths: Paths, order: FactsQuery) -> Facts:
    return observing.collect(paths)


def _verb(kind: type[O], function: Callable[[Paths, O], Any]) -> Callable[[bytes], Any]:
    def verb(stdin: bytes) -> Any:
        try:
            order = msgspec.json.decode(stdin, type=kind)
        except msgspec.DecodeError as error:
            raise NodeError(
                f"the request is not a valid {kind.__name__}: {error}",
                hint="controller and node must run the same wire version; run `hsorch plan`",
                code="HS606",
            ) from error
        return function(Paths(order.cluster), order)

    return verb


VERBS: dict[str, Callable[[bytes], Any]] = {
    "facts": _verb(FactsQuery, facts),
    "lock": _verb(TakeLock, locking.take),
    "unlock": _verb(ReleaseLock, locking.release),
    "enroll": _verb(Enroll, membership.enroll),
    "certificate": _verb(ShowCertificate, channel.show),
    "pin": _verb(Pin, channel.pin),
    "stage": _verb(Stage, membership.stage),
    "commit": _verb(Commit, membership.commit),
    "abort": _verb(Abort, membership.abort),
    "service": _verb(Service, run_service),
    "reload": _verb(Reload, reload),
    "leave": _verb(Leave, leave),
}
