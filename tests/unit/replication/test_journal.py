"""The journal keeps whole records in one order, and believes nothing that is torn, moved or changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsorch.node.replication.journal import Journal
from hsorch.node.replication.record import Damaged, Kind, parse_all
from hsorch.node.replication.segments import FIRST_LSN, Start
from tests.unit.replication.killing import killed_at

JOB = bytes(range(16))
START = Start(job=JOB, generation=7)


def filled(directory: Path, count: int = 40, segment_bytes: int = 2_000) -> Journal:
    journal = Journal(directory, START, segment_bytes=segment_bytes)
    for number in range(count):
        journal.append(Kind.WRITE, fid=9, a=number * 10, path=b"", data=bytes([number]) * (number * 7))
    return journal


def test_records_come_back_in_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path, START)
    created = journal.append(Kind.CREATE, fid=None, path=b"0/a", a=0o644)
    journal.append(Kind.WRITE, fid=created.fid, a=3, data=b"abc")
    first, second = journal.records(FIRST_LSN)
    assert (first.kind, first.fid, bytes(first.path)) == (Kind.CREATE, created.fid, b"0/a")
    assert (second.lsn, second.previous, bytes(second.data)) == (first.end, first.crc, b"abc")
    assert journal.end == second.end


def test_opening_again_goes_on_where_it_ended(tmp_path: Path) -> None:
    before = filled(tmp_path)
    end, crc = before.end, before.crc
    before.close()
    again = Journal(tmp_path, START, segment_bytes=2_000)
    assert (again.end, again.crc, again.cut_off) == (end, crc, 0)
    assert len(list(again.records(FIRST_LSN))) == 40


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(min_value=0, max_value=3_000))
def test_any_cut_of_the_last_segment_leaves_whole_records(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    directory = tmp_path_factory.mktemp("cut")
    whole = filled(directory, count=20, segment_bytes=1 << 20)
    ends = [record.end for record in whole.records(FIRST_LSN)]
    whole.close()
    (segment,) = directory.glob("*.segment")
    os.truncate(segment, min(64 + cut, segment.stat().st_size))
    kept = Journal(directory, START)
    assert kept.end == max([end for end in ends if end - FIRST_LSN <= cut], default=FIRST_LSN)
    kept.append(Kind.TRUNCATE, fid=9, a=0)
    assert [record.kind for record in kept.records(FIRST_LSN)][-1] is Kind.TRUNCATE


@pytest.mark.parametrize("where", [70, 500, 1_500])
def test_a_flipped_byte_is_found_before_it_is_used(tmp_path: Path, where: int) -> None:
    journal = filled(tmp_path, count=20, segment_bytes=1 << 20)
    (segment,) = tmp_path.glob("*.segment")
    flip(segment, where)
    with pytest.raises(Damaged) as damage:
        list(journal.records(FIRST_LSN))
    assert FIRST_LSN <= damage.value.lsn <= FIRST_LSN + where


@pytest.mark.parametrize(("broken", "told"), [(10, 1), (18, 1), (19, 0)])
def test_opening_tells_of_whole_records_behind_a_damaged_one(tmp_path: Path, broken: int, told: int) -> None:
    """Before they are cut off: they may have been acknowledged, a torn tail never was."""
    journal = filled(tmp_path, count=20, segment_bytes=1 << 20)
    lsn = list(journal.records(FIRST_LSN))[broken].lsn
    end = journal.end
    journal.close()
    (segment,) = tmp_path.glob("*.segment")
    flip(segment, 64 + lsn - FIRST_LSN + 70)
    sizes: list[int] = []
    again = Journal(tmp_path, START, on_damage=lambda _: sizes.append(segment.stat().st_size))
    assert again.end == lsn
    assert sizes == [64 + end - FIRST_LSN] * told


def flip(path: Path, where: int) -> None:
    with path.open("r+b") as file:
        file.seek(where)
        byte = file.read(1)
        file.seek(where)
        file.write(bytes([byte[0] ^ 0x40]))


@pytest.mark.parametrize("damage", ["dropped", "doubled", "header", "shortened"])
def test_a_segment_that_does_not_follow_is_told_and_dropped_with_all_behind_it(
    tmp_path: Path, damage: str
) -> None:
    journal = filled(tmp_path)
    ends = [record.end for record in journal.records(FIRST_LSN)]
    journal.close()
    first, second, third, *_ = sorted(tmp_path.glob("*.segment"))
    kept = int(second.stem)
    if damage == "dropped":
        second.unlink()
    elif damage == "doubled":
        third.write_bytes(second.read_bytes())
        kept = int(third.stem)
    elif damage == "header":
        flip(second, 9)
    else:
        os.truncate(second, second.stat().st_size - 10)
        kept = max(end for end in ends if end < int(third.stem))
    told: list[int] = []
    opened = Journal(tmp_path, START, on_damage=told.append)
    assert (told, opened.void, opened.end) == ([kept], False, kept)
    opened.append(Kind.TRUNCATE, fid=9)
    assert [record.lsn for record in opened.records(FIRST_LSN)][-1] == kept
    opened.close()
    assert Journal(tmp_path, START).end > kept
    assert first.exists()


def test_a_journal_whose_first_segment_is_lost_begins_where_its_owner_says(tmp_path: Path) -> None:
    filled(tmp_path).close()
    flip(min(tmp_path.glob("*.segment")), 9)
    told: list[bool] = []
    start = Start(job=JOB, generation=7, lsn=9_000_000, previous=3)
    opened = Journal(tmp_path, start, on_damage=lambda _: told.append(True))
    assert told == [True]
    assert (opened.void, opened.first, opened.end, opened.crc) == (True, 9_000_000, 9_000_000, 3)
    opened.append(Kind.TRUNCATE, fid=9)
    opened.close()
    assert len(list(Journal(tmp_path, start).records(9_000_000))) == 1


@pytest.mark.parametrize("torn", [b"", bytes(40), bytes(64)], ids=["empty", "short", "not written"])
def test_a_segment_that_the_power_cut_kept_from_being_made_costs_nothing(tmp_path: Path, torn: bytes) -> None:
    """No record was ever in it: those before it are still there, and it is made again."""
    journal = filled(tmp_path)
    end = journal.end
    journal.close()
    (tmp_path / f"{end:020d}.segment").write_bytes(torn)
    told: list[int] = []
    again = Journal(tmp_path, START, segment_bytes=1, on_damage=told.append)
    assert (again.end, told) == (end, [])
    again.append(Kind.TRUNCATE, fid=9)
    assert len(list(again.records(FIRST_LSN))) == 41


@pytest.mark.parametrize("step", range(12))
def test_a_journal_that_begins_anew_is_the_old_or_the_new_one_wherever_it_is_killed(
    tmp_path: Path, step: int
) -> None:
    journal = filled(tmp_path)
    end = journal.end
    anew = Start(job=JOB, generation=8, lsn=journal.end // 2, previous=5)
    with killed_at(step):
        journal.restart(anew)
    told: list[int] = []
    again = Journal(tmp_path, START, on_damage=told.append)
    assert (again.void, told) == (False, [])
    assert (again.end, again.generation) in [(end, 7), (anew.lsn, 8)]
    again.append(Kind.TRUNCATE, fid=9)
    again.close()
    assert Journal(tmp_path, START).generation == again.generation


def test_what_lies_behind_a_damaged_record_is_cut_off(tmp_path: Path) -> None:
    journal = filled(tmp_path)
    records = list(journal.records(FIRST_LSN))
    bad = records[15]
    segment = max(path for path in tmp_path.glob("*.segment") if int(path.stem) <= bad.lsn)
    flip(segment, 64 + bad.lsn - int(segment.stem) + 70)
    journal.cut(bad.lsn)
    assert (journal.end, journal.crc) == (bad.lsn, records[14].crc)
    assert [record.lsn for record in journal.records(FIRST_LSN)] == [r.lsn for r in records[:15]]
    journal.append(Kind.TRUNCATE, fid=9)
    assert next(journal.records(bad.lsn)).previous == records[14].crc


def test_the_spool_takes_only_what_follows(tmp_path: Path) -> None:
    source = filled(tmp_path / "source", segment_bytes=1 << 20)
    data = source.read(FIRST_LSN, 1 << 20)
    records = list(parse_all(data, FIRST_LSN, 0))
    half = records[20].lsn
    spool = Journal(tmp_path / "spool", START, segment_bytes=1_000)
    spool.append_raw(FIRST_LSN, data[: half - FIRST_LSN])
    for bad_lsn, bad in [
        (records[21].lsn, data[records[21].lsn - FIRST_LSN :]),  # one was dropped
        (FIRST_LSN, data[: half - FIRST_LSN]),  # duplicated
        (half, data[records[21].lsn - FIRST_LSN : records[22].lsn - FIRST_LSN]),  # swapped
    ]:
        with pytest.raises(Damaged):
            spool.append_raw(bad_lsn, bad)
        assert spool.end == half
    flipped = bytearray(data[half - FIRST_LSN :])
    flipped[records[30].lsn - half + 80] ^= 1
    with pytest.raises(Damaged):
        spool.append_raw(half, flipped)
    assert spool.end == records[30].lsn, "what was good before it is taken"
    half = spool.end
    assert spool.append_raw(half, data[half - FIRST_LSN :]) == source.end
    assert spool.crc == source.crc
    assert spool.crc_before(half) == source.crc_before(half)


def test_deleting_below_keeps_what_may_still_be_asked_for(tmp_path: Path) -> None:
    journal = filled(tmp_path)
    middle = [record.lsn for record in journal.records(FIRST_LSN)][20]
    assert journal.delete_below(middle) > 0
    assert FIRST_LSN < journal.first <= middle
    assert next(journal.records(middle)).lsn == middle
    with pytest.raises(KeyError):
        journal.read(FIRST_LSN)


def test_a_record_larger_than_the_read_limit_is_still_read(tmp_path: Path) -> None:
    journal = Journal(tmp_path, START)
    journal.append(Kind.WRITE, fid=9, data=b"x" * 300_000)
    assert len(journal.read(FIRST_LSN, 4_096)) == journal.end - FIRST_LSN


def test_another_jobs_segment_is_refused(tmp_path: Path) -> None:
    filled(tmp_path).close()
    with pytest.raises(Damaged, match="another job"):
        Journal(tmp_path, Start(job=bytes(16), generation=7))
