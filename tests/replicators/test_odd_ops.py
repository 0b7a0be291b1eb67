"""What few applications do arrives as well, or is refused with the kernel's own word: never half of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.replicators import odd_ops
from tests.replicators.world import Active, picture, replay

pytestmark = [pytest.mark.lab, pytest.mark.timeout(150)]
REFUSED = {
    "too_long_name": "ENAMETOOLONG",
    "rename_over_a_full_folder": "ENOTEMPTY",
    "exchanged": "EINVAL",
    "renamed_only_if_free": "EEXIST",
    "links_in_over_the_edge": "EXDEV",
    "in_under_a_second_name": "EXDEV",
    "temporary_without_a_name": "ENOTSUP",
    "allocated_with_mode_8": "ENOTSUP",
    "allocated_with_mode_32": "ENOTSUP",
}
"""As on any file system, or told so that the application takes its other way."""


def test_odd_deeds_leave_two_equal_trees(tmp_path: Path) -> None:
    with Active(tmp_path / "a", exclude=("*.tmp",)) as active:
        argv = [sys.executable, odd_ops.__file__, str(active.data)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        assert active.faults == []
    said = dict(line.split() for line in done.stdout.splitlines())
    assert {name: word for name, word in said.items() if word != "done"} == REFUSED
    replay(active.journal, tmp_path / "b", exclude=("*.tmp",))
    here, there = shown(active.tree.folder), shown(tmp_path / "b")
    assert set(here) == set(there)
    assert {name: here[name] for name in here if here[name] != there[name]} == {}
    huge = tmp_path / "b/huge_and_sparse/huge"
    assert huge.stat().st_size == 200 * odd_ops.GIB
    assert huge.stat().st_blocks < 1_000


def shown(root: Path) -> dict[str, tuple[object, ...]]:
    """What is replicated, and must be equal; of the huge file its three islands."""
    huge = root / "huge_and_sparse/huge"
    with huge.open("rb") as file:
        islands = [os.pread(file.fileno(), 7, at) for at in (0, 77 * odd_ops.GIB + 13, 200 * odd_ops.GIB - 7)]
    size = huge.stat().st_size
    aside = huge.rename(root.parent / f"huge-{root.name}")
    try:
        found = picture(root)
    finally:
        aside.rename(huge)
    found["huge"] = (*islands, size)
    return {name: _alone(name, what) for name, what in found.items() if not name.endswith(".tmp")}


def _alone(name: str, what: tuple[object, ...]) -> tuple[object, ...]:
    """A file whose other names are not replicated has only this one."""
    return tuple("" if part == name else part for part in what)
