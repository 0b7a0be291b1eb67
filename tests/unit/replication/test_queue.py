"""Beyond the cap only places are kept, and every byte written without its data is in one of them."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from hsorch.node.replication.dirty import BLOCK_BYTES, DirtyFile, DirtyMap
from hsorch.node.replication.gate import Gate
from hsorch.node.replication.journal import Journal
from hsorch.node.replication.pace import AHEAD_BYTES, paced
from hsorch.node.replication.queue import Queue
from hsorch.node.replication.record import Kind
from hsorch.node.replication.reserve import Reserve
from hsorch.node.replication.segments import Start

writes = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2**24), st.integers(0, 2**18)), max_size=30)


@given(writes)
def test_every_write_lies_in_a_dirty_range(done: list[tuple[int, int, int]]) -> None:
    dirty = DirtyMap()
    for fid, offset, length in done:
        dirty.add(fid, offset, length)
    for fid, offset, length in done:
        assert any(at <= offset and offset + length <= at + size for at, size in dirty.ranges(fid))
    assert dirty.bytes == sum(size for fid in dirty.files() for _, size in dirty.ranges(fid))


def queue_of(home: Path, journal: Journal) -> Queue:
    reserve, kept = Reserve(home / "reserve"), DirtyFile(home / "dirty")
    return Queue(journal, Gate("none"), reserve, kept, cap=100_000)


def test_over_the_cap_the_journal_says_so_once_and_data_are_left_out(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", Start(job=bytes(16), generation=1))
    queue = Queue(
        journal, Gate("none"), Reserve(tmp_path / "reserve"), DirtyFile(tmp_path / "dirty"), cap=100_000
    )
    for number in range(20):
        whole = queue.before(7, number * BLOCK_BYTES, 10_000)
        journal.append(
            Kind.WRITE, fid=7, a=number * BLOCK_BYTES, b=10_000, data=b"x" * 10_000 if whole else b""
        )
    kinds = [record.kind for record in journal.records(journal.first)]
    assert kinds.count(Kind.MIRROR_BEGIN) == 1
    assert queue.behind
    assert journal.end - journal.first < 120_000
    assert queue.level().bytes == 10 * BLOCK_BYTES
    assert queue.level().bytes == 10 * BLOCK_BYTES, "owed until somebody copied it"
    queue.closed()
    assert not queue.behind


def test_what_is_owed_is_known_without_the_records_that_said_so(tmp_path: Path) -> None:
    """Else they, and all the copies behind them, had to lie in the journal until the last one is done."""
    journal = Journal(tmp_path / "journal", Start(job=bytes(16), generation=1), segment_bytes=1000)
    queue = queue_of(tmp_path, journal)
    queue.held = True
    for number in range(50):
        queue.before(7, number * BLOCK_BYTES, 10)
        journal.append(Kind.WRITE, fid=7, a=number * BLOCK_BYTES, b=10)
    journal.delete_below(journal.end)
    assert journal.first == 4096, "as long as nobody else knows"
    owed = queue.level()
    journal.delete_below(journal.end)
    assert journal.first > 4096
    journal.close()
    journal = Journal(tmp_path / "journal", Start(job=bytes(16), generation=1), segment_bytes=1000)
    again = queue_of(tmp_path, journal)
    assert again.behind
    assert again.level().blocks == owed.blocks
    journal.append(Kind.MIRROR_END, a=1, b=again.owed_at)
    again.closed()
    assert not queue_of(tmp_path, journal).behind


def test_what_was_closed_is_not_owed_although_the_word_of_it_is_still_there(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", Start(job=bytes(16), generation=1))
    queue = queue_of(tmp_path, journal)
    queue.held = True
    queue.before(7, 0, 10)
    journal.append(Kind.WRITE, fid=7, b=10)
    queue.level()
    journal.append(Kind.MIRROR_END, a=1, b=queue.owed_at)
    assert not queue_of(tmp_path, journal).behind


def test_a_damaged_word_of_what_is_owed_is_noticed(tmp_path: Path) -> None:
    kept = DirtyFile(tmp_path / "dirty")
    assert not kept.damaged
    dirty = DirtyMap()
    dirty.add(7, 0, 1)
    kept.save(5, dirty)
    assert not kept.damaged
    data = bytearray((tmp_path / "dirty").read_bytes())
    data[-1] ^= 1
    (tmp_path / "dirty").write_bytes(data)
    assert kept.damaged


def test_a_resync_waits_while_its_standby_is_far_behind(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", Start(job=bytes(16), generation=1))
    gate = Gate("none")
    asked: list[bool] = []

    def ended() -> bool:
        asked.append(True)
        if len(asked) == 20:
            gate.acknowledge(journal.end, journal.end, 0)
        return False

    journal.end += 2 * AHEAD_BYTES
    assert not paced(journal, gate, ended)()
    assert len(asked) >= 20
