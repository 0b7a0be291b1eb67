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

from hsorch.node.replication import mirror
from hsorch.node.replication.ahead import Ahead
from hsorch.node.replication.base_copy import BaseCopy, Taking
from hsorch.node.replication.bindings import STAGING
from hsorch.node.replication.capture import outlining
from hsorch.node.replication.doubt import Brought
from hsorch.node.replication.messages import Ack, Begin, Bring
from hsorch.node.replication.meta import Place
from hsorch.node.replication.placing import Keep
from hsorch.node.replication.tls import Keys
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


def bring(
    source: Side,
    target: Side,
    keys: tuple[Keys, Keys],
    keep: Keep | None = None,
    came: Brought | None = None,
) -> tuple[int, Brought]:
    """Where records begin to touch it, and what was brought."""
    mine, other = channels(*keys)
    ahead = Ahead(other)

    def take() -> Brought | None:
        first = ahead.next(20)
        assert first is not None
        assert isinstance(first.message, Bring)
        other.send(Ack(received=0, durable=0, applied=0))
        taking = Taking([target.tree], ahead, other.send, Patient())
        brought = taking.take(keep, Brought() if came is None else came)
        assert taking.next is not None
        assert isinstance(taking.next.message, Begin), "the stream begins over the same connection"
        return brought

    try:
        with ThreadPoolExecutor() as pool:
            taken = pool.submit(take)
            capture = source.application.capture
            try:
                since = BaseCopy([source.tree], capture.log, capture.nodes).run(mine, lambda: None)
                mine.send(Begin(at=Place(), asked_from=0))
            except BaseException:
                mine.close()  # nobody waits for the rest
                raise
            brought = taken.result(20)
            assert brought is not None
            shutil.rmtree(target.home / "data" / STAGING)  # as the beginning of its stream does
            return since, brought
    finally:
        mine.close()
        ahead.end()
        mine.release()
        other.release()


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
    files = source.application.capture.files
    number = files.open(source.tree, "large", 2)
    files.write(number, b"written meanwhile", 2 * MIB)
    files.close(number)
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
    files, end = source.application.capture.files, source.journal.end
    number = files.open(source.tree, "file", os.O_RDWR)
    files.write(number, b"later", 0)
    files.close(number)
    follow(target, source.journal, next(iter(source.journal.records(end))), None)
    assert (target.home / "data/file").read_bytes() == b"later"


def test_a_file_that_the_copy_did_not_bring_is_compared(
    tmp_path: Path, enrolled: tuple[Keys, Keys], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had another name while it was listed; what the standby has of it under this one is older."""
    source, target = Side(tmp_path, "a", 1), Side(tmp_path, "b", 2)
    (source.home / "data/file").write_bytes(b"first")
    compare(source, target, 0, 0)
    files = source.application.capture.files
    number = files.open(source.tree, "file", 2)
    files.write(number, b"later", 0)
    files.close(number)
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
    compare(source, target, 0, 0, since=since, brought=brought)
    assert (target.home / "data/file").read_bytes() == b"later"
