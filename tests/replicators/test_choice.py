"""Two replicators that both went on alone: surveyed, decided, and the loser's own data kept."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hsorch.node.replication.quarantine import Quarantine
from tests.replicators.members import Member, count, free_port, protected, rows, until
from tests.replicators.world import picture

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]


@pytest.fixture
def parted(tmp_path: Path) -> Iterator[tuple[Member, Member]]:
    """a and b had the same 20 rows; each went on alone and wrote 10 of its own. b is the source now."""
    a, b = Member(tmp_path, "a", "127.0.0.1"), Member(tmp_path, "b", "127.0.0.1")
    port = free_port()
    a.enroll(b, "durable", port)
    b.enroll(a, "durable", port)
    try:
        a.start()
        b.start()
        (a.data / "untouched").write_bytes(b"the same on both" * 5_000)
        b.ask("role", role="target")
        a.ask("role", role="source")
        until(lambda: protected(a, b))
        assert count(a, 0, 20).wait(60) == 0
        b.ask("role", role="source", alone=True)
        until(lambda: not a.ask("status").get("connected"))
        a.ask("thaw")
        assert count(a, 100, 110).wait(60) == 0
        assert count(b, 200, 210).wait(60) == 0
        a.ask("role", role="target", force=True)
        yield a, b
    finally:
        a.end()
        b.end()


def surveys(a: Member, b: Member) -> tuple[dict[str, Any], dict[str, Any]]:
    mine, theirs = a.ask("survey")["lineage"], b.ask("survey")["lineage"]
    return a.ask("survey", theirs=theirs), b.ask("survey", theirs=mine)


def test_nothing_flows_until_somebody_chooses(parted: tuple[Member, Member]) -> None:
    a, b = parted
    until(lambda: b.ask("status").get("refused") == "HS690")
    assert rows(a.data) == [*range(20), *range(100, 110)]
    assert rows(b.data) == [*range(20), *range(200, 210)]


def test_a_survey_names_what_each_side_alone_wrote(parted: tuple[Member, Member]) -> None:
    a, b = parted
    for found in surveys(a, b):
        assert found["meeting"] == "diverged"
        assert found.get("exact", True)
        names = [Path(base64.b64decode(file["path"]).decode()).name for file in found["listed"]]
        assert "app.db" in names
        assert "untouched" not in names


def test_a_choice_while_nothing_runs_counts_at_the_next_start(parted: tuple[Member, Member]) -> None:
    a, b = parted
    b.ask("role", role="none", force=True)
    assert [found["meeting"] for found in surveys(a, b)] == ["diverged", "diverged"]
    a.ask("choose", winner=b.ask("choose")["lineage"])
    b.ask("role", role="source")
    until(lambda: protected(b, a))
    assert b.ask("drain", limit_s=30)["ok"]
    assert rows(a.data) == [*range(20), *range(200, 210)]


def test_the_choice_makes_both_equal_and_keeps_what_the_loser_wrote(
    parted: tuple[Member, Member], tmp_path: Path
) -> None:
    a, b = parted
    lineage = b.ask("choose")["lineage"]
    a.ask("choose", winner=lineage)
    until(lambda: protected(b, a))
    assert b.ask("drain", limit_s=30)["ok"]
    assert picture(a.data) == picture(b.data)
    assert rows(a.data) == [*range(20), *range(200, 210)]
    kept = Quarantine(a.places.quarantine, 0)
    (incident,) = kept.incidents()
    restored = kept.restore(incident.about.incident, tmp_path / "back")
    # What was deleted while it was open, and then cut from its mount, lies on under a name of FUSE's.
    restored = [path for path in restored if not path.name.startswith(".fuse_hidden")]
    assert [path.name for path in restored] == ["app.db"], "the file that differed, and no other"
    assert rows(restored[0].parent) == [*range(20), *range(100, 110)]
