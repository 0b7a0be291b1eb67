"""Which tests may run beside each other.

A pair of nodes measures time: two pairs on one machine would measure each other. So what is in tests/lab runs
in one process, one after the other, and all the rest beside it: there, too, the many first applies that
are killed, which take as long as they take.
"""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadScopeScheduling

APPLY = "tests/lab/test_apply.py"


class OnePairAtATime(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(APPLY):
            return APPLY
        return "lab" if nodeid.startswith("tests/lab/") else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    return OnePairAtATime(config, log)
