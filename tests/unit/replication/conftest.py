"""A pair of enrolled nodes: real keys, made once; and a folder on each."""

from __future__ import annotations

from pathlib import Path

import pytest

from hsorch.node.replication.tls import Keys, make_key
from tests.unit.replication.mirrors import Trees


@pytest.fixture(scope="session")
def enrolled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Keys, Keys]:
    """Keys of node a and of node b, each pinning the other."""
    home = tmp_path_factory.mktemp("keys")
    for name in ("a", "b"):
        make_key(home / f"{name}.crt", home / f"{name}.key", name)
    return (
        Keys(home / "a.crt", home / "a.key", home / "b.crt"),
        Keys(home / "b.crt", home / "b.key", home / "a.crt"),
    )


@pytest.fixture
def stranger(tmp_path: Path, enrolled: tuple[Keys, Keys]) -> Keys:
    """Somebody else who knows both certificates, but holds neither key."""
    make_key(tmp_path / "x.crt", tmp_path / "x.key", "a")
    return Keys(tmp_path / "x.crt", tmp_path / "x.key", enrolled[0].peer)


@pytest.fixture
def trees(tmp_path: Path, enrolled: tuple[Keys, Keys]) -> Trees:
    """Empty."""
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    return Trees(tmp_path / "here", tmp_path / "there", enrolled)
