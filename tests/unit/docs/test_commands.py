"""What the pages tell a reader to type works. (The parts that need the lab: tests/lab/test_tutorial.py.)"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hsorch.manifest.load import load
from tests.unit.docs.commands import ROOT, Command, checkout, commands, run

PAGES = ("README.md", "docs/tutorial.md")
OFFLINE = [command for page in PAGES for command in commands(page) if not command.lab]


def test_the_pages_have_commands_to_run() -> None:
    assert any(command.lab for command in commands("docs/tutorial.md"))
    assert OFFLINE


@pytest.mark.parametrize("command", OFFLINE, ids=lambda command: command.text)
def test_a_command_that_needs_no_lab_works(command: Command, tmp_path: Path) -> None:
    done = run(command, checkout(tmp_path, "docs-pages"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_manifest_of_the_readme_is_valid(tmp_path: Path) -> None:
    block = re.search(r"^```yaml\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert block is not None
    manifest = tmp_path / "cluster.yaml"
    manifest.write_text(block[1])
    assert load(manifest, environ={}).errors == ()
