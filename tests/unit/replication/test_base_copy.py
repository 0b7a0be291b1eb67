"""What a base copy brings and the resync after it need not look at: right, whatever the application does."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hsorch.node.replication import mirror, partial, sender
from hsorch.node.replication.ahead import Ahead
from hsorch.node.replication.base_copy import BaseCopy, Taking
from hsorch.node.replication.bindings import STAGING
from hsorch.node.replication.capture import outlining
from hsorch.node.replication.doubt import Brought
from hsorch.node.replication.entries import Entry
from hsorch.node.replication.messages import Begin, Bring
from hsorch.node.replication.meta import Place
from hsorch.node.replication.placing import Keep
from hsorch.node.replication.tls import Keys
from hsorch.node.replication.verify import Hasher
from hsorch.node.replication.wire import Broken, Channel
from tests.replicators.world import picture
from tests.unit.replication.mirrors import channels
from tests.unit.replication.test_comparison import Side, compare, follow

MIB = 1 << 20


class Patient:
    """A disk that refuses nothing."""

    def refuse(self, path: str, why: str) -> None:
        raise AssertionError(why)

    def written(self, path: str) -> set[int] | None:
        return None

    def all_written(self, path: str, written: set[int]) -> None:
        raise AssertionError(path)


class Copy:
    """From one side to the other; run() again when it broke off."""

    def __init__(self, source: Side, target: Side, keys: tuple[Keys, Keys], keep: Keep | None = None) -> None:
        capture = source.application.capture
        self._source = BaseCopy([source.tree], capture.log, capture.nodes)
        self._target = target
        self._keys = keys
        self._keep = keep
        self.brought: Brought = {}
        self.came: Brought = {}

    def run(self) -> int:
        """Where records begin to touch it. Raises Broken."""
        mine, other = channels(*self._keys)
        ahead = Ahead(other)
        try:
            with ThreadPoolExecutor() as pool:
                taken = pool.submit(self._take, other, ahead)
                try:
                    since = self._source.run(mine, lambda: None)
                    mine.send(Begin(at=Place(), asked_from=0))
                    assert taken.result(20)
                finally:
                    mine.close()
            shutil.rmtree(self._target.home / "data" / STAGING)  # as the beginning of its stream does
            return since
        finally:
            ahead.end()
            mine.release()
            other.release()

    def _take(self, other: Channel, ahead: Ahead) -> bool:
        first = ahead.next(20)
        assert first is not None
        assert isinstance(first.message, Bring)
        taking = Taking([self._target.tree], ahead, other.send, Patient())
        other.send(taking.bare())
        try:
            whole = taking.take(self._keep, self.brought, self.came)
        except OSError:
            other.close()
            raise
        assert taking.next is not None
        assert isinstance(taking.next.message, Begin), "the stream begins over the same connection"
        return whole


def bring(
    source: Side,
    target: Side,
    keys: tuple[Keys, Keys],
    keep: Keep | None = None,
    came: Brought | None = None,
) -> tuple[int, Brought]:
    """Where records begin to touch it, and what was brought. came: by copies before it."""
    copy = Copy(source, target, keys, keep)
    copy.came = {} if came is None else came
    return copy.run(), copy.brought


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> Any:
    """busy(side, seed): its application does something at any step of a mirror from now on."""

    def begin(side: Side, seed: int) -> None:
        rng = random.Random(seed)

        def with_deeds(name: str) -> None:
            plain = getattr(mirror.Mirror, name)

            def wrapped(*args: Any) -> Any:
                for _ in range(rng.choice([0, 0, 1, 3])):
                    side.application.once()
                found = plain(*args)
                if rng.random() < 0.3:
                    side.application.once()
                return found

            monkeypatch.setattr(mirror.Mirror, name, wrapped)

        for name in ("_prepare", "_serve", "_finish", "_really_gone"):
            with_deeds(name)

    return begin


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(40))
def test_an_empty_standby_is_equal_though_the_application_does_anything(
    tmp_path: Path, enrolled: tuple[Keys, Keys], busy: Any, seed: int
) -> None:
    source, target = Side(tmp_path, "a", seed), Side(tmp_path, "b", 1_000 + seed)
    for _ in range(80):
        source.application.once()
    busy(source, seed)
    since, brought = bring(source, target, enrolled)
    compare(source, target, 2, 60, since=since, brought=brought)
    assert picture(source.home / "data") == picture(target.home / "data")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(40))
def test_a_standby_that_has_older_files_of_the_source_is_equal(
    tmp_path: Path, enrolled: tuple[Keys, Keys], busy: Any, seed: int
) -> None:
    """Of an earlier copy, under names and with contents of that time: none of it is taken for equal."""
    source, target = Side(tmp_path, "a", seed), Side(tmp_path, "b", 1_000 + seed)
    for _ in range(80):
        source.application.once()
    compare(source, target, 0, 0)
    for _ in range(60):
        source.application.once()
        target.application.once()
    busy(source, seed)
    since, brought = bring(source, target, enrolled)
    compare(source, target, 2, 60, since=since, brought=brought)
    assert picture(source.home / "data") == picture(target.home / "data")


def test_the_resync_after_it_reads_only_what_was_written_meanwhile(
    tmp_path: Path, enrolled: tuple[Keys, Keys]
) -> None:
    source, target = Side(tmp_path, "a", 1), Side(tmp_path, "b", 2)
    (source.home / "data/large").write_bytes(random.Random(3).randbytes(5 * MIB))
    (source.home / "data/small").write_bytes(b"small")
    since, brought = bring(source, target, enrolled)
    write(source, "large", b"written meanwhile", 2 * MIB)
    done = compare(source, target, 0, 0, since=since, brought=brought)
    assert done.checked == done.comparison.copied == 128 * 1024
    assert picture(source.home / "data") == picture(target.home / "data")


def test_a_name_that_the_file_system_lists_twice_takes_nothing_away_from_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As some do where it goes and comes again: there it must not be taken for two files of one identity."""
    source, target = Side(tmp_path, "a", 1), Side(tmp_path, "b", 2)
    (source.home / "data/file").write_bytes(b"first")
    compare(source, target, 0, 0)
    listed = os.scandir

    @contextlib.contextmanager
    def twice(at: Any) -> Iterator[Any]:
        with listed(at) as names:
            yield iter([*names] * 2)

    with monkeypatch.context() as patched:
        patched.setattr(outlining, "BATCH", 1)
        patched.setattr(outlining.os, "scandir", twice)
        compare(source, target, 0, 0)
    end = source.journal.end
    write(source, "file", b"later", 0)
    follow(target, source.journal, next(iter(source.journal.records(end))), None)
    assert (target.home / "data/file").read_bytes() == b"later"


def test_a_file_that_the_copy_did_not_bring_is_compared(
    tmp_path: Path, enrolled: tuple[Keys, Keys], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had another name while it was listed; what the standby has of it under this one is older."""
    source, target = Side(tmp_path, "a", 1), Side(tmp_path, "b", 2)
    (source.home / "data/file").write_bytes(b"first")
    compare(source, target, 0, 0)
    write(source, "file", b"later", 0)
    listed, finish = mirror.Mirror._list, mirror.Mirror._finish

    def elsewhere(self: mirror.Mirror) -> None:
        (source.home / "away").mkdir()
        (source.home / "data/file").rename(source.home / "away/file")
        listed(self)

    def back(self: mirror.Mirror) -> Any:
        (source.home / "away/file").rename(source.home / "data/file")
        return finish(self)

    monkeypatch.setattr(mirror.Mirror, "_list", elsewhere)
    monkeypatch.setattr(mirror.Mirror, "_finish", back)
    since, brought = bring(source, target, enrolled)
    assert (target.home / "data/file").read_bytes() == b"first"
    at = (source.home / "data/file").stat().st_mtime_ns
    os.utime(target.home / "data/file", ns=(at, at))
    compare(source, target, 0, 0, since=since, brought=brought)
    assert (target.home / "data/file").read_bytes() == b"later"


def test_a_standby_without_files_is_sent_them_unread(
    tmp_path: Path, enrolled: tuple[Keys, Keys], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is nothing to compare them with: each is read once, when it is sent. With files: as ever."""
    source, target = Side(tmp_path, "a", 1), Side(tmp_path, "b", 2)
    for number in range(30):
        (source.home / f"data/{number}").write_bytes(b"%d" % number)
    read: list[int] = []

    def counted(self: Hasher, fd: int, size: int) -> bytes:
        read.append(size)
        return plain(self, fd, size)

    plain = Hasher.small
    monkeypatch.setattr(Hasher, "small", counted)
    bring(source, target, enrolled)
    assert not read
    assert picture(source.home / "data") == picture(target.home / "data")
    bring(source, target, enrolled)
    assert len(read) == 60, "both sides"


def test_what_somebody_puts_on_a_standby_without_files_meanwhile_is_found(
    tmp_path: Path, enrolled: tuple[Keys, Keys], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even of the size and time of the source's: what the copy did not bring, the resync compares."""
    source, target = Side(tmp_path, "a", 1), Side(tmp_path, "b", 2)
    (source.home / "data/file").write_bytes(b"source")
    listed, at = mirror.Mirror._list, (source.home / "data/file").stat().st_mtime_ns

    def puts(self: mirror.Mirror) -> None:
        (target.home / "data/file").write_bytes(b"others")
        os.utime(target.home / "data/file", ns=(at, at))
        listed(self)

    monkeypatch.setattr(mirror.Mirror, "_list", puts)
    since, brought = bring(source, target, enrolled)
    assert (target.home / "data/file").read_bytes() == b"others"
    compare(source, target, 0, 0, since=since, brought=brought)
    assert (target.home / "data/file").read_bytes() == b"source"


def write(side: Side, name: str, data: bytes, offset: int) -> None:
    files = side.application.capture.files
    number = files.open(side.tree, name, os.O_RDWR)
    files.write(number, data, offset)
    files.close(number)


def break_off(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    """When all files are across, and no end of it is."""

    def breaks(self: mirror.Mirror) -> None:
        raise Broken("the link")

    with monkeypatch.context() as broken:
        broken.setattr(mirror.Mirror, "_finish", breaks)
        with pytest.raises(Broken):
            copy.run()


@pytest.fixture
def broken_off(
    tmp_path: Path, enrolled: tuple[Keys, Keys], monkeypatch: pytest.MonkeyPatch
) -> tuple[Copy, Side, Side]:
    """Of two large files, one and two; and its two sides."""
    source, target = Side(tmp_path, "a", 1), Side(tmp_path, "b", 2)
    for name in ("one", "two"):
        (source.home / "data" / name).write_bytes(os.urandom(5 * MIB))
    copy = Copy(source, target, enrolled)
    break_off(copy, monkeypatch)
    return copy, source, target


def test_a_copy_that_broke_off_reads_no_large_file_again(
    broken_off: tuple[Copy, Side, Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written to one of them before the link came back is found by the resync."""
    copy, source, target = broken_off
    write(source, "two", b"written meanwhile", 2 * MIB)
    with monkeypatch.context() as counted:

        def reads(*_: object) -> bytes:
            raise AssertionError("it is read again")

        counted.setattr(Hasher, "blocks", reads)
        since = copy.run()
    done = compare(source, target, 0, 0, since=since, brought=copy.brought)
    assert done.comparison.copied == 128 * 1024
    assert picture(source.home / "data") == picture(target.home / "data")


def test_another_file_that_has_a_name_when_a_copy_goes_on_is_sent(
    broken_off: tuple[Copy, Side, Side],
) -> None:
    copy, source, target = broken_off
    source.application.capture.names.rename(source.tree, "one", "two", replace=True)
    compare(source, target, 0, 0, since=copy.run(), brought=copy.brought)
    assert picture(source.home / "data") == picture(target.home / "data")


def test_a_file_that_was_half_written_when_a_copy_broke_off_is_of_no_use(
    broken_off: tuple[Copy, Side, Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one had its name for a moment, and had begun to replace it."""
    copy, source, target = broken_off
    rename = source.application.capture.names.rename
    rename(source.tree, "two", "away", replace=True)
    rename(source.tree, "one", "two", replace=True)

    finish = partial.Partials.finish

    def breaks(self: partial.Partials, file: int, entry: Entry) -> str:
        if entry.path == b"two":
            raise Broken("the link")
        return finish(self, file, entry)

    with monkeypatch.context() as broken:
        broken.setattr(partial.Partials, "finish", breaks)
        with pytest.raises(Broken):
            copy.run()
    rename(source.tree, "two", "one", replace=True)
    rename(source.tree, "away", "two", replace=True)
    compare(source, target, 0, 0, since=copy.run(), brought=copy.brought)
    assert picture(source.home / "data") == picture(target.home / "data")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(20))
def test_a_copy_that_breaks_off_anywhere_is_right_in_the_end(
    tmp_path: Path, enrolled: tuple[Keys, Keys], busy: Any, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    source, target = Side(tmp_path, "a", seed), Side(tmp_path, "b", 1_000 + seed)
    for _ in range(80):
        source.application.once()
    busy(source, seed)
    rng = random.Random(seed)
    plain, left = sender.Sender.flush, 3

    def flush(self: sender.Sender) -> None:
        nonlocal left
        if left and rng.random() < 0.4:
            left -= 1
            self._channel.close()
        plain(self)

    monkeypatch.setattr(sender.Sender, "flush", flush)
    copy, since = Copy(source, target, enrolled), None
    while since is None:
        with contextlib.suppress(Broken):
            since = copy.run()
    compare(source, target, 2, 60, since=since, brought=copy.brought)
    assert picture(source.home / "data") == picture(target.home / "data")
