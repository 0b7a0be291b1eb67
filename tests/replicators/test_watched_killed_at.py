"""Each side of a watched folder killed at each step: mirror, rescan, live changes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsorch.node.replication.bindings import STAGING
from tests.replicators.killed_at import Moment
from tests.replicators.moments import moments
from tests.replicators.nodes import Node, pair_of, until
from tests.replicators.test_killed_at import ask_the_doomed
from tests.unit.replication.mirrors import picture

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]
PICTURES = "pictures"
LARGE = 6_000_000

SENDING = moments(
    "mirror:Mirror.run before 1",
    "mirror:Mirror._prepare before 40",
    "sender:Sender.flush before 2",
    "sender:Sender.flush after 2",
    "sender:Sender._send_range after 1",
    "mirror:Mirror._finish before 1",
    "mirror:Mirror._finish after 1",
)
TELLING = moments(
    "watched.live:Live.send before 1",
    "watched.live:Live._contents before 1",
    "watched.live:Live._contents after 1",
    "watched.live:Live._mark before 1",
    "watched.live:Live.send after 1",
)
TAKING = moments(
    "landing:Landing._judge before 30",
    "landing:Landing._unpack before 1",
    "placing:write_at half 5",
    "placing:Placer._file before 4",
    "placing:Placer._file after 5",
    "partial:Partials.write half 3",
    "partial:Partials.write after 4",
    "landing:Landing._finish before 1",
    "landing:Landing._finish after 1",
    "placing:Placer.twin before 1",
    "landing:Landing._mark before 1",
    "bound:Bound.change before 1",
    "bound:Bound.change after 1",
)
TAKING_CHANGES = moments(
    "landing:Landing._unpack before 1",
    "placing:Placer.put before 1",
    "placing:Placer.put after 1",
    "landing:Landing._delete before 1",
    "landing:Landing._delete after 1",
    "landing:Landing._dress_folder before 1",
    "landing:Landing._mark before 1",
)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Node, Node]]:
    with pair_of(tmp_path, (PICTURES,)) as made:
        made.bind(made.watched(PICTURES))
        fill(made.a.folders[PICTURES])
        (made.b.folders[PICTURES] / "only b had this").write_bytes(b"rare")
        yield made.a, made.b


def fill(folder: Path) -> None:
    for number in range(150):
        (folder / f"f{number}").write_bytes(os.urandom(3_000))
    (folder / "large").write_bytes(os.urandom(LARGE))
    (folder / "twin").hardlink_to(folder / "f7")
    (folder / "sub").mkdir()
    (folder / "sub/inner").write_bytes(b"inner")


def change(folder: Path) -> None:
    (folder / "f1").write_bytes(b"changed")
    (folder / "f2").unlink()
    (folder / "new").write_bytes(os.urandom(5_000))
    (folder / "f3").rename(folder / "sub/moved")
    with (folder / "large").open("r+b") as file:
        file.seek(LARGE // 2)
        file.write(b"changed")


def comes_back(node: Node, role: str) -> None:
    node.start()
    node.ask("role", role=role)


def settled(a: Node, b: Node) -> None:
    until(lambda: a.binding(PICTURES)["state"] == "live" and bool(b.ask("status").get("consistent")))
    assert a.ask("drain", limit_s=40)["ok"]
    assert picture(a.folders[PICTURES]) == picture(b.folders[PICTURES])
    assert list((b.folders[PICTURES] / STAGING).iterdir()) == [], "nothing half done is left"
    kept = [path.read_bytes() for path in b.places.quarantine.rglob("*") if path.name.isdigit()]
    assert b"rare" in kept, "what only the standby had is kept"


@pytest.mark.parametrize("moment", SENDING, ids=str)
def test_a_source_that_died_in_the_mirror_ends_it(pair: tuple[Node, Node], moment: Moment) -> None:
    a, b = pair
    a.start(dies_at=moment)
    b.start()
    b.ask("role", role="target")
    a.arm()
    ask_the_doomed(a, "role", role="source")
    until(a.died)
    comes_back(a, "source")
    settled(a, b)


@pytest.mark.parametrize("moment", TAKING, ids=str)
def test_a_standby_that_died_in_the_mirror_ends_it(pair: tuple[Node, Node], moment: Moment) -> None:
    a, b = pair
    a.start()
    b.start(dies_at=moment)
    b.ask("role", role="target")
    b.arm()
    a.ask("role", role="source")
    until(b.died)
    comes_back(b, "target")
    settled(a, b)


@pytest.mark.parametrize("moment", TELLING, ids=str)
def test_a_source_that_died_telling_of_changes_finds_them_again(
    pair: tuple[Node, Node], moment: Moment
) -> None:
    a, b = pair
    a.start(dies_at=moment)
    b.start()
    b.ask("role", role="target")
    a.ask("role", role="source")
    settled(a, b)
    a.arm()
    change(a.folders[PICTURES])
    until(a.died)
    comes_back(a, "source")
    settled(a, b)


@pytest.mark.parametrize("moment", TAKING_CHANGES, ids=str)
def test_a_standby_that_died_taking_changes_gets_them_again(pair: tuple[Node, Node], moment: Moment) -> None:
    a, b = pair
    a.start()
    b.start(dies_at=moment)
    b.ask("role", role="target")
    a.ask("role", role="source")
    settled(a, b)
    b.arm()
    change(a.folders[PICTURES])
    until(b.died)
    comes_back(b, "target")
    settled(a, b)
