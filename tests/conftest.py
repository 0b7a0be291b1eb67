"""Which tests may run beside each other.

A pair of nodes measures time: two pairs on one machine would measure each other. So everything in tests/lab
runs in one process, one after the other, and all the rest in the other.
"""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadScopeScheduling


class OnePairAtATime(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return "lab" if nodeid.startswith("tests/lab/") else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    return OnePairAtATime(config, log)
