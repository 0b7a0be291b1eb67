"""A name from a command line or an order becomes a folder that is removed later: nothing but a name may."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hsorch.errors import LabError, NodeError
from hsorch.lab import lifecycle
from hsorch.node.paths import Paths

NO_NAMES = ("", ".", "..", "../..", "../../x", "/", "/x", "a/b", "a/../..", "a\0", "a\n", "-a", "x" * 64)


@pytest.fixture(autouse=True)
def nothing_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *args: object, **kwargs: object) -> None:
        pytest.fail(f"{path} would be removed")

    monkeypatch.setattr(shutil, "rmtree", refuse)


@pytest.mark.parametrize("name", NO_NAMES)
def test_a_lab_is_taken_down_by_its_name_only(name: str) -> None:
    with pytest.raises(LabError):
        lifecycle.down(name)


@pytest.mark.parametrize("name", NO_NAMES)
def test_a_node_keeps_its_files_under_a_name_only(name: str) -> None:
    with pytest.raises(NodeError):
        Paths(name)
