"""Apply a plan: note it in the journal, carry its steps out, forget it when all is done."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping

from hsorch.errors import HsorchError
from hsorch.plan.actor import actor
from hsorch.plan.deed import Site
from hsorch.plan.deeds import deeds
from hsorch.plan.enrolment import Enrolment
from hsorch.plan.execute import execute
from hsorch.plan.journal import Journal, Pending
from hsorch.plan.model import Plan
from hsorch.plan.progress import Emit
from hsorch.plan.runtime import Runtime
from hsorch.transport.base import Transport


def run(
    plan: Plan,
    transports: Mapping[str, Transport],
    runtime: Runtime,
    journal: Journal,
    emit: Emit,
    stop: threading.Event,
    *,
    create_lab: Callable[[], None],
    pending: Pending | None = None,
    break_lock: str = "",
) -> None:
    """pending: an earlier apply that stopped half way; this one goes on under its id, which opens its locks.

    Raises what execute raises, and HsorchError HS402 for a plan with errors.
    """
    require_sound(plan)
    operation = pending.id if pending else secrets.token_hex(8)
    journal.opening(operation, plan)
    site = Site(
        plan=plan,
        transports=transports,
        runtime=runtime,
        operation=operation,
        owner=actor(),
        create_lab=create_lab,
        enrolment=Enrolment(plan.cluster, transports),
        break_lock=break_lock,
    )
    execute(operation, plan.cluster, plan.steps, deeds(site), journal, emit, stop)
    journal.complete()


def require_sound(plan: Plan) -> None:
    """Raises HsorchError HS402 for a plan with errors."""
    if plan.errors:
        count = len(plan.errors)
        raise HsorchError(
            f"{count} problem{'s stand' if count != 1 else ' stands'} in the way; nothing was changed",
            hint="solve what is listed, then apply again",
            detail="\n".join(f"{p.code} {p.message}; {p.hint}" for p in plan.errors),
            code="HS402",
        )
