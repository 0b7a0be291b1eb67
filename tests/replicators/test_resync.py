"""Where a stream is not enough: what differs is sent, what would be lost is kept, a standby stays usable."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hsorch.node.replication.pace import AHEAD_BYTES
from hsorch.node.replication.quarantine import Quarantine
from tests.replicators.members import Link, Member, count, free_port, protected, rows, until
from tests.replicators.world import picture

pytestmark = [pytest.mark.lab, pytest.mark.timeout(150)]
MB = 1_000_000


class Pair:
    """a reaches b over a link that can be cut; b reaches a directly."""

    def __init__(self, home: Path, level: str, **fields: int) -> None:
        self.a, self.b = Member(home, "a", "127.0.0.1"), Member(home, "b", "127.0.0.2")
        port = free_port()
        self.link = Link("127.0.0.3", port, "127.0.0.2")
        self.a.enroll(self.b, level, port, via="127.0.0.3", **fields)
        self.b.enroll(self.a, level, port, **fields)
        self.a.start()
        self.b.start()

    def settle(self, source: Member, target: Member) -> None:
        """Everything is on both sides."""
        until(lambda: level(source, target))
        assert source.ask("drain", limit_s=30)["ok"]
        assert picture(source.data, times=False) == picture(target.data, times=False)

    def end(self) -> None:
        self.link.close()
        self.a.end()
        self.b.end()


def level(source: Member, target: Member) -> bool:
    seen, there = source.ask("status"), target.ask("status")
    whole = there.get("consistent") and there.get("applied", -1) == there.get("lsn")
    return bool(seen.get("level") and whole and seen.get("lsn") == there.get("lsn"))


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path, "none")
    try:
        yield made
    finally:
        made.end()


@pytest.fixture
def complete(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path, "durable")
    try:
        yield made
    finally:
        made.end()


def kept(member: Member) -> list[str]:
    """Paths in the quarantine."""
    quarantine = Quarantine(member.places.quarantine, 0)
    names = [incident.about.incident for incident in quarantine.incidents()]
    return [os.fsdecode(one.path) for name in names for one in quarantine.listing(name) if one.entry]


def begin(pair: Pair, *, size: int = 0) -> None:
    if size:
        (pair.a.data / "large").write_bytes(os.urandom(size))
    pair.b.ask("role", role="target")
    pair.a.ask("role", role="source")
    pair.settle(pair.a, pair.b)


def test_an_old_active_is_rolled_back_and_only_what_differs_is_sent(pair: Pair) -> None:
    begin(pair, size=40 * MB)
    pair.link.cut()
    with (pair.a.data / "large").open("r+b") as file:
        file.seek(11 * MB)
        file.write(b"never sent")
    (pair.a.data / "unsent").write_bytes(b"only here")
    pair.a.kill()
    pair.b.ask("role", role="source", alone=True)
    with (pair.b.data / "large").open("r+b") as file:
        file.seek(33 * MB)
        file.write(b"written after the takeover")
    pair.a.start()
    pair.a.ask("role", role="target")
    pair.settle(pair.b, pair.a)
    assert not (pair.a.data / "unsent").exists()
    assert {"large", "unsent"} <= set(kept(pair.a))
    assert pair.b.ask("status")["copied"] < MB
    assert pair.b.ask("status")["generation"] == pair.a.ask("status")["generation"]


def test_a_standby_takes_over_on_its_old_image_in_the_middle_of_a_resync(pair: Pair) -> None:
    begin(pair, size=10 * MB)
    assert count(pair.a, 0, 20).wait(60) == 0
    pair.settle(pair.a, pair.b)
    before = picture(pair.b.data, times=False)
    pair.link.cut()
    (pair.a.data / "large").write_bytes(os.urandom(60 * MB))
    pair.a.ask("choose")
    pair.link.mend()
    pair.link.cut_after(20 * MB)
    until(lambda: not pair.link.up)
    assert pair.b.ask("status")["consistent"]
    pair.a.kill()
    assert picture(pair.b.data, times=False) == before
    pair.b.ask("role", role="source", alone=True)
    assert rows(pair.b.data) == list(range(20))
    named = {name for name in before if not name.startswith(".fuse_hidden")}
    assert set(picture(pair.b.data, times=False)) == named


def write(member: Member, seed: int) -> subprocess.Popen[bytes]:
    """Names, contents and attributes, in no order."""
    script = Path(__file__).with_name("random_ops.py")
    (member.data / f"{seed}").mkdir()
    return subprocess.Popen([sys.executable, str(script), str(member.data / f"{seed}"), str(seed), "300"])


def test_a_mirror_made_while_the_application_writes_is_equal_at_its_end(complete: Pair) -> None:
    data = complete.a.data
    (data / "before").write_bytes(os.urandom(20 * MB))
    (data / "twin").hardlink_to(data / "before")
    (data / "link").symlink_to("twin")
    complete.a.ask("role", role="source")
    writers = [write(complete.a, 1), write(complete.a, 2)]
    complete.b.ask("role", role="target")
    assert [writer.wait(60) for writer in writers] == [0, 0]
    complete.settle(complete.a, complete.b)


def test_a_link_that_breaks_again_and_again_costs_nothing_but_time(complete: Pair) -> None:
    pair = complete
    begin(pair)
    until(lambda: protected(pair.a, pair.b))
    writers = [write(pair.a, 3), write(pair.a, 4)]
    for _ in range(4):
        time.sleep(0.3)
        pair.link.cut()
        pair.link.mend()
    assert [writer.wait(60) for writer in writers] == [0, 0]
    pair.settle(pair.a, pair.b)
    assert pair.a.ask("status")["copied"] == 0, "the stream went on, nothing was compared"


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_mirror_that_broke_off_goes_on_where_it_was(pair: Pair, share: float) -> None:
    for number in range(30):
        (pair.a.data / f"{number}").write_bytes(os.urandom(MB))
    pair.link.cut_after(int(share * 30 * MB))
    pair.b.ask("role", role="target")
    pair.a.ask("role", role="source")
    until(lambda: not pair.link.up)
    pair.link.mend()
    pair.settle(pair.a, pair.b)
    assert pair.link.carried < 45 * MB, "what was on its way comes again"


@pytest.mark.parametrize("victim", ["source", "standby"])
def test_a_mirror_survives_the_end_of_either_process(pair: Pair, victim: str) -> None:
    """What a standby got since its last checkpoint comes again, and no more: a resync waits for it there."""
    for number in range(30):
        (pair.a.data / f"{number}").write_bytes(os.urandom(5 * MB))
    pair.link.cut_after(120 * MB)
    pair.b.ask("role", role="target")
    pair.a.ask("role", role="source")
    until(lambda: not pair.link.up)
    member, role = (pair.a, "source") if victim == "source" else (pair.b, "target")
    member.kill()
    member.start()
    pair.link.mend()
    member.ask("role", role=role)
    pair.settle(pair.a, pair.b)
    assert pair.link.carried < 150 * MB + AHEAD_BYTES + 10 * MB


def test_an_epoch_that_is_over_has_no_say(pair: Pair) -> None:
    begin(pair)
    pair.b.ask("authority", epoch=[5, 0])
    until(lambda: "epoch" in pair.a.ask("status")["state"])
    (pair.a.data / "stale").write_bytes(b"of the old epoch")
    time.sleep(1)
    assert not (pair.b.data / "stale").exists()
    pair.b.kill()
    pair.b.start()
    assert pair.b.ask("status")["epoch"] == [5, 0], "its node is told before it follows anybody"
    pair.b.ask("role", role="target")
    time.sleep(1)
    assert not pair.b.ask("status")["connected"], "it is durable"
    pair.b.ask("authority", epoch=[1, 0])
    assert pair.b.ask("status")["epoch"] == [5, 0], "a node that forgot it takes nothing back"
    pair.a.ask("authority", epoch=[5, 1])
    pair.settle(pair.a, pair.b)
    assert (pair.b.data / "stale").exists()
    assert pair.b.ask("status")["epoch"] == pair.a.ask("status")["epoch"] == [5, 1]


def test_both_went_on_alone_and_an_operator_chooses(pair: Pair) -> None:
    begin(pair, size=2 * MB)
    pair.link.cut()
    until(lambda: not pair.a.ask("status")["connected"])
    pair.a.ask("thaw")
    (pair.a.data / "here").write_bytes(b"a went on")
    pair.b.ask("role", role="source", alone=True)
    (pair.b.data / "there").write_bytes(b"b went on")
    (pair.b.data / "large").write_bytes(b"b has it otherwise")
    pair.b.ask("role", role="target", force=True)
    pair.link.mend()
    until(lambda: pair.a.ask("status")["refused"] == "HS690")
    assert (pair.b.data / "there").exists()
    winner = pair.a.ask("choose")["lineage"]
    pair.b.ask("choose", winner=winner)
    pair.settle(pair.a, pair.b)
    assert {"there", "large"} <= set(kept(pair.b))


def test_what_was_not_drained_before_the_roles_changed_is_seen(pair: Pair) -> None:
    begin(pair, size=2 * MB)
    pair.link.cut()
    (pair.a.data / "undrained").write_bytes(b"the other side never got it")
    pair.a.ask("role", role="none")
    pair.b.ask("role", role="source")
    (pair.b.data / "after").write_bytes(b"written by the new active")
    pair.a.ask("role", role="target")
    pair.settle(pair.b, pair.a)
    assert kept(pair.a) == ["undrained"]


def test_verify_finds_and_repairs_what_another_hand_changed(complete: Pair) -> None:
    pair = complete
    begin(pair, size=20 * MB)
    until(lambda: protected(pair.a, pair.b))
    with (pair.b.data / "large").open("r+b") as file:
        file.seek(5 * MB)
        file.write(b"another hand")
    (pair.b.data / "foreign").write_bytes(b"nobody sent it")
    application = count(pair.a, 0, 100)
    pair.a.ask("verify")
    until(lambda: not pair.a.ask("status")["verifying"])
    assert pair.b.ask("status")["guarded"], "complete all the while"
    assert application.wait(60) == 0
    pair.settle(pair.a, pair.b)
    # What the application changed between the picture and the comparison counts, too.
    assert 128 * 1024 <= pair.a.ask("status")["differing"] < MB
    assert pair.a.ask("status")["verified_ns"] > 0


def _removed(path: Path) -> None:
    path.unlink()


def _folder_removed(path: Path) -> None:
    shutil.rmtree(path.parent)


def _replaced(path: Path) -> None:
    path.with_name("mine").write_bytes(b"somebody's own")
    path.with_name("mine").replace(path)


def _replaced_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("others_hand", [_removed, _folder_removed, _replaced_by_a_folder, _replaced])
def test_what_others_took_from_the_standby_is_told_and_a_verify_brings_it_back(
    pair: Pair, others_hand: Callable[[Path], None]
) -> None:
    """Not by itself: whatever else they wrote there would be overwritten, too."""
    begin(pair)
    (pair.a.data / "folder").mkdir()
    (pair.a.data / "folder/file").write_bytes(b"first")
    pair.settle(pair.a, pair.b)
    others_hand(pair.b.data / "folder/file")
    with (pair.a.data / "folder/file").open("ab") as file:
        file.write(b" and second")
    (pair.a.data / "folder/another").write_bytes(b"beside it")
    until(lambda: bool(pair.b.ask("status")["fault"]))
    assert pair.b.ask("status")["verify_needed"]
    pair.a.ask("verify")
    until(lambda: (pair.b.data / "folder/another").exists())
    pair.settle(pair.a, pair.b)
    assert not pair.b.ask("status")["fault"]
    until(lambda: not pair.b.ask("status")["verify_needed"])


def test_a_comparison_in_the_place_of_a_stream_begins_again_when_the_link_breaks_in_it(pair: Pair) -> None:
    for number in range(1_500):
        (pair.a.data / f"file {number}").write_bytes(b"%d" % number)
    begin(pair)
    pair.settle(pair.a, pair.b)
    _removed(pair.b.data / "file 7")
    (pair.a.data / "file 7").write_bytes(b"written again")
    until(lambda: bool(pair.b.ask("status")["fault"]))
    pair.link.cut_after(30_000)  # a third of what it says of its files
    pair.a.ask("verify")
    until(lambda: not pair.link.up)
    pair.link.mend()
    pair.settle(pair.a, pair.b)


def test_a_verify_ends_beside_an_application_though_the_link_breaks_in_the_middle(complete: Pair) -> None:
    pair = complete
    for number in range(1_500):
        (pair.a.data / f"file {number}").write_bytes(b"%d" % number)
    begin(pair)
    until(lambda: protected(pair.a, pair.b))
    (pair.b.data / "file 1499").chmod(0o600)
    pair.link.cut_after(30_000)  # a third of what it says of its files
    writer = write(pair.a, 5)
    pair.a.ask("verify")
    until(lambda: not pair.link.up)
    pair.link.mend()
    until(lambda: bool(pair.a.ask("status")["verified_ns"]))
    assert pair.b.ask("status")["guarded"], "complete all the while"
    assert writer.wait(60) == 0
    pair.settle(pair.a, pair.b)


def test_a_guarded_source_is_guarded_at_once_when_it_comes_back(complete: Pair) -> None:
    pair = complete
    begin(pair)
    until(lambda: protected(pair.a, pair.b) and bool(pair.b.ask("status")["guarded"]))
    pair.link.cut()
    pair.a.kill()
    pair.a.start()
    pair.a.ask("role", role="source")
    application = count(pair.a, 0, 5)
    until(lambda: pair.a.ask("status")["frozen"] > 0)
    assert pair.b.ask("status")["guarded"]
    pair.link.mend()
    assert application.wait(60) == 0


def test_a_standby_with_a_damaged_spool_says_so_and_is_compared(complete: Pair) -> None:
    pair = complete
    begin(pair)
    until(lambda: protected(pair.a, pair.b) and bool(pair.b.ask("status")["guarded"]))
    before = pair.b.ask("status")["lsn"]
    assert count(pair.a, 0, 20).wait(60) == 0
    pair.b.kill()
    segment = max(pair.b.places.journal.iterdir())
    data = bytearray(segment.read_bytes())
    data[64 + before - int(segment.stem) + 90] ^= 0x40
    segment.write_bytes(data)
    pair.link.cut()
    pair.b.start()
    pair.b.ask("role", role="target")
    assert not pair.b.ask("status")["guarded"], "it acknowledged what is lost now"
    assert "damaged" in pair.b.ask("status")["verify_needed"]
    pair.link.mend()
    until(lambda: bool(pair.b.ask("status")["guarded"]))
    assert pair.b.ask("status")["verify_needed"] == ""
    pair.settle(pair.a, pair.b)
    assert rows(pair.b.data) == list(range(20))


def test_a_frozen_program_does_not_hold_up_the_end(complete: Pair) -> None:
    pair = complete
    begin(pair)
    until(lambda: protected(pair.a, pair.b))
    pair.link.cut()
    application = count(pair.a, 0, 5)
    until(lambda: pair.a.ask("status")["frozen"] > 0)
    pair.a.ask("role", role="none", force=True)
    assert application.wait(30) != 0, "its flush failed; it was not told that it held"


def test_a_standby_is_level_once_the_stream_stands_in_the_name_of_the_new_epoch(pair: Pair) -> None:
    """Until then a move in order would be refused, so nobody is told that it would be accepted."""
    begin(pair)
    assert pair.a.ask("status")["level"]
    assert not pair.a.ask("authority", epoch=[5, 0])["level"]
    until(lambda: bool(pair.a.ask("status")["level"]))
    pair.b.ask("authority", epoch=[5, 0])  # it has heard of it with the stream, and hangs up on nobody
    assert pair.a.ask("status")["level"]
