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
        return Note(wait_until_it_answers(call, resource.check))

    def stop(self, call: Call, resource: Probe) -> Note:
        return Note("nothing to stop")

    kill = stop

    def check(self, call: Call, resource: Probe) -> Note:
        return Note(checks.perform(call, resource.check))


def wait_until_it_answers(call: Call, check: Check) -> str:
    """Try again and again. Raises TimeLimitError with the last reason, OvertakenError.

    A tenth of the time is left over: whoever started what does not answer has to end it within the limit.
    """
    call = replace(call, deadline=Deadline.after(call.deadline.left() * 0.9))
    while True:
        try:
            return checks.perform(call, check)
        except TimeLimitError:
            raise
        except NodeError as error:
            if call.deadline.left() <= _BETWEEN_TRIES_S:
                raise call.ran_out(error.message, error.detail) from error
        with call.effect():
            pass
        time.sleep(_BETWEEN_TRIES_S)
