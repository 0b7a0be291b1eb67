"""The source's idea of the standby's names is right, whatever records meet whatever folders."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from hsorch.node.replication.apply import Applier
from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.entries import FILE
from hsorch.node.replication.image import Image
from hsorch.node.replication.record import Kind, Record, pack_owner
from hsorch.node.replication.tree import Tree
from tests.replicators.comparing import image_of

OWN = pack_owner(os.getuid(), os.getgid())
names = st.sampled_from(["a", "b", "c", "a/b", "a/c", "b/a", "a/b/c"])
fids = st.integers(1, 5)
KINDS = (
    Kind.IDENT, Kind.CREATE, Kind.LINK, Kind.UNLINK, Kind.RENAME, Kind.MAKE_DIRECTORY,
    Kind.REMOVE_DIRECTORY, Kind.SYMLINK,
)  # fmt: skip
changes = st.lists(st.tuples(st.sampled_from(KINDS), names, names, fids), max_size=14)


def records(given_: list[tuple[Kind, str, str, int]], at: int, first_fid: int) -> list[Record]:
    """Identities are given once: a CREATE has a new one, an IDENT one that no other file bears."""
    made: list[Record] = []
    for number, (kind, name, other, fid) in enumerate(given_):
        identity = first_fid + number if kind in (Kind.CREATE, Kind.IDENT) else fid
        if kind is Kind.LINK and number % 2:
            identity = first_fid + max(0, number - fid)
        data = other.encode() if kind in (Kind.RENAME, Kind.SYMLINK) else b""
        if kind is Kind.RENAME and (name + "/").startswith(other + "/") | (other + "/").startswith(
            name + "/"
        ):
            continue
        made.append(Record(kind, at, fid=identity, a=0o700, b=OWN, path=name.encode(), data=data))
        at += 100
    return made


def seen(image: Image, names_: list[str]) -> list[tuple[str, int, int]]:
    found = []
    for name in names_:
        node = image.at(0, name)
        assert node is not None
        found.append((name, node.kind, node.identity if node.kind == FILE else 0))
    return sorted(found)


@settings(max_examples=300, deadline=None)
@given(changes, changes)
def test_names_follow_the_stream_as_the_standby_applies_it(
    before: list[tuple[Kind, str, str, int]], after: list[tuple[Kind, str, str, int]]
) -> None:
    home = Path(tempfile.mkdtemp())
    (home / "data").mkdir()
    aside = iter(range(1000))
    tree = Tree(0, Binding(path=str(home / "data"), kind="ordered"))

    def set_aside(tree: Tree, name: str) -> None:
        os.rename(tree.path(name), home / f"aside-{next(aside)}")

    try:
        applier = Applier([tree], set_aside)
        for record in records(before, 10_000, 1):
            applier.apply(record)
        image = image_of([tree])
        for record in records(after, 20_000, 101):
            applier.apply(record)
            image.apply(record)
        applier.close()
        real = image_of([tree])
        assert seen(image, list(image.below(0, ""))) == seen(real, list(real.below(0, "")))
    finally:
        tree.close()
        shutil.rmtree(home)
