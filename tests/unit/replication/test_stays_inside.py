"""Whatever somebody puts in the way at the standby: nothing outside the bound folders is changed."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from hsorch.node.replication.apply import Applier
from hsorch.node.replication.record import Kind, Record
from hsorch.node.replication.tree import Attributes, encode_attributes, encode_xattr
from tests.unit.replication.test_outline import Pair

MODE = encode_attributes(Attributes(mode=0o777))
TIME = encode_attributes(Attributes(mtime=7))


def _write(fid: int) -> Record:
    return Record(Kind.WRITE, 1, fid=fid, b=3, data=b"new")


def _mode(fid: int) -> Record:
    return Record(Kind.ATTRIBUTES, 1, fid=fid, data=MODE)


def _time(fid: int) -> Record:
    return Record(Kind.ATTRIBUTES, 1, fid=fid, data=TIME)


def _xattr(fid: int) -> Record:
    return Record(Kind.XATTR, 1, fid=fid, data=encode_xattr((b"user.colour", b"red")))


@pytest.mark.parametrize("record", [_write, _mode, _time, _xattr])
@pytest.mark.parametrize("at", ["d", "d/x"])
def test_a_link_that_was_put_in_the_way_since_the_files_were_looked_up(
    tmp_path: Path, record: Callable[[int], Record], at: str
) -> None:
    pair, outside = Pair(tmp_path, {"d/x": b"old"}), tmp_path / "outside"
    outside.mkdir()
    (outside / "x").write_bytes(b"another's")
    (outside / "x").chmod(0o600)
    before = os.stat(outside / "x")
    applier = Applier([pair.there.tree], lambda tree, name: None)
    (pair.copy / at).rename(tmp_path / "away")
    (pair.copy / at).symlink_to(outside if at == "d" else outside / "x")
    with contextlib.suppress(OSError):  # the standby says that it cannot be applied
        applier.apply(record(pair.here.tree.fid("d/x")))
    applier.close()
    after = os.stat(outside / "x")
    assert (outside / "x").read_bytes() == b"another's"
    assert (after.st_mode, after.st_mtime_ns) == (before.st_mode, before.st_mtime_ns)
    assert os.listxattr(outside / "x") == []


def test_a_folder_that_is_a_link_here_is_given_no_mode(tmp_path: Path) -> None:
    pair, outside = Pair(tmp_path, {"d/x": b"old"}), tmp_path / "outside"
    outside.mkdir(mode=0o700)
    (pair.copy / "d").rename(tmp_path / "away")
    (pair.copy / "d").symlink_to(outside)
    applier = Applier([pair.there.tree], lambda tree, name: None)
    applier.apply(Record(Kind.ATTRIBUTES, 1, path=b"d", data=MODE))
    applier.close()
    assert stat.S_IMODE(outside.stat().st_mode) == 0o700
