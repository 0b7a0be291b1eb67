"""Two nodes' watched folders can be compared page by page, whatever lies in them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.listing import order, page

names = st.lists(st.sampled_from(["a", "a-", "a.b", "b", "ab", "é"]), min_size=1, max_size=4)


def watched(folder: Path, *exclude: str) -> Binding:
    return Binding(path=str(folder), kind="watched", exclude=exclude)


def paths(bindings: list[Binding], limit: int) -> list[bytes]:
    """All pages, one after the other."""
    found: list[bytes] = []
    while True:
        got = page(bindings, found[-1] if found else b"", limit)
        found += [file.path for file in got.files]
        if not got.more:
            return found


@settings(max_examples=60, deadline=None)
@given(trees=st.lists(names, max_size=12), limit=st.integers(1, 5))
def test_pages_hold_every_file_once_and_in_order(
    trees: list[list[str]], limit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("tree")
    for name in ("one", "two-", "two"):
        (root / name).mkdir()
        for parts in trees:
            place = root / name / "/".join(parts)
            if not place.exists() and all(not p.is_file() for p in place.parents):
                place.parent.mkdir(parents=True, exist_ok=True)
                place.touch()
    wanted = sorted((os.fsencode(p) for p in root.rglob("*") if p.is_file()), key=order)
    bindings = [watched(root / name) for name in ("two-", "one", "two")]
    assert paths(bindings, limit) == wanted


def test_what_is_not_replicated_is_not_listed(tmp_path: Path) -> None:
    (tmp_path / "kept.jpg").write_text("x")
    (tmp_path / "left.tmp").write_text("x")
    (tmp_path / "link").symlink_to("kept.jpg")
    (file,) = page([watched(tmp_path, "*.tmp")], b"").files
    assert (os.fsdecode(file.path), file.size) == (f"{tmp_path}/kept.jpg", 1)
