"""What the pages tell a reader to type works. (The parts that need the lab: tests/lab/test_tutorial.py.)"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.docs.commands import Command, checkout, commands, run

OFFLINE = [command for page in ("README.md", "docs/tutorial.md") for command in commands(page) if not command.lab]


def test_the_pages_have_commands_to_run() -> None:
    assert any(command.lab for command in commands("docs/tutorial.md"))
    assert OFFLINE


@pytest.mark.parametrize("command", OFFLINE, ids=lambda command: command.text)
def test_a_command_that_needs_no_lab_works(command: Command, tmp_path: Path) -> None:
    done = run(command, checkout(tmp_path, "docs-pages"))
    assert done.returncode == 0, done.stdout + done.stderr
