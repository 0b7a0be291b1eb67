"""A mirror of a tree in which names and contents change while it is read."""

from __future__ import annotations

import os
import random
import shutil
import threading
from pathlib import Path

import pytest

from hsorch.node.replication import entries, mirror
from hsorch.node.replication.entries import Entry
from tests.unit.replication.mirrors import Trees


def test_a_mirror_while_the_tree_changes_leaves_no_harm(trees: Trees) -> None:
    """Renames, writes and deletions under way; a quiet mirror afterwards makes both equal."""
    for n in range(400):
        (trees.here / f"{n}").write_bytes(os.urandom(3000))
    stop = threading.Event()

    def churn() -> None:
        rng = random.Random(1)
        while not stop.is_set():
            a, b = (trees.here / str(rng.randrange(400)) for _ in range(2))
            try:
                match rng.randrange(4):
                    case 0:
                        a.rename(b)
                    case 1:
                        a.write_bytes(rng.randbytes(rng.randrange(500_000)))
                    case 2:
                        a.unlink()
                    case _:
                        os.link(a, b)
            except (FileNotFoundError, FileExistsError):
                continue

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(4):
            trees.mirror()
    finally:
        stop.set()
        thread.join()
    trees.mirror("content", confirmed=True)
    assert trees.equal()


def test_a_folder_that_becomes_a_file_while_it_is_listed_is_no_fault(
    trees: Trees, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, prepare = trees.here / "folder", mirror.Mirror._prepare

    def replaced(self: mirror.Mirror, entry: Entry) -> Entry:
        if entry.path.startswith(b"folder/") and folder.is_dir():
            shutil.rmtree(folder)
            folder.write_bytes(b"a file by now")
        return prepare(self, entry)

    monkeypatch.setattr(mirror.Mirror, "_prepare", replaced)
    folder.mkdir()
    (folder / "file").write_bytes(b"with two names")
    os.link(folder / "file", folder / "twin")
    trees.mirror()
    trees.mirror(confirmed=True)
    assert trees.equal()


def test_a_folder_that_goes_while_it_is_looked_at_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, attributes = tmp_path / "folder", entries.xattrs_of
    folder.mkdir()

    def goes(at: str | int) -> dict[str, bytes]:
        folder.rmdir()
        return attributes(at)

    monkeypatch.setattr(entries, "xattrs_of", goes)
    assert entries.folder_of(str(tmp_path), "folder") is None
