"""Fixtures of the resource tests: one node that cleans up, and fails the test that left something running."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hsorch.node.resource.fence import mark
from hsorch.node.resource.records import Records
from hsorch.node.system.base import Deadline
from tests.unit.resource.world import AMPLE_S, CLUSTER, NodeWorld


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NodeWorld]:
    world = NodeWorld(tmp_path)
    yield world
    known = [record.running for record in Records(world.paths.resources) if record.running]
    killed = world.system.processes.kill(mark(CLUSTER, world.me), known, Deadline.after(AMPLE_S))
    assert not killed.left, f"the test left processes: {killed.names()}"
