"""What tests of replicator processes share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a short name: the door of a process lies below it, and the path of a socket holds 107 bytes."""
    return tmp_path_factory.mktemp("r")
