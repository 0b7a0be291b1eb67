"""Both sides of a comparison read at the same time: what is the same is said in a byte, whatever goes on."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from hsorch.node.replication import answer
from hsorch.node.replication.answer import Answerer, Questions
from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.capture import outlining
from hsorch.node.replication.doubt import Extents
from hsorch.node.replication.entries import FILE, FOLDER
from hsorch.node.replication.image import Image, Told
from hsorch.node.replication.messages import Outline
from hsorch.node.replication.outline import Item, Part
from hsorch.node.replication.portray import BAD
from hsorch.node.replication.record import Damaged, Kind
from hsorch.node.replication.verify import Hasher
from tests.replicators.comparing import Compared
from tests.replicators.world import picture
from tests.unit.replication.test_comparison import OWNER, Side, follow


class Pair:
    """Equal, with the same identities; `saw` is called with each outline before it is answered."""

    def __init__(self, home: Path, files: dict[str, bytes], **fields: object) -> None:
        self.here, self.there = Side(home, "a", 1), Side(home, "b", 2)
        self.capture = self.here.application.capture
        for side in (self.here, self.there):
            side.tree.binding = Binding(path=str(side.home / "data"), kind="ordered", **fields)  # type: ignore[arg-type]
        for name, content in files.items():
            (self.data / name).parent.mkdir(parents=True, exist_ok=True)
            (self.data / name).write_bytes(content)
        self.compare()
        assert self.equal

    def close(self) -> None:
        for side in (self.here, self.there):
            side.journal.close()
            side.tree.close()

    @property
    def data(self) -> Path:
        return self.here.home / "data"

    @property
    def copy(self) -> Path:
        return self.there.home / "data"

    @property
    def equal(self) -> bool:
        return picture(self.data) == picture(self.copy)

    def compare(
        self, saw: Callable[[Outline], None] = lambda outline: None, *, extents: Extents | None = None
    ) -> Compared:
        journal = self.here.journal
        begin = journal.append(Kind.MIRROR_BEGIN)
        compared = Compared([self.here.tree], self.capture, [self.there.tree], extents=extents, saw=saw)
        end = compared.run(begin)
        follow(self.there, journal, begin, end)
        follow(self.there, journal, end, None)
        return compared

    def write(self, name: str, content: bytes) -> None:
        """As the application does."""
        number = self.capture.files.open(self.here.tree, name, os.O_RDWR | os.O_TRUNC)
        self.capture.files.write(number, content, 0)
        self.capture.files.close(number)


FILES = {"a": b"1" * 20_000, "d/b": b"2" * 300, "d/e/c": b"", "large": b"3" * 300_000}


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path, FILES)


@pytest.fixture
def small_outlines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlining, "BATCH", 1)
    monkeypatch.setattr(answer, "BATCH_OBJECTS", 1)


def test_of_what_is_the_same_only_folders_and_large_files_are_told_in_full(pair: Pair) -> None:
    again = pair.compare()
    assert again.in_full == ["d", "d/e", "large"]
    assert again.checked == again.outlining.total == 320_300
    assert (again.comparison.copied, again.comparison.repaired) == (0, 0)


@pytest.mark.parametrize("name", ["a", "large"])
def test_what_the_standbys_disk_cannot_read_any_more_is_sent_again(
    pair: Pair, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk puts what is written over a bad sector elsewhere."""
    bad = (pair.copy / name).stat().st_ino

    def refuses(call: Callable[..., Any]) -> Callable[..., Any]:
        def read(fd: int, *rest: Any) -> Any:
            if os.fstat(fd).st_ino == bad:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return call(fd, *rest)

        return read

    with monkeypatch.context() as broken:
        for call in ("read", "readv", "pread", "preadv"):
            broken.setattr(os, call, refuses(getattr(os, call)))
        assert pair.compare().comparison.copied == len(FILES[name])
    assert pair.equal


def test_a_disk_that_reads_nothing_any_more_gets_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no place for a copy, and the source would send everything."""
    pair = Pair(tmp_path, {f"large{n}": b"3" * 300_000 for n in range(BAD + 1)})
    monkeypatch.setattr(Hasher, "blocks", MagicMock(side_effect=OSError(errno.EIO, "a bad disk")))
    with pytest.raises(OSError, match="a bad disk"):
        pair.compare()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda there: (there / "a").write_bytes(b"1" * 19_999 + b"x"),
        lambda there: (there / "a").write_bytes(b"1" * 19_999),
        lambda there: (there / "a").chmod(0o604),
        lambda there: os.utime(there / "a", (1, 1)),
        lambda there: os.setxattr(there / "a", "user.colour", b"red"),
        lambda there: os.setxattr(there / "a", "user.hsorch.fid", b"another1"),
        lambda there: os.removexattr(there / "a", "user.hsorch.fid"),
        lambda there: os.link(there / "a", there / "d/a too"),
        lambda there: (there / "a").unlink(),
        lambda there: (there / "a").rename(there / "d/elsewhere"),
        lambda there: ((there / "a").unlink(), (there / "a").mkdir(), (there / "a/inner").write_bytes(b"x")),
        lambda there: ((there / "a").unlink(), (there / "a").symlink_to("d/b")),
    ],
    ids=["content", "size", "mode", "time", "xattr", "another identity", "no identity", "a second name",
         "gone", "another name", "a folder", "a link"],
)  # fmt: skip
def test_a_file_that_went_astray_on_the_standby_is_put_right(
    pair: Pair, spoil: Callable[[Path], object]
) -> None:
    kept = os.stat(pair.copy / "a").st_mtime_ns
    spoil(pair.copy)
    if (pair.copy / "a").is_file() and (pair.copy / "a").stat().st_mtime_ns != 1_000_000_000:
        os.utime(pair.copy / "a", ns=(kept, kept))
    assert "a" in pair.compare().in_full
    assert pair.equal
    assert pair.there.tree.fid("a") == pair.here.tree.fid("a")
    assert "a" not in pair.compare().in_full


def test_a_file_with_a_second_name_here_is_told_in_full(pair: Pair) -> None:
    os.link(pair.data / "a", pair.data / "d/a too")
    assert {"a", "d/a too"} <= set(pair.compare().in_full)
    assert pair.equal


def test_what_only_the_standby_has_goes_also_from_folders_that_are_the_same(pair: Pair) -> None:
    (pair.copy / "d/more/inside").mkdir(parents=True)
    for name in ("d/more/inside/x", "d/more/y", "d/e/z", "top"):
        (pair.copy / name).write_bytes(b"only here")
    pair.compare()
    assert pair.equal


def test_a_folder_that_is_a_link_on_the_standby_is_not_followed(pair: Pair, tmp_path: Path) -> None:
    (pair.copy / "d").rename(tmp_path / "outside")
    (pair.copy / "d").symlink_to(tmp_path / "outside")
    pair.compare()
    assert pair.equal
    assert sorted(path.name for path in (tmp_path / "outside").iterdir()) == ["b", "e"]


# -------------------------------------------------------------------- while the application goes on


@pytest.mark.usefixtures("small_outlines")
def test_a_file_may_be_rewritten_between_the_outline_and_the_answer(pair: Pair) -> None:
    def rewrite(outline: Outline) -> None:
        for part in outline.parts:
            for item in part.items:
                if item.kind == FILE:
                    name = os.fsdecode(part.folder + b"/" + item.leaf).lstrip("/")
                    pair.write(name, b"rewritten %d" % outline.number)

    pair.compare(rewrite)
    assert pair.equal
    assert (pair.copy / "a").read_bytes().startswith(b"rewritten")


def test_a_file_that_is_found_the_same_though_a_write_is_on_its_way_ends_the_same(pair: Pair) -> None:
    """The standby has by chance what will be written, and misses what is written before."""
    pair.write("a", b"old")

    def meanwhile(outline: Outline) -> None:
        if outline.number == 0:
            pair.write("a", b"new")

    pair.compare(meanwhile)
    assert (pair.copy / "a").read_bytes() == b"new"
    assert pair.equal


def test_a_deed_whose_record_comes_before_is_waited_for(pair: Pair) -> None:
    """Its record is none of those that the standby carries out after it answered."""
    (pair.copy / "d/b").write_bytes(b"2" * 300)  # a standby that missed the write
    os.utime(pair.copy / "d/b", ns=(7, 7))
    os.utime(pair.data / "d/b", ns=(7, 7))
    recorded = threading.Event()

    def write() -> None:
        fid = pair.here.tree.fid("d/b")
        with pair.capture.log.entry(Kind.WRITE, fid=fid, a=0, b=3, data=b"new"):
            recorded.set()
            time.sleep(0.3)
            with (pair.data / "d/b").open("r+b") as file:
                file.write(b"new")
            os.utime(pair.data / "d/b", ns=(7, 7))

    writer = threading.Thread(target=write)
    writer.start()
    recorded.wait()
    pair.compare()
    writer.join()
    assert pair.equal


@pytest.mark.usefixtures("small_outlines")
@pytest.mark.parametrize("at", range(5))
def test_a_folder_may_be_renamed_while_outlines_are_on_their_way(tmp_path: Path, at: int) -> None:
    pair = Pair(tmp_path, {f"{folder}/{name}": b"x" * 100 for folder in "abc" for name in ("1", "in/2")})
    for folder in "abc":
        (pair.copy / folder / "in/only here").write_bytes(b"y")

    def rename(outline: Outline) -> None:
        if outline.number == at:
            for folder in "abc":
                pair.capture.names.rename(pair.here.tree, folder, f"{folder} renamed", replace=True)

    done = pair.compare(rename)
    assert pair.equal
    assert done.comparison.copied == 0, "what has another name by now is no new file"


@pytest.mark.usefixtures("small_outlines")
def test_names_may_come_and_go_while_outlines_are_on_their_way(pair: Pair) -> None:
    names, tree = pair.capture.names, pair.here.tree
    deeds: list[Callable[[], object]] = [
        lambda: names.unlink(tree, "a"),
        lambda: pair.capture.files.close(names.create(tree, "a", 0o600, OWNER, os.O_RDWR)),
        lambda: names.rename(tree, "d/e", "e", replace=True),
        lambda: names.rename(tree, "large", "d/b", replace=True),
        lambda: names.link(tree, "d/b", "b too"),
        lambda: names.make_folder(tree, "new", 0o750, OWNER),
        lambda: names.rename(tree, "e/c", "new/c", replace=True),
    ]

    def go_on(_: Outline) -> None:
        if deeds:
            deeds.pop(0)()

    pair.compare(go_on)
    assert pair.equal


def test_a_file_that_was_the_same_and_then_becomes_another_one_keeps_nothing_of_it(pair: Pair) -> None:
    """Put in its place past the mount, it gets an identity with the first write through it."""
    for side in (pair.data, pair.copy):
        os.setxattr(side / "a", "user.colour", b"red")

    def exchange(outline: Outline) -> None:
        if outline.last:
            (pair.data / "other").write_bytes(b"another file")
            (pair.data / "other").rename(pair.data / "a")
            pair.write("a", b"of another colour")

    pair.compare(exchange)
    assert pair.equal


def test_a_name_that_a_changing_folder_lists_twice_is_one_name() -> None:
    image, item = Image(), Item(b"a", FILE, fid=5)
    image.same(0, "d", [item, item])
    image.add(Told(0, b"d/a", FILE, fid=5))
    assert image.names(5) == 1
    image.add(Told(0, b"d", FOLDER, mode=0o750))
    assert [image.at(0, name) is None for name in ("d", "d/a")] == [False, False]


def test_a_name_that_a_changing_folder_lists_twice_is_asked_about_once(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """xfs and btrfs list a name again that was renamed away and back meanwhile."""
    listed = os.scandir

    class Twice:
        def __init__(self, at: int) -> None:
            self._names = list(listed(at))

        def __enter__(self) -> Iterator[os.DirEntry[str]]:
            return iter(self._names * 2)

        def __exit__(self, *_: object) -> None: ...

    outlines: list[Outline] = []
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", Twice)
        done = pair.compare(outlines.append)
    asked = [(part.folder, item.leaf) for one in outlines for part in one.parts for item in part.items]
    assert len(asked) == len(set(asked))
    assert done.comparison.copied == done.comparison.repaired == 0


def test_folders_that_are_empty_fill_an_outline_like_others(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One message would not hold all those of a large tree."""
    monkeypatch.setattr(outlining, "BATCH", 10)
    for number in range(95):
        (pair.data / f"d/{number}").mkdir()
    said: list[int] = []
    pair.compare(lambda outline: said.append(sum(1 + len(part.items) for part in outline.parts)))
    assert max(said) <= 11
    assert pair.equal


# ------------------------------------------------------------------------- what is not looked at


def test_contents_are_not_read_where_they_cannot_differ(pair: Pair) -> None:
    fid = pair.here.tree.fid("d/b")
    for name in ("a", "d/b", "large"):
        times = os.stat(pair.copy / name)
        with (pair.copy / name).open("r+b") as file:
            file.write(b"astray")
        os.utime(pair.copy / name, ns=(times.st_atime_ns, times.st_mtime_ns))
    done = pair.compare(extents={fid: [(0, 131_072)]})
    assert done.in_full == ["d", "d/b", "d/e"]
    assert done.checked == done.outlining.total == 300
    assert (pair.copy / "d/b").read_bytes() == FILES["d/b"]
    assert (pair.copy / "a").read_bytes()[:6] == b"astray", "nobody said that it could"


def test_a_binding_of_some_files_reaches_into_folders_that_are_not_its_own(tmp_path: Path) -> None:
    pair = Pair(tmp_path, {"sub/in/a.db": b"x" * 1000}, include=("*.db",))
    (pair.copy / "sub/notes").write_bytes(b"of this node")
    (pair.copy / "own").mkdir()
    (pair.copy / "own/old.db").write_bytes(b"gone at the source")
    again = pair.compare()
    assert again.comparison.copied == 0
    assert (pair.copy / "sub/in/a.db").read_bytes() == b"x" * 1000
    assert (pair.copy / "sub/notes").exists()
    assert not (pair.copy / "own/old.db").exists()
    assert pair.compare().comparison.repaired == 0


@pytest.mark.parametrize(
    "part",
    [
        Part(0, b"..", []),
        Part(0, b"/etc", []),
        Part(0, b"d/../..", []),
        Part(7, b"", []),
        Part(-1, b"", []),
        Part(0, b"d", [Item(b"..", FILE)]),
        Part(0, b"d", [Item(b"ok", FILE), Item(b"../../x", FILE)]),
        Part(0, b"d", [Item(b"e/c", FILE)]),
        Part(0, b"d", [Item(b"", FILE)]),
        Part(0, b"d", [Item(b"a\0", FILE)]),
    ],
    ids=str,
)
def test_names_outside_the_bound_folders_are_refused(part: Part) -> None:
    with pytest.raises(Damaged, match="leaves the bound folders"):
        Questions(1).put(Outline(lsn=1, number=0, parts=[part]))


def test_a_standby_tells_nothing_about_what_lies_behind_a_link(pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_bytes(b"x")
    (pair.copy / "way").symlink_to(tmp_path / "outside")
    outline = Outline(lsn=1, number=0, parts=[Part(0, b"way", [Item(b"secret", FILE, fid=1)])])
    (told,) = Answerer([pair.there.tree], None).answer(outline)
    assert (told.objects, told.same) == ([], b"\0")
