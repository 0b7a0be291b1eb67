"""Which file a record is about, where others lie beside the bound ones."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsorch.node.replication import apply
from hsorch.node.replication.apply import Applier, Astray
from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.record import Kind, Record
from hsorch.node.replication.tree import Attributes, Tree, encode_attributes
from tests.unit.replication.test_comparison import follow
from tests.unit.replication.test_outline import Pair


def test_a_copy_that_an_operator_put_beside_a_bound_file_gets_nothing_of_what_is_for_it(
    tmp_path: Path,
) -> None:
    """`cp -a` on the standby takes the identity along."""
    pair = Pair(tmp_path, {"a.db": b"first"}, include=("*.db",))
    shutil.copy2(pair.copy / "a.db", pair.copy / "a-before")
    assert os.getxattr(pair.copy / "a-before", "user.hsorch.fid")
    begin = pair.here.journal.append(Kind.BARRIER)
    pair.write("a.db", b"second")
    follow(pair.there, pair.here.journal, begin, None)
    assert (pair.copy / "a.db").read_bytes() == b"second"
    assert (pair.copy / "a-before").read_bytes() == b"first"


def test_a_bound_folder_that_was_moved_out_of_the_binding_on_the_standby_is_sent_again(
    tmp_path: Path,
) -> None:
    pair = Pair(tmp_path, {"d/e/a": b"content"}, include=("d/**",))
    (pair.copy / "d").rename(pair.copy / "b")
    pair.compare(lambda outline: outline.last or pair.write("d/e/a", b"changed meanwhile"))
    assert (pair.copy / "d/e/a").read_bytes() == b"changed meanwhile"
    assert (pair.copy / "b/e/a").read_bytes() == b"content"


@pytest.fixture
def standby(tmp_path: Path) -> Iterator[tuple[Path, Applier]]:
    (tmp_path / "a").write_bytes(b"first")
    tree = Tree(0, Binding(path=str(tmp_path), kind="ordered"))
    tree.set_fid("a", 7)
    applier = Applier([tree], lambda *_: None)
    yield tmp_path, applier
    applier.close()


def test_what_is_for_a_file_that_somebody_renamed_on_the_standby_gets_there(
    standby: tuple[Path, Applier],
) -> None:
    folder, applier = standby
    (folder / "a").rename(folder / "b")
    applier.apply(Record(Kind.WRITE, 5_000, fid=7, a=0, b=6, data=b"second"))
    applier.apply(Record(Kind.ATTRIBUTES, 5_100, fid=7, data=encode_attributes(Attributes(mode=0o604))))
    assert (folder / "b").read_bytes() == b"second"
    assert (folder / "b").stat().st_mode & 0o777 == 0o604
    assert not (folder / "a").exists()


def test_a_file_that_somebody_removed_on_the_standby_is_a_fault(standby: tuple[Path, Applier]) -> None:
    """Not passed over in silence: the source counts on it."""
    folder, applier = standby
    (folder / "a").unlink()
    for _ in range(2):
        with pytest.raises(Astray):
            applier.apply(Record(Kind.WRITE, 5_000, fid=7, a=0, b=6, data=b"second"))


def test_a_file_that_was_written_before_it_was_removed_is_missed_at_the_next_checkpoint(
    standby: tuple[Path, Applier],
) -> None:
    """It is still open, so that all goes on as if it were there."""
    folder, applier = standby
    applier.apply(Record(Kind.WRITE, 5_000, fid=7, a=0, b=6, data=b"second"))
    applier.checkpoint()
    (folder / "a").unlink()
    record = Record(Kind.WRITE, 5_100, fid=7, a=0, b=6, data=b"thirds")
    applier.apply(record)
    with pytest.raises(Astray, match="'a'"):
        applier.checkpoint()
    with pytest.raises(Astray):
        applier.apply(record)


def test_nothing_is_written_into_a_file_that_somebody_put_in_the_place_of_another(
    standby: tuple[Path, Applier],
) -> None:
    folder, applier = standby
    (folder / "mine").write_bytes(b"somebody's own")
    (folder / "mine").replace(folder / "a")
    with pytest.raises(Astray):
        applier.apply(Record(Kind.WRITE, 5_000, fid=7, a=0, b=6, data=b"second"))
    assert (folder / "a").read_bytes() == b"somebody's own"


def _another_in_its_place(folder: Path) -> None:
    (folder / "another").write_bytes(b"others")
    (folder / "another").chmod(0o600)
    (folder / "another").replace(folder / "a")


@pytest.mark.parametrize(
    "record",
    [
        Record(Kind.ATTRIBUTES, 5_000, fid=7, data=encode_attributes(Attributes(mode=0o644))),
        Record(Kind.LINK, 5_000, fid=7, path=b"b"),
    ],
    ids=["mode", "link"],
)
def test_what_is_for_a_file_is_not_done_to_one_that_somebody_put_in_its_place(
    standby: tuple[Path, Applier], record: Record
) -> None:
    folder, applier = standby
    _another_in_its_place(folder)
    for _ in "again", "and again":
        with pytest.raises(Astray):
            applier.apply(record)
    assert (folder / "a").stat().st_mode & 0o777 == 0o600
    assert [item.name for item in folder.iterdir()] == ["a"]


def test_a_link_to_a_file_that_somebody_renamed_on_the_standby_is_made(
    standby: tuple[Path, Applier],
) -> None:
    folder, applier = standby
    (folder / "a").rename(folder / "moved")
    applier.apply(Record(Kind.LINK, 5_000, fid=7, path=b"b"))
    assert (folder / "b").samefile(folder / "moved")


def test_what_is_missed_first_at_a_checkpoint_is_others_doing_too(standby: tuple[Path, Applier]) -> None:
    folder, applier = standby
    applier.apply(Record(Kind.ATTRIBUTES, 5_000, fid=7, data=encode_attributes(Attributes(mode=0o644))))
    (folder / "a").unlink()
    with pytest.raises(Astray):
        applier.checkpoint()


def test_a_file_that_somebody_else_made_is_not_renamed_over(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"first")
    (tmp_path / "b").write_bytes(b"nobody recorded it")
    tree = Tree(0, Binding(path=str(tmp_path), kind="ordered"))
    tree.set_fid("a", 7)
    kept: list[bytes] = []

    def set_aside(tree: Tree, name: str) -> None:
        kept.append(Path(tree.path(name)).read_bytes())
        os.unlink(tree.path(name))

    applier = Applier([tree], set_aside)
    applier.apply(Record(Kind.RENAME, 5_000, fid=7, path=b"a", data=b"b"))
    applier.close()
    assert kept == [b"nobody recorded it"]
    assert (tmp_path / "b").read_bytes() == b"first"


def test_a_bad_sector_at_the_end_of_a_file_is_written_over(
    standby: tuple[Path, Applier], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There the system reads what it writes a part of."""
    folder, applier = standby
    plain = apply.write_all

    def refuses(fd: int, data: memoryview, offset: int) -> None:
        if os.fstat(fd).st_size > offset:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        plain(fd, data, offset)

    monkeypatch.setattr(apply, "write_all", refuses)
    with pytest.raises(OSError, match="Input/output error"):  # more follows: nothing of that is given up
        applier.apply(Record(Kind.COPY, 5_000, fid=7, a=0, b=9, data=b"again"))
    applier.apply(Record(Kind.COPY, 5_000, fid=7, a=0, b=5, data=b"again"))
    assert (folder / "a").read_bytes() == b"again"
