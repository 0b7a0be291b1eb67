"""A group whose folders are watched only: two replicator processes, no mount of ours, the same authority."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.replicators.nodes import Node, kept, pair_of, until
from tests.unit.replication.mirrors import picture

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]
PICTURES = "pictures"


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Node, Node]]:
    with pair_of(tmp_path, (PICTURES,)) as made:
        made.bind(made.watched(PICTURES))
        made.start()
        yield made.a, made.b


def follow(source: Node, target: Node) -> None:
    target.ask("role", role="target")
    source.ask("role", role="source")
    until(lambda: source.binding(PICTURES)["state"] == "live")
    until(lambda: bool(target.ask("status").get("consistent")))


def equal(a: Node, b: Node) -> bool:
    try:
        return picture(a.folders[PICTURES]) == picture(b.folders[PICTURES])
    except FileNotFoundError:  # it changes just now
        return False


def test_what_stood_on_the_standby_is_kept_before_it_is_replaced(pair: tuple[Node, Node]) -> None:
    a, b = pair
    (a.folders[PICTURES] / "cat").write_bytes(b"the right cat")
    (b.folders[PICTURES] / "cat").write_bytes(b"another cat")
    (b.folders[PICTURES] / "dog").write_bytes(b"nobody else has this dog")
    follow(a, b)
    assert equal(a, b)
    kept = {path.read_bytes() for path in b.places.quarantine.rglob("*") if path.name.isdigit()}
    assert kept == {b"another cat", b"nobody else has this dog"}


def test_files_of_one_size_and_time_are_told_apart_as_the_folders_meet(pair: tuple[Node, Node]) -> None:
    """Files made by an installer, or within one tick of a clock: small ones and large."""
    a, b = pair
    for name, content in (("cat", b"x"), ("large", os.urandom(3_000_000)), ("same", b"z")):
        for node, own in ((a, b"a"), (b, b"a" if name == "same" else b"b")):
            (node.folders[PICTURES] / name).write_bytes(content + own)
            os.utime(node.folders[PICTURES] / name, ns=(7, 1_600_000_000_000_000_000))
    follow(a, b)
    assert equal(a, b)
    assert [content[-1:] for content in kept(b)] == [b"b", b"b"], "what was the same is not kept"


@pytest.mark.parametrize("turned", [False, True])
def test_folders_that_have_met_are_compared_by_size_and_time(pair: tuple[Node, Node], turned: bool) -> None:
    """Also by a source that has become the standby; only `hsorch verify` looks into every file."""
    a, b = pair
    for name in ("small", "large"):
        (a.folders[PICTURES] / name).write_bytes(b"x" * (1 if name == "small" else 3_000_000))
    follow(a, b)
    for node in (a, b):
        node.ask("role", role="none")
    for name in ("small", "large"):
        file = (a if turned else b).folders[PICTURES] / name
        seen = file.stat()
        with file.open("r+b") as changed:
            changed.write(b"y")
        os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    source, target = (b, a) if turned else (a, b)
    follow(source, target)
    for name in ("small", "large"):
        contents = {(node.folders[PICTURES] / name).read_bytes()[:1] for node in (a, b)}
        assert contents == {b"x", b"y"}, f"{name} was looked into"
    source.ask("verify")
    until(lambda: equal(a, b))


def test_what_was_given_up_is_looked_into(pair: tuple[Node, Node]) -> None:
    """The node that an operator chose may be a new one, and these files older than it."""
    a, b = pair
    file = b.folders[PICTURES] / "cat"
    (a.folders[PICTURES] / "cat").write_bytes(b"a")
    follow(a, b)
    for version in (b"1", b"2"):
        seen = file.stat()
        file.write_bytes(version)
        os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))
        b.ask("choose", winner=a.ask("choose")["lineage"])
        until(lambda: file.read_bytes() == b"a")
        until(lambda: bool(b.ask("status").get("consistent")))
    assert kept(b) == {b"1", b"2"}


def test_a_switch_turns_the_direction_round_and_loses_nothing(pair: tuple[Node, Node]) -> None:
    a, b = pair
    follow(a, b)
    for number in range(300):
        (a.folders[PICTURES] / f"{number}").write_bytes(os.urandom(2_000))
    assert a.ask("drain", limit_s=30)["ok"]
    assert equal(a, b), "drained means that everything is there"
    a.ask("role", role="none")
    b.ask("role", role="none")
    follow(b, a)
    (b.folders[PICTURES] / "from b").write_bytes(b"x")
    (b.folders[PICTURES] / "0").unlink()
    until(lambda: equal(a, b))
    assert not a.places.quarantine.exists(), "nothing differed, so nothing had to be kept"


def test_the_old_source_may_not_overwrite_what_came_after_it(pair: tuple[Node, Node]) -> None:
    a, b = pair
    (a.folders[PICTURES] / "shared").write_bytes(b"1")
    follow(a, b)
    a.kill()
    (a.folders[PICTURES] / "never replicated").write_bytes(b"only a has this")
    b.ask("role", role="source", alone=True)
    (b.folders[PICTURES] / "after").write_bytes(b"2")
    b.ask("role", role="none")
    b.ask("role", role="target")
    a.start()
    a.ask("role", role="source")
    until(lambda: "newer data" in a.binding(PICTURES).get("detail", ""))
    assert (b.folders[PICTURES] / "after").read_bytes() == b"2"
    a.ask("role", role="none")
    a.ask("role", role="target")
    b.ask("role", role="none")
    b.ask("role", role="source")
    until(lambda: equal(a, b))
    assert (a.folders[PICTURES] / "after").read_bytes() == b"2"
    kept = [p.read_bytes() for p in a.places.quarantine.rglob("*") if p.name.isdigit()]
    assert kept == [b"only a has this"]


def test_an_epoch_that_is_over_has_no_say_over_a_connection_that_stands(pair: tuple[Node, Node]) -> None:
    a, b = pair
    follow(a, b)
    b.ask("authority", epoch=[5, 0])
    (a.folders[PICTURES] / "stale").write_bytes(b"of the old epoch")
    until(lambda: "epoch (0, 0) is over" in a.binding(PICTURES).get("detail", ""))
    assert not (b.folders[PICTURES] / "stale").exists()
    a.ask("authority", epoch=[5, 1])
    until(lambda: equal(a, b))


def test_a_source_that_speaks_for_a_new_epoch_first_goes_on(pair: tuple[Node, Node]) -> None:
    """Its stream says so for all its connections, so nothing is looked through again."""
    a, b = pair
    follow(a, b)
    a.ask("authority", epoch=[5, 0])
    until(lambda: b.ask("status")["epoch"] == [5, 0])
    b.ask("authority", epoch=[5, 0])
    (b.folders[PICTURES] / "a look would find this").write_bytes(b"and take it away")
    (a.folders[PICTURES] / "new").write_bytes(b"of the new epoch")
    until(lambda: (b.folders[PICTURES] / "new").exists())
    assert (b.folders[PICTURES] / "a look would find this").exists()


def test_deletions_beyond_reason_wait_for_a_word(pair: tuple[Node, Node]) -> None:
    a, b = pair
    for number in range(300):
        (a.folders[PICTURES] / f"{number}").write_bytes(b"x")
    follow(a, b)
    for path in list(a.folders[PICTURES].iterdir()):
        path.unlink()
    until(lambda: a.held(PICTURES) > 0)
    assert a.troubles() == {"HS634"}
    assert len(list(b.folders[PICTURES].iterdir())) > 150
    assert not a.ask("drain", limit_s=1)["ok"], "what is held back did not reach the standby"
    a.ask("confirm")
    until(lambda: equal(a, b))
    until(lambda: a.troubles() == set())
    assert a.ask("drain", limit_s=30)["ok"]


def test_a_takeover_in_the_middle_of_a_first_mirror_is_refused(pair: tuple[Node, Node]) -> None:
    a, b = pair
    (a.folders[PICTURES] / "large").write_bytes(os.urandom(300_000_000))
    b.ask("role", role="target")
    a.ask("role", role="source")
    until(lambda: b.binding(PICTURES)["state"] == "mirror")
    a.kill()
    assert b.request("role", role="source", alone=True)["code"] == "HS686"
