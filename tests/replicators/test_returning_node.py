"""The node that was active comes back: it is overwritten by the policy's word, or by a person's.

Two replicator processes with real mounts; the agents' part is to ask for the role again and again.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.replicators.nodes import Pair, kept, pair_of, until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]
ASKS = {"takeover": False}


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with pair_of(tmp_path, ("mm", "pictures")) as made:
        yield made


def taken_over(pair: Pair, returns: dict[str, bool], *, lost_bytes: int = 0, **fields: int) -> None:
    """a was active and died with something that b never got (and as much more); b went on; a is back."""
    a, b = pair.a, pair.b
    pair.bind(pair.ordered("mm"), pair.watched("pictures"), returns=returns, **fields)
    pair.start()
    pair.bring_in(a, b)
    pair.write(a, "mm/book", "both have this")
    assert a.ask("drain", limit_s=30)["ok"]
    b.kill()
    pair.write(a, "mm/book", "only a has this")
    pair.write(a, "pictures/cat", "only a has this cat")
    a.run("sh", "-c", f"head -c {lost_bytes} /dev/urandom > {pair.home}/common/mm/large")
    a.kill()
    b.start()
    b.ask("role", role="source", alone=True)
    pair.write(b, "mm/book", "b went on")
    a.start()


def test_it_waits_and_nothing_of_it_is_touched(pair: Pair) -> None:
    taken_over(pair, ASKS)
    a = pair.a
    refused = a.request("role", role="target")
    assert (refused["ok"], refused["code"]) == (False, "HS637")
    assert "HS637" in a.troubles()
    assert (a.folders["mm"] / "book").read_text() == "only a has this"
    assert a.ask("status")["role"] == "none"
    a.kill()
    a.start()
    assert not a.request("role", role="target")["ok"], "a restart is no word"


def test_a_word_lets_it_follow_and_what_only_it_had_is_kept(pair: Pair) -> None:
    taken_over(pair, ASKS)
    a, b = pair.a, pair.b
    a.request("role", role="target")
    a.ask("follow")
    until(lambda: bool(b.ask("status").get("level")))
    until(lambda: bool(a.ask("status").get("consistent")))
    until(lambda: (a.folders["mm"] / "book").read_text() == "b went on")
    assert a.troubles() == set()
    assert {b"only a has this", b"only a has this cat"} <= kept(a)
    a.kill()
    a.start()
    a.ask("role", role="target")


def test_a_choice_of_the_other_side_is_such_a_word_too(pair: Pair) -> None:
    taken_over(pair, ASKS)
    a, b = pair.a, pair.b
    a.request("role", role="target")
    a.ask("choose", winner=b.ask("choose")["lineage"])
    until(lambda: (a.folders["mm"] / "book").read_text() == "b went on")
    assert b"only a has this" in kept(a)


def test_where_the_policy_says_so_it_follows_by_itself(pair: Pair) -> None:
    """Nothing was left out meanwhile, and nobody is told that the queue was over its cap."""
    taken_over(pair, {"takeover": True}, lost_bytes=8 << 20)
    a, b = pair.a, pair.b
    a.ask("role", role="target")
    while not (seen := b.ask("status"))["level"]:
        assert not seen["behind"]
    assert (a.folders["mm"] / "book").read_text() == "b went on"
    assert b"only a has this" in kept(a)


@pytest.mark.parametrize("by_itself", [True, False])
def test_after_a_switch_nothing_is_lost_and_the_policy_has_a_word_of_its_own(
    pair: Pair, by_itself: bool
) -> None:
    a, b = pair.a, pair.b
    pair.bind(pair.ordered("mm"), pair.watched("pictures"), returns={"takeover": False, "switch": by_itself})
    pair.start()
    pair.bring_in(a, b)
    pair.write(a, "mm/book", "one")
    pair.bring_out(a)
    b.ask("role", role="source")
    pair.write(b, "mm/book", "two")
    assert a.request("role", role="target")["ok"] is by_itself
    if not by_itself:
        a.ask("follow")
    until(lambda: (a.folders["mm"] / "book").read_text() == "two")
    assert not kept(a), "a switch leaves nothing to keep"


def test_a_source_that_was_drained_and_went_on_has_handed_nothing_over(pair: Pair) -> None:
    """A move that came to nothing, or an agent that died in it; the node is taken over from later on."""
    a, b = pair.a, pair.b
    pair.bind(pair.ordered("mm"), pair.watched("pictures"), returns=ASKS)
    pair.start()
    pair.bring_in(a, b)
    assert a.ask("drain", limit_s=30)["ok"]
    a.ask("role", role="source")
    b.kill()
    pair.write(a, "pictures/cat", "only a has this cat")
    a.ask("role", role="none", force=True)
    assert a.request("role", role="target")["code"] == "HS637"


def test_a_source_that_was_put_off_in_the_middle_of_its_work_waits(pair: Pair) -> None:
    """A node that lost its lease: its folders are taken away, the process lives on."""
    a, b = pair.a, pair.b
    pair.bind(pair.ordered("mm"), returns=ASKS)
    pair.start()
    pair.bring_in(a, b)
    pair.write(a, "mm/book", "one")
    refused = a.request("role", role="target", force=True)
    assert (refused["ok"], refused["code"]) == (False, "HS637")
    assert a.ask("status")["role"] == "none"
    assert a.run("findmnt", str(pair.home / "common" / "mm"), "-t", "fuse.hsorch").returncode != 0


@pytest.fixture
def small_quarantine(pair: Pair) -> Iterator[Path]:
    """On node a, a disk of its own."""
    folder = pair.a.places.quarantine
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        pair.a.end()
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_quarantine_stops_the_way_back_in_words_and_space_lets_it_go_on(
    pair: Pair, small_quarantine: Path
) -> None:
    """Nothing is dropped to make room, nothing is overwritten without it, and nobody has to begin anew."""
    large = os.urandom(1 << 20)
    taken_over(pair, {"takeover": True}, warn_bytes=1, stop_bytes=0)
    a = pair.a
    (a.folders["mm"] / "book").write_bytes(large)
    (a.folders["pictures"] / "cat").write_bytes(large)
    a.ask("role", role="target")
    until(lambda: a.ask("status").get("fault_code") == "HS679" or "HS679" in pair.b.ask("status")["state"])
    until(lambda: "HS679" in a.troubles())  # of the watched folder
    assert (a.folders["mm"] / "book").read_bytes() == large
    assert (a.folders["pictures"] / "cat").read_bytes() == large
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_quarantine)], check=True)
    until(lambda: (a.folders["mm"] / "book").read_bytes() == b"b went on")
    until(lambda: not (a.folders["pictures"] / "cat").exists())
    assert large in kept(a)
    until(lambda: "HS679" not in a.troubles())


def test_a_tail_too_long_for_the_quarantine_is_an_alarm_where_it_lies_and_no_coming_and_going(
    pair: Pair, small_quarantine: Path
) -> None:
    """The source is refused again and again: neither side calls that a connection."""
    taken_over(pair, {"takeover": True}, lost_bytes=2 << 20, warn_bytes=1, stop_bytes=0)
    a, b = pair.a, pair.b
    a.ask("role", role="target")
    until(lambda: "HS679" in a.troubles() and "HS679" in b.ask("status")["state"])
    for _ in range(200):
        assert not a.ask("status")["connected"]
        assert not b.ask("status")["connected"]
        assert "HS679" in a.troubles()
    assert (a.folders["mm"] / "book").read_text() == "only a has this"
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_quarantine)], check=True)
    until(lambda: (a.folders["mm"] / "book").read_text() == "b went on")
    until(lambda: bool(b.ask("status").get("level")))
    assert a.ask("status")["connected"]
    assert a.troubles() == set()


def test_nobody_is_waited_for_who_is_not_there(pair: Pair) -> None:
    """Longer than this test may take; and it is said how much the other node lacks."""
    a, b = pair.a, pair.b
    pair.bind(pair.ordered("mm"))
    pair.start()
    pair.bring_in(a, b)
    b.kill()
    pair.write(a, "mm/book", "only a has this")
    drained = a.ask("drain", limit_s=600)
    assert not drained["ok"]
    assert drained["lacks"] > 0
