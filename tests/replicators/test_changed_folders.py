"""The bound folders change between two bring-ins: what is new is mirrored, what is let go stays as it is.

Two replicator processes with real mounts. How the plan and the agents come to it: test_reload.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from hsorch.node.core.types import DataState
from hsorch.node.data_report import state_of
from hsorch.node.replication.orders import ReplicationStatus
from tests.replicators.nodes import Node, Pair, kept, pair_of, until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with pair_of(tmp_path, ("aa", "mm", "zz")) as made:
        made.bind(made.ordered("mm"))
        made.start()
        yield made


def text(node: Node, name: str) -> str:
    file = node.folders[name.partition("/")[0]] / name.partition("/")[2]
    return file.read_text() if file.exists() else ""


def test_a_folder_that_is_added_is_mirrored_and_what_stood_there_is_kept(pair: Pair) -> None:
    """Its name sorts before the one that is bound: the folders are counted anew on both nodes."""
    a, b = pair.a, pair.b
    pair.bring_in(a, b)
    pair.write(a, "mm/book", "one")
    pair.bring_out(a)
    (a.folders["aa"] / "cat").write_text("the right cat")
    (b.folders["aa"] / "cat").write_text("another cat")
    (b.folders["aa"] / "dog").write_text("nobody else has this dog")
    pair.bind(pair.ordered("aa"), pair.ordered("mm"))
    assert not b.ask("status").get("consistent"), "it has not got the new folder: no takeover"
    pair.bring_in(a, b)
    pair.write(a, "mm/book", "two")
    pair.write(a, "aa/mouse", "new")
    pair.bring_out(a)
    assert (text(b, "mm/book"), text(b, "aa/cat"), text(b, "aa/mouse")) == ("two", "the right cat", "new")
    assert not text(b, "aa/dog")
    assert kept(b) == {b"another cat", b"nobody else has this dog"}
    b.ask("role", role="source")
    assert b.ask("status")["consistent"], "from now on it may take over with both"


def test_a_folder_that_is_let_go_stays_on_both_nodes(pair: Pair) -> None:
    a, b = pair.a, pair.b
    pair.bind(pair.ordered("aa"), pair.ordered("mm"))
    pair.bring_in(a, b)
    pair.write(a, "aa/cat", "meow")
    pair.write(a, "mm/book", "one")
    pair.bring_out(a)
    copied = a.ask("status").get("copied", 0)
    pair.bind(pair.ordered("mm"))
    assert b.ask("status")["consistent"], "what is left was whole, and is"
    pair.bring_in(a, b)
    pair.write(a, "aa/cat", "only here now")
    pair.write(a, "mm/book", "two")
    pair.bring_out(a)
    assert (text(a, "aa/cat"), text(b, "aa/cat")) == ("only here now", "meow")
    assert text(b, "mm/book") == "two"
    assert a.ask("status").get("copied", 0) == copied, "nothing was sent that both had"
    assert not kept(b)


def test_a_folder_comes_back_after_a_time_of_its_own(pair: Pair) -> None:
    """Its files bear marks of the time before; on both sides they are other files by now."""
    a, b = pair.a, pair.b
    both = (pair.ordered("aa"), pair.ordered("mm"))
    pair.bind(*both)
    pair.bring_in(a, b)
    pair.write(a, "aa/cat", "one")
    pair.write(a, "aa/dog", "one")
    pair.bring_out(a)
    for edition in ("second", "third"):
        pair.bind(pair.ordered("mm"))
        pair.bring_in(a, b)
        pair.bring_out(a)
        (a.folders["aa"] / "dog").rename(a.folders["aa"] / "x")
        (a.folders["aa"] / "cat").rename(a.folders["aa"] / "dog")
        (a.folders["aa"] / "x").rename(a.folders["aa"] / "cat")
        (b.folders["aa"] / "cat").write_text(f"{edition} cat of b")
        pair.bind(*both)
        pair.bring_in(a, b)
        pair.write(a, "aa/dog", f"{edition} dog")
        pair.bring_out(a)
        assert text(b, "aa/dog") == f"{edition} dog"
        assert text(b, "aa/cat") == text(a, "aa/cat")
        assert f"{edition} cat of b".encode() in kept(b)


def test_what_a_glob_takes_in_later_is_kept_before_it_is_replaced(pair: Pair) -> None:
    a, b = pair.a, pair.b
    pair.bind(pair.ordered("mm", exclude=("*.log",)))
    pair.bring_in(a, b)
    pair.write(a, "mm/book", "one")
    pair.write(a, "mm/x.log", "log of a")
    pair.bring_out(a)
    (b.folders["mm"] / "x.log").write_text("log of b")
    pair.bind(pair.ordered("mm"))
    pair.bring_in(a, b)
    assert text(b, "mm/x.log") == "log of a"
    assert kept(b) == {b"log of b"}


def test_what_is_no_longer_left_out_is_looked_into(pair: Pair) -> None:
    """Both nodes had a file of their own there, of one size and time."""
    a, b = pair.a, pair.b
    pair.bind(pair.watched("aa", exclude=("*.ini",)))
    for node, own in ((a, "a"), (b, "b")):
        for name in ("cat", "own.ini"):
            (node.folders["aa"] / name).write_text("cat" if name == "cat" else own)
            os.utime(node.folders["aa"] / name, (7, 7))
    pair.bring_in(a, b)
    pair.bring_out(a)
    assert text(b, "aa/own.ini") == "b"
    pair.bind(pair.watched("aa"))
    pair.bring_in(a, b)
    assert text(b, "aa/own.ini") == "a"
    assert kept(b) == {b"b"}


@pytest.mark.parametrize("way", ["ordered to watched", "watched to ordered"])
def test_a_folder_changes_its_kind_and_nothing_is_sent_twice(pair: Pair, way: str) -> None:
    a, b = pair.a, pair.b
    first, second = pair.ordered("mm"), pair.watched("mm")
    if way == "watched to ordered":
        first, second = second, first
    rest = pair.ordered("aa")
    pair.bind(rest, first)
    pair.bring_in(a, b)
    pair.write(a, "mm/book", "one")
    pair.bring_out(a)
    pair.bind(rest, second)
    pair.bring_in(a, b)
    pair.write(a, "mm/book", "two")
    pair.bring_out(a)
    assert text(b, "mm/book") == "two"
    assert b"two" not in kept(b)


def test_nothing_flows_between_two_nodes_that_count_their_folders_otherwise(pair: Pair) -> None:
    """An apply that reached one node only."""
    a, b = pair.a, pair.b
    pair.bring_in(a, b)
    pair.write(a, "mm/book", "one")
    pair.bring_out(a)
    (b.folders["aa"] / "cat").write_text("of b")
    pair.bind(pair.ordered("aa"), pair.ordered("mm"), nodes=(a,))
    a.ask("role", role="source")
    until(lambda: "binds other folders" in a.ask("status")["state"])
    pair.write(a, "aa/cat", "of a")
    pair.bind(pair.ordered("aa"), pair.ordered("mm"), nodes=(b,))
    until(lambda: bool(a.ask("status").get("level")))
    pair.bring_out(a)
    assert text(b, "aa/cat") == "of a"
    assert kept(b) == {b"of b"}


def test_a_killed_source_winds_up_its_journal_under_the_folders_that_it_was_written_for(pair: Pair) -> None:
    a, b = pair.a, pair.b
    pair.bring_in(a, b)
    for number in range(50):
        pair.write(a, f"mm/{number}", f"text {number}")
    a.kill()
    pair.bind(pair.ordered("aa"), pair.ordered("mm"), nodes=(b,))
    a.enroll(b, pair.port, (pair.ordered("aa"), pair.ordered("mm")))
    a.start()
    pair.bring_in(a, b)
    pair.bring_out(a)
    assert [text(b, f"mm/{n}") for n in range(50)] == [f"text {n}" for n in range(50)]
    assert not list(b.folders["aa"].iterdir())


def test_a_source_in_use_takes_what_can_change_and_says_what_cannot(pair: Pair) -> None:
    a, b = pair.a, pair.b
    pair.bring_in(a, b)
    pair.bind(pair.ordered("mm"), warn_bytes=1 << 60, stop_bytes=0)
    until(lambda: a.ask("status")["space"] == "warn")
    until(lambda: b.ask("status")["space"] == "warn")
    pair.write(a, "mm/book", "one")
    until(lambda: text(b, "mm/book") == "one")
    pair.bind(pair.ordered("aa"), pair.ordered("mm"), nodes=(a,))
    until(lambda: "HS636" in a.troubles())
    pair.write(a, "mm/book", "two")
    until(lambda: text(b, "mm/book") == "two")


def test_a_standby_that_waits_for_its_first_mirror_has_nothing_to_lose(pair: Pair) -> None:
    """Else the group could never start for the first time, as both sides must say that they are blank."""
    pair.b.ask("role", role="target")
    seen = msgspec.convert(pair.b.ask("status"), ReplicationStatus)
    assert state_of(seen) is DataState.BLANK
    pair.bring_in(pair.a, pair.b)
    assert state_of(msgspec.convert(pair.b.ask("status"), ReplicationStatus)) is DataState.LOGICAL


def test_what_somebody_else_made_on_the_standby_is_kept_when_a_comparison_removes_it(pair: Pair) -> None:
    a, b = pair.a, pair.b
    pair.bring_in(a, b)
    pair.write(a, "mm/book", "one")
    (b.folders["mm"] / "note").write_text("of an operator who took b for a")
    a.ask("verify")
    until(lambda: not (b.folders["mm"] / "note").exists())
    assert kept(b) == {b"of an operator who took b for a"}
    until(lambda: not a.ask("status").get("verifying"))
    assert a.ask("status")["repaired"] == 1, "a verify that removed a file does not say that all was equal"
    a.ask("verify")
    until(lambda: a.ask("status").get("repaired", 0) == 0)
