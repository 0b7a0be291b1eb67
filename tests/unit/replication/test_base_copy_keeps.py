"""What stands at a standby when a base copy comes: nothing of its own is lost, nothing else is put by."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hsorch.node.replication import mirror
from hsorch.node.replication.doubt import Brought
from hsorch.node.replication.generations import Fork, Lineage
from hsorch.node.replication.resync import Receiving
from hsorch.node.replication.tls import Keys
from hsorch.node.replication.wire import Broken
from tests.replicators.world import picture
from tests.unit.replication.test_base_copy import MIB, Copy, bring, busy
from tests.unit.replication.test_comparison import Side, compare
from tests.unit.replication.test_ends import standing

__all__ = ["busy"]


class Quarantine:
    """Names in the order in which they were put by, and what was kept of each."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def __call__(self, root: str, relative: str) -> None:
        if not Path(root, relative).is_symlink():
            self.kept.setdefault(relative, Path(root, relative).read_bytes())


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Side, Side]:
    return Side(tmp_path, "a", 1), Side(tmp_path, "b", 2)


def before(monkeypatch: pytest.MonkeyPatch, step: str, deed: Callable[[], object]) -> None:
    """The application does something once, at this step of the mirror."""
    plain, done = getattr(mirror.Mirror, step), []

    def wrapped(self: mirror.Mirror, *args: Any) -> Any:
        if not done:
            done.append(deed())
        return plain(self, *args)

    monkeypatch.setattr(mirror.Mirror, step, wrapped)


def blocks(number: int) -> bytes:
    return random.Random(number).randbytes(2 * MIB)


def test_what_a_whole_base_copy_left_is_nobodys_own_whatever_its_source_is_called_by_now(
    tmp_path: Path,
) -> None:
    with standing(tmp_path) as ground:
        ground.meta.change(generations=Lineage(receiving=0xA1), consistent=False)
        source = Lineage(current=0xA2, base=Fork(generation=0xA1, lsn=90))
        assert Receiving(ground, lambda _: None, lambda: None).open_base_copy(1, source)[0] is None
        stranger = Lineage(current=0xB1)
        assert Receiving(ground, lambda _: None, lambda: None).open_base_copy(1, stranger)[0] is not None


def test_a_large_file_is_written_where_it_stands_as_there_may_be_no_room_for_two(
    sides: tuple[Side, Side], enrolled: tuple[Keys, Keys]
) -> None:
    source, target = sides
    (source.home / "data/large").write_bytes(blocks(1) + b"new" + blocks(2))
    there = target.home / "data/large"
    there.write_bytes(blocks(1) + b"old" + blocks(2) + b"and more")
    inode, quarantine = there.stat().st_ino, Quarantine()
    since, brought = bring(source, target, enrolled, quarantine)
    assert there.stat().st_ino == inode
    assert quarantine.kept == {"large": blocks(1) + b"old" + blocks(2) + b"and more"}
    done = compare(source, target, 0, 0, since=since, brought=brought)
    assert done.checked == 0
    assert picture(source.home / "data") == picture(target.home / "data")


def test_a_large_file_is_not_written_through_a_name_that_only_the_standby_has(
    sides: tuple[Side, Side], enrolled: tuple[Keys, Keys]
) -> None:
    source, target = sides
    for name, number in (("large", 1), ("other", 2)):
        (source.home / "data" / name).write_bytes(blocks(number))
    (target.home / "data/other").write_bytes(blocks(2))
    os.link(target.home / "data/other", target.home / "data/large")
    since, brought = bring(source, target, enrolled)
    assert (target.home / "data/other").read_bytes() == blocks(2)
    compare(source, target, 0, 0, since=since, brought=brought)
    assert picture(source.home / "data") == picture(target.home / "data")


def test_an_own_file_whose_name_the_source_takes_up_meanwhile_is_kept(
    sides: tuple[Side, Side], enrolled: tuple[Keys, Keys], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A binary log that begins while the copy is under way, and that the standby once had, too."""
    source, target = sides
    (target.home / "data/log").write_bytes(b"the standby's own")
    before(monkeypatch, "_really_gone", lambda: (source.home / "data/log").write_bytes(b"begun meanwhile"))
    quarantine = Quarantine()
    since, brought = bring(source, target, enrolled, quarantine)
    assert quarantine.kept == {"log": b"the standby's own"}
    compare(source, target, 0, 0, since=since, brought=brought)
    assert (target.home / "data/log").read_bytes() == b"begun meanwhile"


def test_an_own_file_whose_name_the_source_gives_up_meanwhile_is_kept(
    sides: tuple[Side, Side], enrolled: tuple[Keys, Keys], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table that is dropped after it was listed."""
    source, target = sides
    (source.home / "data/table").write_bytes(b"the source's")
    (target.home / "data/table").write_bytes(b"the standby's own")
    before(monkeypatch, "_serve", (source.home / "data/table").unlink)
    quarantine = Quarantine()
    since, brought = bring(source, target, enrolled, quarantine)
    assert quarantine.kept == {"table": b"the standby's own"}
    compare(source, target, 0, 0, since=since, brought=brought)
    assert not (target.home / "data/table").exists()


def test_a_copy_that_is_gone_on_with_keeps_nothing_that_it_brought_itself(
    sides: tuple[Side, Side], enrolled: tuple[Keys, Keys]
) -> None:
    """It would need room for all of it in the quarantine, though nobody misses it."""
    source, target = sides
    for name, content in (
        ("large", blocks(1)),
        ("small", b"first"),
        ("gone", b"first"),
        ("own", b"source's"),
    ):
        (source.home / "data" / name).write_bytes(content)
    (target.home / "data/own").write_bytes(b"the standby's")
    quarantine, came = Quarantine(), Brought()
    bring(source, target, enrolled, quarantine, came)
    (source.home / "data/large").write_bytes(blocks(2))
    (source.home / "data/small").write_bytes(b"later")
    (source.home / "data/gone").unlink()
    since, brought = bring(source, target, enrolled, quarantine, came)
    assert quarantine.kept == {"own": b"the standby's"}
    compare(source, target, 0, 0, since=since, brought=brought)
    assert picture(source.home / "data") == picture(target.home / "data")


def files(side: Side) -> dict[str, bytes]:
    data = side.home / "data"
    found = [path for path in data.rglob("*") if path.is_file() and not path.is_symlink()]
    return {str(path.relative_to(data)): path.read_bytes() for path in found}


@pytest.mark.parametrize("goes_on", [True, False], ids=["the same goes on", "another begins"])
@pytest.mark.parametrize("seed", range(6))
def test_all_that_only_the_standby_had_is_kept_and_no_more_whatever_happens_and_breaks_off_meanwhile(
    tmp_path: Path, enrolled: tuple[Keys, Keys], busy: Any, seed: int, goes_on: bool
) -> None:
    source, target = Side(tmp_path, "a", seed), Side(tmp_path, "b", 1_000 + seed)
    for _ in range(80):
        source.application.once()
        target.application.once()
    busy(source, seed)
    own, quarantine, rng = files(target), Quarantine(), random.Random(seed)
    copy = Copy(source, target, enrolled, quarantine)
    with pytest.MonkeyPatch.context() as patched, contextlib.suppress(Broken):
        serve, last = mirror.Mirror._serve, rng.randrange(1, 4)

        def breaks(self: mirror.Mirror, *args: Any) -> None:
            nonlocal last
            serve(self, *args)
            last -= 1
            if not last:
                self._sender.flush()
                raise Broken("the link was cut")

        patched.setattr(mirror, "BATCH", 10)
        patched.setattr(mirror.Mirror, "_serve", breaks)
        copy.run()
    for _ in range(20):
        source.application.once()
    if not goes_on:
        before, copy = copy, Copy(source, target, enrolled, quarantine)
        copy.came = before.came
    since = copy.run()
    there, kept = files(target), quarantine.kept
    for name, content in own.items():
        assert content in (there.get(name), kept.get(name)) or not any(content), "zeros both may have"
    assert {content for content in kept.values() if any(content)} <= set(own.values())
    compare(source, target, 2, 60, since=since, brought=copy.brought)
    assert picture(source.home / "data") == picture(target.home / "data")
