"""An ordered folder of the active was emptied past its replicator, or made anew: the standby keeps all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsorch.node.replication.meta import MetaFile
from tests.replicators.nodes import Node, Pair, kept, pair_of, until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]
TABLES = "tables"
MANY = 40


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with pair_of(tmp_path, (TABLES,)) as made:
        made.bind(made.ordered(TABLES))
        made.start()
        yield made


def fill(node: Node, count: int) -> None:
    for n in range(count):
        (node.folders[TABLES] / f"table {n}").write_bytes(b"%d" % n * 100)


def names(node: Node) -> set[str]:
    return {path.name for path in node.folders[TABLES].iterdir()}


def lose_power(node: Node) -> None:
    """What the disk has lost is not known: both sides are compared when they meet."""
    node.kill()
    MetaFile(node.places.meta).change(boot="another")


def empty(node: Node) -> None:
    for path in node.folders[TABLES].iterdir():
        path.unlink()


@pytest.mark.parametrize("count", [3, MANY])
def test_an_emptied_folder_does_not_empty_the_standby(pair: Pair, count: int) -> None:
    a, b = pair.a, pair.b
    fill(a, count)
    pair.bring_in(a, b)
    before = names(b)
    lose_power(a)
    empty(a)
    a.start()
    a.ask("role", role="source")
    until(lambda: "HS634" in a.troubles())
    assert a.held(TABLES) == count
    assert not a.ask("status")["level"], "no switch, and the pair is not protected"
    pair.write(a, "tables/new", "the application goes on")
    a.kill()
    a.start()
    a.ask("role", role="source")
    until(lambda: "HS634" in a.troubles())
    assert names(b) == before
    assert b.ask("status")["consistent"], "an operator may let the standby take over instead"

    a.ask("confirm", path=pair.ordered(TABLES).path)
    until(lambda: bool(a.ask("status")["level"]) and names(b) == {"new"})
    assert a.troubles() == set()


def test_a_verify_of_an_emptied_folder_deletes_nothing_either(pair: Pair) -> None:
    a, b = pair.a, pair.b
    fill(a, MANY)
    pair.bring_in(a, b)
    before = names(b)
    a.kill()
    empty(a)
    a.start()
    a.ask("role", role="source")
    until(lambda: bool(a.ask("status")["level"]))
    a.ask("verify")
    until(lambda: "HS634" in a.troubles())
    pair.write(a, "tables/new", "replicated all the while")
    until(lambda: names(b) == before | {"new"})
    a.ask("confirm")
    until(lambda: names(b) == {"new"})
    until(lambda: a.troubles() == set())


def test_what_the_application_deletes_is_meant(pair: Pair) -> None:
    """Each deletion is an operation of the application, in its order."""
    a, b = pair.a, pair.b
    fill(a, MANY)
    pair.bring_in(a, b)
    assert a.run("find", pair.ordered(TABLES).path, "-type", "f", "-delete").returncode == 0
    until(lambda: names(b) == set())
    assert a.troubles() == set()


def test_a_folder_that_was_made_anew_is_no_source(pair: Pair) -> None:
    """As after a format: whatever lies there now, it is not the folder that was brought in."""
    a, b = pair.a, pair.b
    fill(a, 3)
    pair.bring_in(a, b)
    before = names(b)
    a.kill()
    own = a.folders[TABLES]
    shutil.rmtree(own)
    own.mkdir()
    a.start()
    refused = a.request("role", role="source")
    assert (refused["ok"], refused["code"]) == (False, "HS674")
    assert names(b) == before
    assert kept(b) == set()
