"""The machine of the active node loses its power: what only the memory had is gone, and a little is compared.

Real disks do as they please then; here pages and the end of the journal are taken back by hand.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from hsorch.node.replication.capture.group import clear_mounts
from hsorch.node.replication.hot import EXTENT_BYTES
from hsorch.node.replication.meta import MetaFile
from hsorch.node.replication.setup import Setup
from tests.replicators.killed_at import Moment
from tests.replicators.members import Member, until
from tests.replicators.test_killed_at import ask_the_doomed
from tests.replicators.test_resync import MB, Pair, begin, kept

pytestmark = [pytest.mark.lab, pytest.mark.timeout(150)]
SIZE = 96 * MB
FEW = 2 * EXTENT_BYTES
"""What is compared when one extent is hot, and a little beyond."""


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path, "none")
    try:
        yield made
    finally:
        made.end()


def write(member: Member, offset: int, data: bytes) -> bytes:
    """What stood there before."""
    with (member.data / "large").open("r+b", buffering=0) as file:
        before = os.pread(file.fileno(), len(data), offset)
        os.pwrite(file.fileno(), data, offset)
    return before


def power_cut(member: Member, unsynced: dict[int, bytes], *, journal: int) -> None:
    """unsynced: what stands at these offsets again. journal: bytes of its end that were not on the disk."""
    member.kill()
    clear_mounts([member.data])
    for offset, before in unsynced.items():
        write(member, offset, before)
    segment = max(member.places.journal.iterdir())
    os.truncate(segment, segment.stat().st_size - journal)
    meta = MetaFile(member.places.meta)
    meta.change(boot="another")
    member.start()


def journal_size(member: Member) -> int:
    return sum(segment.stat().st_size for segment in member.places.journal.iterdir())


def test_an_active_that_comes_back_as_active_compares_only_what_was_hot(pair: Pair) -> None:
    """Its standby is ahead of it: it holds a write that is neither in the files here nor in the journal."""
    begin(pair, size=SIZE)
    before = journal_size(pair.a)
    old = write(pair.a, 50 * MB, b"only in memory when the power went")
    pair.settle(pair.a, pair.b)
    power_cut(pair.a, {50 * MB: old}, journal=journal_size(pair.a) - before)
    pair.a.ask("role", role="source")
    write(pair.a, 90 * MB, b"written before the standby was met again")
    pair.settle(pair.a, pair.b)
    seen = pair.a.ask("status")
    assert 0 < seen["checked"] <= 2 * FEW
    assert 0 < seen["copied"] < MB


def test_an_active_that_comes_back_as_a_standby_is_rolled_back_where_it_wrote(pair: Pair) -> None:
    begin(pair, size=SIZE)
    pair.link.cut()
    until(lambda: not pair.a.ask("status")["connected"])
    before = journal_size(pair.a)
    write(pair.a, 10 * MB, b"never sent, and gone from the journal, but not from the files")
    tail = journal_size(pair.a) - before
    pair.b.ask("role", role="source", alone=True)
    write(pair.b, 70 * MB, b"after the takeover")
    power_cut(pair.a, {}, journal=tail)
    pair.a.ask("role", role="target")
    pair.settle(pair.b, pair.a)
    seen = pair.b.ask("status")
    assert 0 < seen["checked"] <= 2 * FEW
    assert 0 < seen["copied"] < MB


def test_a_standby_that_was_away_gets_what_an_active_without_power_had_before(pair: Pair) -> None:
    """The places come from the journal: they are cold by then on the active's disk."""
    begin(pair, size=SIZE)
    pair.link.cut()
    until(lambda: not pair.a.ask("status")["connected"])
    write(pair.a, 30 * MB, b"the standby was away")
    pair.a.ask("role", role="none")
    pair.a.ask("role", role="source")
    power_cut(pair.a, {}, journal=0)
    pair.a.ask("role", role="source")
    pair.link.mend()
    pair.settle(pair.a, pair.b)
    assert 0 < pair.a.ask("status")["checked"] <= FEW


def test_without_its_activity_log_everything_is_compared(pair: Pair) -> None:
    begin(pair, size=SIZE)
    old = write(pair.a, 50 * MB, b"only in memory when the power went")
    pair.settle(pair.a, pair.b)
    data = bytearray(pair.a.places.hot.read_bytes())
    data[40] ^= 0x40
    pair.a.places.hot.write_bytes(data)
    power_cut(pair.a, {50 * MB: old}, journal=0)
    pair.a.ask("role", role="source")
    pair.settle(pair.a, pair.b)
    assert pair.a.ask("status")["checked"] >= SIZE


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_rollback_that_broke_off_still_knows_what_to_compare(pair: Pair, when: str) -> None:
    """The old active gives up its journal for the resync that begins, and remembers its own places."""
    begin(pair, size=SIZE)
    pair.link.cut()
    until(lambda: not pair.a.ask("status")["connected"])
    write(pair.a, 10 * MB, b"never sent")
    pair.a.kill()
    pair.b.ask("role", role="source", alone=True)
    write(pair.b, 70 * MB, os.urandom(MB))
    pair.a.start(dies_at=Moment("journal:Journal.restart", when))
    pair.a.arm()
    pair.a.ask("role", role="target")
    until(pair.a.died)
    pair.a.start()
    pair.a.ask("role", role="target")
    pair.settle(pair.b, pair.a)
    assert pair.b.ask("status")["checked"] <= 2 * FEW
    assert "large" in kept(pair.a)


@pytest.fixture
def crowded(tmp_path: Path) -> Iterator[Pair]:
    """No standby has room to hold a resync back: its files change as it comes."""
    made = Pair(tmp_path, "none", queue_bytes=4 * MB)
    try:
        yield made
    finally:
        made.end()


def break_off(pair: Pair, offset: int, written: bytes) -> None:
    """b went on alone and writes; its resync of a ends in the middle, while files change, with both. Then b
    is the source again."""
    pair.b.start(dies_at=Moment("capture.compare:Comparison._piece", "after", 20))
    pair.b.ask("role", role="source", alone=True)
    write(pair.b, offset, written)
    pair.b.arm()
    pair.a.start()
    pair.a.ask("role", role="target")
    until(pair.b.died)
    until(lambda: not pair.a.ask("status")["consistent"])
    pair.a.kill()
    pair.b.start()
    pair.b.ask("role", role="source")


def test_a_resync_that_broke_off_while_files_changed_still_knows_what_to_compare(crowded: Pair) -> None:
    """A file that it began to make again is compared whole, also where nobody wrote lately."""
    pair = crowded
    again = os.urandom(30 * MB)
    (pair.a.data / "again").write_bytes(again)
    begin(pair, size=SIZE)
    pair.link.cut()
    until(lambda: not pair.a.ask("status")["connected"])
    write(pair.a, 10 * MB, b"never sent")
    (pair.a.data / "again").unlink()
    pair.a.kill()
    pair.b.kill()
    break_off(pair, 70 * MB, os.urandom(MB))
    pair.a.start()
    pair.a.ask("role", role="target")
    pair.settle(pair.b, pair.a)
    assert (pair.a.data / "again").read_bytes() == again
    assert pair.b.ask("status")["checked"] <= 30 * MB + 2 * FEW
    assert "large" in kept(pair.a)


def test_what_was_written_since_a_resync_broke_off_is_compared_though_the_next_one_breaks_off_too(
    crowded: Pair,
) -> None:
    """The end of the spool said from where on; it was given up for the next one before a file changed."""
    pair = crowded
    begin(pair, size=SIZE)
    pair.link.cut()
    until(lambda: not pair.a.ask("status")["connected"])
    write(pair.a, 10 * MB, b"never sent")
    pair.a.kill()
    pair.b.kill()
    setup = msgspec.json.decode(pair.b.places.setup.read_bytes(), type=Setup)
    roomy = msgspec.structs.replace(setup, queue_bytes=1000 * MB)
    pair.b.places.setup.write_bytes(msgspec.json.encode(roomy))
    break_off(pair, 60 * MB, os.urandom(30 * MB))
    write(pair.b, 40 * MB, b"while the other one was away")
    pair.a.start(dies_at=Moment("resync:Receiving.begin", "after"))
    pair.a.arm()
    ask_the_doomed(pair.a, "role", role="target")
    until(pair.a.died)
    pair.a.start()
    pair.a.ask("role", role="target")
    pair.settle(pair.b, pair.a)
    assert pair.b.ask("status")["checked"] < SIZE // 2
