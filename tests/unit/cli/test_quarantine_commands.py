"""What a resync put away: an operator looks at it, gets it back, lets it go. A pair in memory."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hsorch.errors import ExitCode
from tests.unit.cli.data_pair import Holdings, file


@pytest.fixture
def kept(held: Holdings, tmp_path: Path) -> Holdings:
    root = tmp_path / "data"
    (root / "sub").mkdir(parents=True)
    (root / "book").write_bytes(b"only b had this")
    (root / "sub" / "page").write_bytes(b"and this")
    for name in ("book", "sub/page"):
        os.utime(root / name, ns=(0, file("", 0, 9).mtime_ns))
    held.keep("b", "choice-1", root, "book", "sub/page")
    return held


def test_the_quarantine_is_listed_and_shown(hsorch, kept: Holdings) -> None:
    (line,) = hsorch("quarantine", "list").out.splitlines()[1:]
    assert line.split()[:4] == ["choice-1", "b", "2026-01-31T08:00:01.000Z", "2"]
    assert "select-source a" in line
    assert "sub/page" in hsorch("quarantine", "show", "choice-1").out
    value = json.loads(hsorch("quarantine", "list", "--format", "json").out)
    assert value["nodes"]["b"][0]["files"] == 2
    assert value["nodes"]["a"] == []


def test_an_empty_quarantine_says_so(hsorch, held: Holdings) -> None:
    assert hsorch("quarantine", "list").out == "Nothing is kept in the quarantine of a and b.\n"


def test_nothing_is_said_of_a_quarantine_that_cannot_be_asked(hsorch, held: Holdings) -> None:
    for node in ("a", "b"):
        held.pair.lose(node)
    ran = hsorch("quarantine", "list")
    assert (ran.code, ran.out) == (ExitCode.ERROR, "")
    assert "a can't be asked: [HS501]" in ran.err


def test_what_was_kept_comes_back_into_a_new_folder_only(hsorch, kept: Holdings, tmp_path: Path) -> None:
    back = tmp_path / "back"
    ran = hsorch("quarantine", "restore", "choice-1", "--to", str(back))
    assert ran.out == f"b: 2 files restored to {back}\n"
    assert [p.read_bytes() for p in back.rglob("book")] == [b"only b had this"]
    again = hsorch("quarantine", "restore", "choice-1", "--to", str(back))
    assert again.code == ExitCode.ERROR
    assert "HS693" in again.err


def test_dropping_shows_what_goes_and_wants_the_clusters_name(hsorch, kept: Holdings) -> None:
    ran = hsorch("quarantine", "drop", "choice-1")
    assert ran.code == ExitCode.REFUSED
    assert "sub/page" in ran.err
    assert hsorch("quarantine", "drop", "choice-1", "--yes").code == ExitCode.USAGE
    assert hsorch("quarantine", "drop", "choice-1", "--confirm", "plant-7").code == ExitCode.OK
    assert kept.nodes["b"].quarantine.incidents() == []


def test_the_same_name_on_both_nodes_has_to_be_told_apart(hsorch, kept: Holdings, tmp_path: Path) -> None:
    kept.keep("a", "choice-1", tmp_path / "data", "book")
    ran = hsorch("quarantine", "show", "choice-1")
    assert ran.code == ExitCode.USAGE
    assert "--node a" in ran.err
    assert "a keeps choice-1" in hsorch("quarantine", "show", "choice-1", "--node", "a").out


def test_a_list_is_shown_also_when_one_node_is_silent(hsorch, kept: Holdings) -> None:
    kept.pair.lose("a")
    ran = hsorch("quarantine", "list")
    assert ran.code == ExitCode.ERROR
    assert "choice-1" in ran.out
    assert "a can't be asked: [HS501]" in ran.err
