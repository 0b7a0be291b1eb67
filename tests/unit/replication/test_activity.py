"""What a power cut may have changed is known on disk before it can change, and not much more than that."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hsorch.node.replication import ground
from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.capture import activity
from hsorch.node.replication.capture.activity import Activity
from hsorch.node.replication.capture.log import Log, Mark
from hsorch.node.replication.doubt import Doubt
from hsorch.node.replication.generations import begin
from hsorch.node.replication.hot import EXTENT_BYTES, SLOTS, HotFile, Spans
from hsorch.node.replication.journal import Journal
from hsorch.node.replication.record import Kind
from hsorch.node.replication.segments import FIRST_LSN, Start
from hsorch.node.replication.tree import Tree
from hsorch.node.replication.verify import BLOCK
from tests.unit.replication.test_ends import standing

FID, OTHER = 7, 8


class World:
    def __init__(self, home: Path, *, unsure: bool = False) -> None:
        (home / "data").mkdir(exist_ok=True)
        self.home = home
        self.tree = Tree(0, Binding(path=str(home / "data"), kind="ordered"))
        self.journal = Journal(home / "journal", Start(job=b"j" * 16, generation=1))
        self.hot = HotFile(home / "hot")
        self.activity = Activity(self.hot, self.journal, [self.tree], unsure=unsure, on_refusal=self.refused)
        self.refusals = 0
        self.log = Log(self.journal, Mark(home / "mark"), None, self.activity, on_fault=pytest.fail)
        self.activity._oldest = self.log.oldest

    def write(self, fid: int, extent: int) -> None:
        with self.log.entry(Kind.WRITE, fid=fid, a=extent * EXTENT_BYTES, b=3, data=b"new"):
            assert fid in {span[0] for span in self.on_disk() or ()}, "hot before the deed"

    def refused(self) -> None:
        self.refusals += 1

    def on_disk(self) -> Spans:
        """What would be known after a power cut now."""
        return HotFile(self.home / "hot").spans

    def close(self) -> None:
        self.hot.close()
        self.journal.close()
        self.tree.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def test_a_place_is_hot_on_disk_before_its_record_can_be_sent(world: World, tmp_path: Path) -> None:
    known: list[Spans] = []
    append = world.journal.append

    def appended(kind: Kind, **fields: object) -> object:
        known.append(world.on_disk())
        return append(kind, **fields)  # type: ignore[arg-type]

    world.journal.append = appended  # type: ignore[assignment, method-assign]
    with world.log.entry(Kind.WRITE, fid=FID, a=5 * EXTENT_BYTES - 1, b=2, data=b"ab"):
        pass
    assert known == [frozenset({(FID, 4, 5)})]


def test_only_the_first_write_into_an_extent_waits_for_the_disk(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs: list[int] = []
    monkeypatch.setattr(os, "fdatasync", syncs.append)
    for _ in range(100):
        world.write(FID, 3)
    world.write(OTHER, 3)
    assert len(syncs) == 2


def test_what_is_not_written_any_more_goes_cold_after_two_periods(world: World) -> None:
    world.write(FID, 1)
    world.activity.turn()
    world.write(OTHER, 2)
    assert world.on_disk() == {(FID, 1, 1), (OTHER, 2, 2)}
    world.activity.turn()
    assert world.on_disk() == {(OTHER, 2, 2)}
    world.write(OTHER, 2)
    world.activity.turn()
    assert world.on_disk() == {(OTHER, 2, 2)}
    world.activity.turn()
    assert world.on_disk() == frozenset()


def test_what_the_disk_refused_to_sync_does_not_go_cold(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have forgotten it, and says so only once."""
    world.write(FID, 1)
    world.activity.turn()
    with monkeypatch.context() as failing:
        failing.setattr(activity, "sync_filesystem", _refuse)
        with pytest.raises(OSError, match="refuses"):
            world.activity.turn()
    for extent in (7, 8, 9):
        world.write(OTHER, extent)
        world.activity.turn()
    assert (FID, 1, 1) in (world.on_disk() or ())
    world.activity.forget()
    assert (FID, 1, 1) in (world.on_disk() or ()), "a standby that merely followed says nothing of this disk"
    assert world.refusals == 1


@pytest.mark.parametrize("killed", [False, True])
def test_a_part_that_could_not_be_ended_leaves_in_doubt_what_the_disk_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    """Whoever ends it at the second try, or finds it when the process is gone: that sync is not refused."""
    hot = frozenset({(FID, 1, 1)})
    with standing(tmp_path) as source:
        source.meta.change(role="source", generations=begin(9))
        source.hot.replace(hot, 0)
        with monkeypatch.context() as failing:
            failing.setattr(ground, "sync_filesystem", _refuse)
            with pytest.raises(OSError, match="refuses"):
                source.rest(source.meta.value.generations)
        if not killed:
            source.rest(source.meta.value.generations)
    for _ in range(2):
        with standing(tmp_path) as source:
            assert source.lineage().tail_unsure, "the standby is compared there before it is called equal"
            assert source.hot.spans == hot


def _refuse(_: int) -> None:
    raise OSError(errno.EIO, "the disk refuses")


def test_nothing_goes_cold_while_a_deed_of_the_period_before_is_under_way(world: World) -> None:
    """Its write may come after the sync that everything else is called cold by."""
    begun, done = threading.Event(), threading.Event()

    def slow() -> None:
        with world.log.entry(Kind.WRITE, fid=FID, a=0, b=3, data=b"new"):
            begun.set()
            done.wait(20)

    thread = threading.Thread(target=slow)
    thread.start()
    begun.wait(20)
    for _ in range(4):
        world.activity.turn()
        world.write(OTHER, 2)
    assert (FID, 0, 0) in (world.on_disk() or ())
    done.set()
    thread.join()
    for _ in range(2):
        world.activity.turn()
    assert (FID, 0, 0) not in (world.on_disk() or ())


def test_too_many_hot_extents_are_everywhere_until_it_is_calmer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fdatasync", lambda _: None)
    for extent in range(SLOTS + 10):
        world.activity.touch(FID, extent * EXTENT_BYTES, 1)
    assert world.on_disk() is None
    world.activity.turn()
    assert world.on_disk() is None, "all of that was written in this period"
    world.activity.touch(OTHER, 0, 1)
    world.activity.turn()
    assert world.on_disk() == {(OTHER, 0, 0)}


def test_a_cut_makes_hot_what_it_cuts_off(world: World) -> None:
    with world.log.entry(Kind.TRUNCATE, fid=FID, a=EXTENT_BYTES, b=9 * EXTENT_BYTES):
        pass
    assert world.on_disk() == {(FID, 1, 8)}


def test_after_a_power_cut_all_stays_hot_until_the_standby_is_equal(tmp_path: Path) -> None:
    before = World(tmp_path)
    before.write(FID, 1)
    before.close()
    world = World(tmp_path, unsure=True)
    world.write(OTHER, 2)
    for _ in range(3):
        world.activity.turn()
    assert world.on_disk() == {(FID, 1, 1)}
    assert world.activity.unsure == {(FID, 1, 1)}
    world.write(OTHER, 3)
    world.activity.forget()
    assert world.on_disk() == {(OTHER, 3, 3)}
    world.close()


def test_turns_need_no_room_on_the_disk(world: World) -> None:
    size = (world.home / "hot").stat().st_size
    for extent in range(50):
        world.write(FID, extent)
        world.activity.turn()
    assert (world.home / "hot").stat().st_size == size


def test_what_is_settled_is_in_the_journal(world: World) -> None:
    world.write(FID, 1)
    world.activity.turn()
    assert HotFile(world.home / "hot").settled == world.journal.end > FIRST_LSN


def test_the_mark_has_its_room_before_anybody_counts_on_it(tmp_path: Path) -> None:
    """A page that finds the disk full when it is written ends the process (SIGBUS)."""
    Mark(tmp_path / "mark").close()
    assert (tmp_path / "mark").stat().st_blocks > 0


# ------------------------------------------------------------------- the file


def test_without_a_file_everything_is_in_doubt(tmp_path: Path) -> None:
    assert HotFile(tmp_path / "hot").spans is None


@given(st.integers(0, 2 * SLOTS * 32 - 1), st.integers(0, 7), st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_never_names_less_than_there_is(
    tmp_path: Path, byte: int, bit: int, near: bool
) -> None:
    path = tmp_path / "hot"
    path.unlink(missing_ok=True)
    file = HotFile(path)
    file.replace(frozenset({(FID, 1, 1)}), 5)
    file.replace(frozenset({(FID, 1, 1), (OTHER, 0, 9)}), 6)
    assert file.add((FID, 2, 2))
    file.close()
    data = bytearray(path.read_bytes())
    data[byte % 160 if near else byte] ^= 1 << bit
    path.write_bytes(data)
    assert HotFile(path).spans is None


def test_a_file_cut_short_is_everywhere_and_can_be_written_again(tmp_path: Path) -> None:
    path = tmp_path / "hot"
    HotFile(path).replace(frozenset({(FID, 1, 1)}), 5)
    os.truncate(path, 1000)
    file = HotFile(path)
    assert file.spans is None
    file.replace(frozenset({(OTHER, 1, 1)}), 5)
    assert HotFile(path).spans == {(OTHER, 1, 1)}


# ------------------------------------------------------------- what may differ


places = st.lists(
    st.tuples(
        st.sampled_from([FID, OTHER]), st.integers(0, 40 * EXTENT_BYTES), st.integers(1, 20 * EXTENT_BYTES)
    ),
    max_size=8,
)


@given(places)
def test_every_byte_in_doubt_is_compared_and_ranges_are_in_order(found: list[tuple[int, int, int]]) -> None:
    doubt = Doubt()
    for place in found:
        doubt.add(*place)
    extents = doubt.extents()
    assert extents is not None
    for fid, offset, length in found:
        assert any(begin <= offset and offset + length <= end for begin, end in extents[fid])
    for ranges in extents.values():
        assert all(begin % BLOCK == end % BLOCK == 0 and begin < end for begin, end in ranges)
        assert all(before[1] < after[0] for before, after in pairwise(ranges))


def test_in_doubt_everywhere_is_everywhere() -> None:
    doubt = Doubt()
    doubt.add(FID, 0, 1)
    doubt.add_spans(None)
    assert doubt.extents() is None
    assert doubt.spans() is None
