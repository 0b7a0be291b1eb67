"""One identity, two files: somebody copied one with its attributes, past the mount. They stay two."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from hsorch.node.replication.entries import fid_of
from hsorch.node.replication.messages import Outline
from hsorch.node.replication.record import Kind
from hsorch.node.replication.tls import Keys
from tests.replicators.comparing import Compared
from tests.replicators.world import picture
from tests.unit.replication.test_base_copy import bring, write
from tests.unit.replication.test_comparison import Side, compare, follow


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Side, Side]:
    return Side(tmp_path, "a", 1), Side(tmp_path, "b", 2)


def copied(side: Side) -> None:
    """The file that is called one, and the copy gets another content."""
    one, two = side.home / "data/one", side.home / "data/two"
    shutil.copy2(one, two)
    two.write_bytes(os.urandom(one.stat().st_size))
    assert fid_of(str(one)) == fid_of(str(two)) != 0


def equal(source: Side, target: Side) -> bool:
    return bool(picture(source.home / "data") == picture(target.home / "data"))


@pytest.mark.parametrize("size", [10, 600_000])
@pytest.mark.parametrize("how", ["a base copy", "a comparison"])
def test_two_files_of_the_source(
    sides: tuple[Side, Side], enrolled: tuple[Keys, Keys], how: str, size: int
) -> None:
    source, target = sides
    (source.home / "data/one").write_bytes(os.urandom(size))
    compare(source, source, 0, 0)  # it has an identity since
    copied(source)
    since, brought = bring(source, target, enrolled) if how == "a base copy" else (0, None)
    compare(source, target, 0, 0, since=since, brought=brought)
    assert equal(source, target)
    end = source.journal.end
    write(source, "two", b"later", 3)
    follow(target, source.journal, next(iter(source.journal.records(end))), None)
    assert equal(source, target)


@pytest.mark.parametrize("written", ["one", "two"])
def test_what_is_written_to_one_of_them_while_they_are_compared(
    sides: tuple[Side, Side], written: str
) -> None:
    """Its record names both; it must not stay in the other one at the standby."""
    source, target = sides
    (source.home / "data/one").write_bytes(b"the first one")
    compare(source, target, 0, 0)
    copied(source)

    def saw(outline: Outline) -> None:
        if outline.last:
            write(source, written, b"meanwhile", 0)

    journal = source.journal
    begin = journal.append(Kind.MIRROR_BEGIN)
    compared = Compared([source.tree], source.application.capture, [target.tree], saw=saw)
    follow(target, journal, begin, compared.run(begin))
    assert equal(source, target)


def test_two_files_of_the_standby(sides: tuple[Side, Side]) -> None:
    """What is written meanwhile gets into that one, and not into a copy that is about to go."""
    source, target = sides
    (source.home / "data/file").write_bytes(b"before")
    compare(source, target, 0, 0)
    shutil.copy2(target.home / "data/file", target.home / "data/a copy with its attributes")
    assert fid_of(str(target.home / "data/a copy with its attributes"))

    def saw(outline: Outline) -> None:
        if outline.last:
            write(source, "file", b"during", 0)

    journal = source.journal
    begin = journal.append(Kind.MIRROR_BEGIN)
    compared = Compared([source.tree], source.application.capture, [target.tree], extents={}, saw=saw)
    follow(target, journal, begin, compared.run(begin))
    assert picture(source.home / "data") == picture(target.home / "data")
