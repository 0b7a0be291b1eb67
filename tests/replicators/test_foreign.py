"""The standby notices what others change below its bound folders, and nothing else."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsorch.errors import NodeError
from hsorch.node.replication import foreign
from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.foreign import Change, Sentry
from hsorch.node.replication.holders import refuse_holders
from tests.replicators.nodes import until

pytestmark = pytest.mark.lab


@pytest.fixture
def seen(tmp_path: Path) -> list[Change]:
    (tmp_path / "data" / "inner").mkdir(parents=True)
    return []


@pytest.fixture(autouse=True)
def sentry(seen: list[Change], tmp_path: Path) -> Iterator[Sentry]:
    binding = Binding(path=str(tmp_path / "data"), kind="ordered", exclude=("*.pid",))
    sentry = Sentry([binding], seen.append, again_s=0.05)
    if sentry.reason:
        sentry.stop()
        pytest.skip(f"fanotify is not allowed here: {sentry.reason}")
    yield sentry
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


def test_a_finding_that_cannot_be_noted_is_told_and_noted_later(tmp_path: Path) -> None:
    disk_is_full, noted = threading.Event(), list[Change]()
    disk_is_full.set()

    def note(change: Change) -> None:
        if disk_is_full.is_set():
            raise OSError(errno.ENOSPC, "no space left")
        noted.append(change)

    sentry = Sentry([Binding(path=str(tmp_path / "data"), kind="ordered")], note, again_s=0.05)
    try:
        other('echo 1 > "$1/first"', tmp_path / "data")
        until(lambda: "no space left" in sentry.reason)
        disk_is_full.clear()
        until(lambda: paths(noted, tmp_path / "data") == {"first"})
        until(lambda: sentry.reason == "")
        other('echo 1 > "$1/second"', tmp_path / "data")
        until(lambda: "second" in paths(noted, tmp_path / "data"))
    finally:
        sentry.stop()


def test_more_findings_than_are_kept_are_called_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreign, "_MOST", 1)
    disk_is_full = threading.Event()
    disk_is_full.set()

    def note(change: Change) -> None:
        if disk_is_full.is_set():
            raise OSError(errno.ENOSPC, "no space left")

    sentry = Sentry([Binding(path=str(tmp_path / "data"), kind="ordered")], note, again_s=0.05)
    try:
        other('echo 1 > "$1/first"', tmp_path / "data")
        until(lambda: "no space left" in sentry.reason)
        other('echo 1 > "$1/second"', tmp_path / "data")
        until(lambda: bool(sentry._missed))
        disk_is_full.clear()
        until(lambda: "more was found" in sentry.reason)
    finally:
        sentry.stop()


def test_what_could_not_be_read_may_have_been_missed_and_stays_told(
    sentry: Sentry, seen: list[Change], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on all the same."""
    with monkeypatch.context() as odd:
        odd.setattr(Sentry, "_foreign", lambda self, data: struct.unpack("Q", b""))
        other('echo 1 > "$1/missed"', tmp_path / "data")
        until(lambda: "unpack" in sentry.reason)
    other('echo 1 > "$1/noticed"', tmp_path / "data")
    until(lambda: "noticed" in paths(seen, tmp_path / "data"))
    assert "unpack" in sentry.reason


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
