"""A reader who types the tutorial from top to bottom gets what it promises, and leaves nothing behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsorch.transport.lab import read_state
from tests.unit.docs.commands import Command, checkout, commands, run

CLUSTER = f"tut-{os.getpid()}"


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Path]:
    """The folder in which the reader types. Whatever happens, the lab is gone at the end."""
    yield checkout(tmp_path, CLUSTER)
    run(Command(f"hsorch lab down {CLUSTER}", lab=True), tmp_path)


@pytest.mark.lab
@pytest.mark.usefixtures("lab_allowed")
@pytest.mark.timeout(300)
def test_the_commands_about_data_work_on_a_healthy_pair(reader: Path) -> None:
    name = f"{CLUSTER}-data"
    manifest = reader / "examples" / "lab" / "replicated.yaml"
    manifest.write_text(manifest.read_text().replace("cluster: replicated", f"cluster: {name}"))
    try:
        for command in commands("docs/data-operations.md"):
            text = command.text.replace("lab down replicated", f"lab down {name}")
            typed = Command(text.replace("--confirm replicated", f"--confirm {name}"), command.lab)
            done = run(typed, reader)
            assert done.returncode == 0, f"$ {typed.text}\n{done.stdout}{done.stderr}"
    finally:
        run(Command(f"hsorch lab down {name}", lab=True), reader)
    assert read_state(name) is None


@pytest.mark.lab
@pytest.mark.usefixtures("lab_allowed")
def test_the_tutorial_works_from_top_to_bottom(reader: Path) -> None:
    environment = {f"HSORCH_LAB_{verb}_CLUSTER": CLUSTER for verb in ("PROBE", "FAULT", "HEAL")}
    for command in commands("docs/tutorial.md"):
        typed = Command(command.text.replace("lab down demo", f"lab down {CLUSTER}"), command.lab)
        done = run(typed, reader, **environment)
        assert done.returncode == 0, f"$ {typed.text}\n{done.stdout}{done.stderr}"
    assert read_state(CLUSTER) is None
