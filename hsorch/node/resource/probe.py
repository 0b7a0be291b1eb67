"""A health check as a resource: starting it waits until the check passes, stopping it is nothing."""

from __future__ import annotations

import time
from dataclasses import replace

from hsorch.errors import NodeError
from hsorch.node.resource import checks
from hsorch.node.resource.call import Call, Note, TimeLimitError
from hsorch.node.system.base import Deadline
from hsorch.spec import Check, Probe

_BETWEEN_TRIES_S = 0.05


class ProbeKind:
    """Implements hsorch.node.resource.call.Kind for Probe."""

    def start(self, call: Call, resource: Probe) -> Note:
        return Note(wait_until_it_answers(call, resource.check, resource.check_limit_ms))

    def stop(self, call: Call, resource: Probe) -> Note:
        return Note("nothing to stop")

    kill = stop

    def check(self, call: Call, resource: Probe) -> Note:
        return Note(checks.perform(call, resource.check))


def wait_until_it_answers(call: Call, check: Check, limit_ms: int) -> str:
    """Try again and again, each try within limit_ms. Raises TimeLimitError (with the reason), OvertakenError.

    A tenth of the time is left over: whoever started what does not answer has to end it within the limit.
    """
    ends = Deadline.after(call.deadline.left() * 0.9)
    reason: NodeError | None = None
    while True:
        single = Deadline(min(ends.at, Deadline.after(limit_ms / 1000).at))
        try:
            return checks.perform(replace(call, deadline=single), check)
        except NodeError as error:
            over = ends.left() <= _BETWEEN_TRIES_S
            # A last try that was merely cut short does not hide why the earlier ones failed.
            if reason is None or not (over and isinstance(error, TimeLimitError)):
                reason = error
            if over:
                raise call.ran_out(f"waiting, because {reason.message},", reason.detail) from reason
        with call.effect():
            pass
        time.sleep(_BETWEEN_TRIES_S)
