"""Which tests may run beside each other, and what ends with each.

A pair of nodes measures time: two pairs on one machine would measure each other. So what is in tests/lab runs
in one process, one after the other, and all the rest beside it: there, too, the many first applies that
are killed, which take as long as they take.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from hsorch.node.replication.journal import Journal
from hsorch.node.replication.tree import Tree

APPLY = "tests/lab/test_apply.py"


class OnePairAtATime(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(APPLY):
            return APPLY
        return "lab" if nodeid.startswith("tests/lab/") else nodeid


def pytest_configure() -> None:
    """What most systems allow: so nothing here needs more, and no test may leave files open for the next."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    usual = 1024 if hard == resource.RLIM_INFINITY else min(1024, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (usual, hard))


@pytest.fixture(autouse=True)
def _closes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A journal and a folder of a node stay open for as long as it runs: here, until its test ends."""
    opened: list[Tree | Journal] = []

    def noted(plain: Any) -> Any:
        def init(one: Tree | Journal, *args: Any, **fields: Any) -> None:
            plain(one, *args, **fields)
            opened.append(one)

        return init

    for kind in (Tree, Journal):
        monkeypatch.setattr(kind, "__init__", noted(kind.__init__))
    yield
    for one in opened:
        one.close()


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    return OnePairAtATime(config, log)
