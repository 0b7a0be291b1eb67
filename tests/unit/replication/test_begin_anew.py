"""A standby that is mirrored a second time: what it had is out of the way, and stays out of the way."""

from __future__ import annotations

from pathlib import Path

from hsorch.node.replication.apply import Applier
from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.record import Kind, Record
from hsorch.node.replication.tree import Tree

FID = 77


def mirrored(lsn: int, content: bytes) -> list[Record]:
    return [
        Record(Kind.IDENT, lsn, fid=FID, path=b"book"),
        Record(Kind.COPY, lsn + 100, fid=FID, a=0, b=len(content), data=content),
    ]


def test_a_second_mirror_writes_into_its_own_files(tmp_path: Path) -> None:
    folder, aside = tmp_path / "data", tmp_path / "aside"
    folder.mkdir()
    aside.mkdir()
    tree = Tree(0, Binding(path=str(folder), kind="ordered"))
    applier = Applier([tree], lambda *_: None)
    for record in mirrored(5_000, b"first"):
        applier.apply(record)
    (folder / "book").rename(aside / "book")
    applier.restart(10_000)
    for record in mirrored(10_000, b"second"):
        applier.apply(record)
    applier.checkpoint()
    applier.close()
    tree.close()
    assert (folder / "book").read_bytes() == b"second"
    assert (aside / "book").read_bytes() == b"first"
