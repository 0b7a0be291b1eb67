"""Bytes that change by themselves: on the disk of either node and on the wire. Nothing damaged is applied.

What the stream lost is found by a comparison, which the pair begins by itself.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsorch.node.replication.record import Record, parse_all
from tests.replicators.killed_at import Moment
from tests.replicators.members import Link, Member, count, free_port, protected, rows, until
from tests.replicators.world import picture

pytestmark = [pytest.mark.lab, pytest.mark.timeout(150)]
HEAD = 64
"""Bytes before the records of a segment."""
RECORDS = ["flipped", "dropped", "doubled", "swapped"]
SEGMENTS = ["header", "gone", "all gone"]


class Pair:
    """a reaches b over a link that can be cut."""

    def __init__(self, home: Path) -> None:
        self.a, self.b = Member(home, "a", "127.0.0.1"), Member(home, "b", "127.0.0.2")
        port = free_port()
        self.link = Link("127.0.0.3", port, "127.0.0.2")
        self.a.enroll(self.b, "durable", port, via="127.0.0.3")
        self.b.enroll(self.a, "durable", port)
        for number in range(20):
            (self.a.data / f"old{number}").write_bytes(b"%d" % number * 3_000)

    def protect(self, *, b_dies: Moment | None = None) -> None:
        self.a.start()
        self.b.start(dies_at=b_dies)
        self.b.ask("role", role="target")
        self.a.ask("role", role="source")
        until(lambda: protected(self.a, self.b) and bool(self.b.ask("status")["guarded"]))

    def settle(self) -> None:
        """Both sides are equal, and nothing is in doubt any more."""
        until(lambda: protected(self.a, self.b) and bool(self.b.ask("status")["guarded"]))
        assert self.a.ask("drain", limit_s=30)["ok"]
        assert picture(self.a.data, times=False) == picture(self.b.data, times=False)
        assert "HS638" not in self.a.troubles() | self.b.troubles()

    def end(self) -> None:
        self.link.close()
        self.a.end()
        self.b.end()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path)
    try:
        yield made
    finally:
        made.end()


def spoil(member: Member, damage: str, after: int) -> None:
    """Of the records behind the place `after`, some in the middle; or the segment that holds them."""
    segment = max(p for p in member.places.journal.iterdir() if int(p.stem) <= after)
    if damage == "all gone":
        for path in member.places.journal.iterdir():
            path.unlink()
    elif damage == "gone":
        segment.unlink()
    elif damage == "shortened":
        with segment.open("r+b") as file:
            file.truncate(HEAD + max(0, after - int(segment.stem)) + 20)
    elif damage == "header":
        flip(segment, 9)
    else:
        spoil_records(segment, damage, after)


def spoil_records(segment: Path, damage: str, after: int) -> None:
    first, content = int(segment.stem), segment.read_bytes()
    records = [r for r in parse_all(content[HEAD:], first, None) if r.lsn >= after]
    one, other = records[len(records) // 2], records[len(records) // 2 + 1]

    def bytes_of(record: Record) -> bytes:
        return content[HEAD + record.lsn - first : HEAD + record.end - first]

    if damage == "flipped":
        flip(segment, HEAD + one.lsn - first + 30)
        return
    instead = {
        "dropped": bytes_of(other),
        "doubled": bytes_of(one) * 2,
        "swapped": bytes_of(other) + bytes_of(one),
    }[damage]
    behind = content[HEAD + other.end - first :]
    segment.write_bytes(content[: HEAD + one.lsn - first] + instead + behind)


def flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 0x20]))


def write_unsent(pair: Pair) -> int:
    """Records that the standby does not have; the place from which on."""
    until(lambda: pair.a.ask("status")["queue"] == 0)
    pair.link.cut()
    until(lambda: not pair.a.ask("status")["connected"])
    place = int(pair.a.ask("status")["lsn"])
    for number in range(30):
        (pair.a.data / f"new{number}").write_bytes(b"n%d" % number * 500)
    (pair.a.data / "old3").write_bytes(b"changed")
    (pair.a.data / "old4").unlink()
    return place


@pytest.mark.parametrize("damage", RECORDS)
def test_a_running_source_does_not_send_damaged_records(pair: Pair, damage: str) -> None:
    pair.protect()
    before = pair.a.ask("status")["copied"]
    spoil(pair.a, damage, write_unsent(pair))
    pair.link.mend()
    until(lambda: pair.a.ask("status")["copied"] > before)
    pair.settle()


@pytest.mark.parametrize("damage", [*RECORDS, *SEGMENTS, "shortened"])
def test_a_source_begins_again_without_the_records_it_lost(pair: Pair, damage: str) -> None:
    """Its files are what they were; the application has its service at once."""
    pair.protect()
    place = write_unsent(pair)
    pair.a.kill()
    spoil(pair.a, damage, place)
    pair.a.start()
    pair.a.ask("role", role="source")
    pair.link.mend()
    pair.settle()


@pytest.mark.parametrize("damage", [*RECORDS, *SEGMENTS])
def test_a_standby_that_lost_records_is_outdated_until_it_was_compared(pair: Pair, damage: str) -> None:
    pair.protect(b_dies=Moment("apply:Applier.apply", "before", 30))
    pair.b.arm()
    place = int(pair.b.ask("status")["applied"])
    application = count(pair.a, 0, 200)
    until(pair.b.died)
    pair.link.cut()
    spoil(pair.b, damage, place)
    pair.b.start()
    pair.b.ask("role", role="target")
    seen = pair.b.ask("status")
    assert not seen["guarded"], "what it acknowledged is lost"
    assert "HS638" in pair.b.troubles()
    pair.link.mend()
    assert application.wait(60) == 0
    pair.settle()
    assert rows(pair.b.data) == list(range(200))


def test_a_spool_that_ends_too_early_is_found_by_its_source(pair: Pair) -> None:
    """By itself it looks like one that was killed while it wrote."""
    pair.protect(b_dies=Moment("apply:Applier.apply", "before", 30))
    pair.b.arm()
    place = int(pair.b.ask("status")["applied"])
    application = count(pair.a, 0, 200)
    until(pair.b.died)
    spoil(pair.b, "shortened", place)
    pair.b.start()
    pair.b.ask("role", role="target")
    assert application.wait(60) == 0
    pair.settle()
    assert rows(pair.b.data) == list(range(200))


def test_a_byte_that_changes_on_the_wire_costs_a_connection_and_nothing_else(pair: Pair) -> None:
    pair.protect()
    before, meetings = pair.a.ask("status")["copied"], 4
    for number in range(meetings):
        pair.link.flip_next()
        (pair.a.data / f"new{number}").write_bytes(b"n" * 5_000)
        until(lambda: not pair.link.flips)
    pair.settle()
    assert pair.a.ask("status")["copied"] == before, "the stream went on"


@pytest.mark.parametrize("name", ["meta", "bound.json", "folders.json"])
def test_a_standby_without_memory_waits_for_a_word(pair: Pair, name: str) -> None:
    pair.protect()
    pair.b.kill()
    (pair.b.places.home / name).write_bytes(b"\xff" * 140_000)
    pair.b.start()
    assert pair.b.request("role", role="target")["code"] == "HS639"
    assert "HS639" in pair.b.troubles()
    winner = pair.a.ask("choose")["lineage"]
    pair.b.ask("choose", winner=winner)
    pair.b.ask("role", role="target")
    pair.settle()


def test_a_source_without_memory_waits_for_a_word(pair: Pair) -> None:
    pair.protect()
    pair.a.kill()
    (pair.a.places.home / "meta").write_bytes(b"\xff" * 140_000)
    pair.a.start()
    assert pair.a.request("role", role="source")["code"] == "HS639"
    winner = pair.a.ask("choose")["lineage"]
    pair.b.ask("choose", winner=winner)
    pair.a.ask("role", role="source")
    pair.settle()
    assert (pair.a.data / "old7").read_bytes() == b"7" * 3_000


@pytest.mark.parametrize("seed", range(6))
def test_any_damage_to_what_both_remember_ends_in_two_equal_folders(pair: Pair, seed: int) -> None:
    """Flipped, zeroed, shortened files of replication on both nodes, while the source has unsent records."""
    rng = random.Random(seed)
    pair.protect()
    write_unsent(pair)
    before = picture(pair.a.data, times=False)
    pair.a.kill()
    pair.b.kill()
    for member in (pair.a, pair.b):
        kept = ("own.crt", "own.key", "peer.crt", "setup.json")
        files = [p for p in member.places.home.rglob("*") if p.is_file() and p.name not in kept]
        for path in rng.sample(sorted(files), 2):
            ruin(path, rng)
    pair.link.mend()
    pair.b.start()
    pair.a.start()
    roles = ((pair.b, "target"), (pair.a, "source"))
    replies = [member.request("role", role=role) for member, role in roles]
    if "HS639" in [reply.get("code") for reply in replies]:
        winner = pair.a.ask("choose")["lineage"]
        pair.b.ask("choose", winner=winner)
        for member, role in roles:
            member.ask("role", role=role)
    pair.settle()
    assert picture(pair.a.data, times=False) == before, "the application's own files are untouched"


def ruin(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    at = rng.randrange(max(1, len(content)))
    how = rng.choice(["flip", "zero", "shorten"])
    if how == "flip" and content:
        content[at] ^= 1 << rng.randrange(8)
    elif how == "zero":
        content[at : at + 5_000] = bytes(len(content[at : at + 5_000]))
    else:
        del content[at:]
    path.write_bytes(content)
