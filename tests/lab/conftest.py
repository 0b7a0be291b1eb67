"""Worlds of the lab tests. A machine that allows no lab skips them and says why; CI as root must allow it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsorch.errors import LabError
from hsorch.lab import lifecycle
from hsorch.manifest.load import load
from hsorch.plan.spec import compile_spec
from tests.lab.world import Lab, Pair, applied, copy_example, fresh_name

FORBIDDEN = ("HS802", "HS809")
"""The kernel forbids a lab; a program is missing."""


@pytest.fixture(scope="session")
def lab_allowed(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Make one lab to see whether this machine allows it."""
    try:
        made = start_lab(tmp_path_factory.mktemp("probe"))
    except LabError as error:
        if error.code not in FORBIDDEN or (os.environ.get("CI") and os.geteuid() == 0):
            raise
        pytest.skip(f"no lab on this machine: {error.message}; {error.hint}")
    lifecycle.down(made.cluster)


@pytest.fixture(scope="module")
def lab(lab_allowed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two nodes, a client and a witness that know nothing of hsorch yet."""
    made = start_lab(tmp_path_factory.mktemp("lab"))
    yield made
    lifecycle.down(made.cluster)


@pytest.fixture(scope="module")
def pair(lab_allowed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """The example pair, applied and protected, default timing."""
    yield from applied(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module")
def fast_pair(lab_allowed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """The same with the fast timing."""
    yield from applied(tmp_path_factory.mktemp("pair"), example="fast.yaml")


def start_lab(folder: Path) -> Lab:
    name = fresh_name()
    manifest = copy_example(folder, name)
    cluster = load(manifest).cluster
    assert cluster is not None
    lifecycle.up(compile_spec(cluster), folder)
    return Lab(name, manifest)
