"""The standby notices what others change below its bound folders, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsorch.errors import NodeError
from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.foreign import Change, Sentry
from hsorch.node.replication.holders import refuse_holders
from tests.replicators.nodes import until

pytestmark = pytest.mark.lab


@pytest.fixture
def seen(tmp_path: Path) -> Iterator[list[Change]]:
    (tmp_path / "data" / "inner").mkdir(parents=True)
    found: list[Change] = []
    binding = Binding(path=str(tmp_path / "data"), kind="ordered", exclude=("*.pid",))
    sentry = Sentry([binding], found.append)
    if sentry.reason:
        sentry.stop()
        pytest.skip(f"fanotify is not allowed here: {sentry.reason}")
    yield found
    sentry.stop()


def other(script: str, *arguments: Path) -> None:
    """Another process than the replicator."""
    subprocess.run(["sh", "-c", script, "sh", *map(str, arguments)], check=True)


def paths(seen: list[Change], folder: Path) -> set[str]:
    return {os.path.relpath(change.path, folder) for change in seen}


def test_a_write_of_another_program_is_named(seen: list[Change], tmp_path: Path) -> None:
    other('echo changed >> "$1"', tmp_path / "data" / "inner" / "file")
    until(lambda: paths(seen, tmp_path / "data") >= {"inner/file"})


def test_each_way_to_change_a_name_is_noticed(seen: list[Change], tmp_path: Path) -> None:
    data = tmp_path / "data"
    other('mkdir "$1/new" && touch "$1/a" && mv "$1/a" "$1/b" && rm "$1/b" && rmdir "$1/new"', data)
    until(lambda: paths(seen, data) >= {"new", "a", "b"})


def test_own_writes_and_what_is_not_replicated_are_nobodys_business(
    seen: list[Change], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    for number in range(100):
        (data / f"{number}").write_bytes(b"by this very process")
        (data / f"{number}").unlink()
    other('echo 1 > "$1/app.pid"; echo 2 > "$2/elsewhere"', data, tmp_path)
    other('echo 3 > "$1/last"', data)
    until(lambda: "last" in paths(seen, data))
    assert paths(seen, data) == {"last"}


def test_who_holds_a_file_open_for_writing_is_named(tmp_path: Path) -> None:
    file = tmp_path / "table"
    file.write_bytes(b"x")
    refuse_holders([str(tmp_path)])
    for mode, held in (("rb", False), ("r+b", True)):
        script = "import sys, time; f = open(sys.argv[1], sys.argv[2]); print(flush=True); time.sleep(60)"
        holder = subprocess.Popen([sys.executable, "-c", script, file, mode], stdout=subprocess.PIPE)
        try:
            assert holder.stdout is not None
            holder.stdout.readline()
            if held:
                with pytest.raises(NodeError, match=rf"\(pid {holder.pid}\) holds {file}"):
                    refuse_holders([str(tmp_path)])
            else:
                refuse_holders([str(tmp_path)])
        finally:
            holder.kill()
            holder.wait()
