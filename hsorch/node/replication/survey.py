"""What a node's data are, and what would be lost if the other node's counted (REQ-H16, REQ-H17).

Looks and counts, decides nothing. Of ordered folders the journal above the fork says what this side alone
wrote; files are reached through the trees' descriptors, never through a mount of this very process. Watched
folders have no journal: listing.py compares them name by name.
"""

from __future__ import annotations

import heapq
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from hsorch.node.replication.generations import Lineage, meet
from hsorch.node.replication.journal import Journal
from hsorch.node.replication.orders import Role
from hsorch.node.replication.record import NAME_KINDS, Damaged, Kind
from hsorch.node.replication.tree import Tree

LISTED = 50
"""Files named at most; all are counted."""
_GONE = (Kind.UNLINK, Kind.REMOVE_DIRECTORY)


class SurveyInput(msgspec.Struct, frozen=True, kw_only=True):
    """theirs: the other node's lineage; None: only this node's is wanted. paths: what stands there, here?"""

    theirs: Lineage | None = None
    paths: tuple[bytes, ...] = ()


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One file. path: absolute, bytes as on the disk."""

    path: bytes
    size: int
    mtime_ns: int


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """One side of a choice. meeting, reason, fork: generations.meet() as seen from here."""

    node: str
    role: Role
    lineage: Lineage
    consistent: bool
    meeting: str = ""
    reason: str = ""
    fork: int = 0
    exact: bool = True
    """False: the journal does not reach back to the fork, so every replicated file counts."""
    files: int = 0
    size: int = 0
    """Bytes of those files."""
    written: int = 0
    """Bytes that were written into them after the fork; 0 where it is not exact."""
    removed: int = 0
    """Names that were taken away after the fork."""
    newest_ns: int = 0
    listed: tuple[Standing, ...] = ()
    """The newest of them, newest first."""
    asked: tuple[Standing, ...] = ()
    """What stands here at the paths of the question; those that are not here are left out."""


def survey(
    node: str,
    role: Role,
    lineage: Lineage,
    consistent: bool,
    trees: Sequence[Tree],
    journal: Journal,
    wanted: SurveyInput,
) -> Survey:
    """Takes as long as a walk through the folders. Raises OSError."""
    with ExitStack() as stack:
        own = []
        for tree in trees:
            # Of its own: the part that is played may end, and close its descriptors, while we walk.
            own.append(Tree(tree.number, tree.binding, Path(f"/proc/self/fd/{tree.descriptor}")))
            stack.callback(own[-1].close)
        bare = Survey(node=node, role=role, lineage=lineage, consistent=consistent)
        bare = msgspec.structs.replace(bare, asked=tuple(_standings(own, wanted.paths)))
        if wanted.theirs is None:
            return bare
        verdict = meet(lineage, wanted.theirs)
        seen = msgspec.structs.replace(
            bare, meeting=verdict.meeting.value, reason=verdict.reason, fork=verdict.fork
        )
        touched = _touched(journal, verdict.fork)
        return _count(seen, own, touched)


@dataclass
class _Touched:
    """exact False: everything."""

    exact: bool
    fids: set[int] = field(default_factory=set)
    names: set[tuple[int, bytes]] = field(default_factory=set)
    written: int = 0
    removed: int = 0

    def holds(self, tree: Tree, name: str) -> bool:
        if not self.exact:
            return True
        return (tree.number, os.fsencode(name)) in self.names or (
            bool(self.fids) and tree.fid(name) in self.fids
        )


def _touched(journal: Journal, fork: int) -> _Touched:
    """fork 0: the two sides have nothing in common. Not exact: the records above it are not here any more."""
    try:
        return _read(journal, fork) if fork else _Touched(exact=False)
    except (KeyError, Damaged):
        return _Touched(exact=False)


def _read(journal: Journal, fork: int) -> _Touched:
    found = _Touched(exact=True)
    for record in journal.records(fork):
        if record.fid:
            found.fids.add(record.fid)
        if record.kind in (Kind.WRITE, Kind.COPY):
            found.written += len(record.data)
        if record.kind in _GONE:
            found.removed += 1
        elif record.kind in NAME_KINDS:
            found.names.add((record.aux, bytes(record.path)))
        if record.kind is Kind.RENAME:
            found.names.add((record.aux, bytes(record.data)))
    return found


def _count(bare: Survey, trees: Sequence[Tree], touched: _Touched) -> Survey:
    files = size = newest = 0
    listed: list[tuple[int, bytes, int]] = []
    for standing in _lost(trees, touched):
        files, size = files + 1, size + standing.size
        newest = max(newest, standing.mtime_ns)
        item = (standing.mtime_ns, standing.path, standing.size)
        if len(listed) < LISTED:
            heapq.heappush(listed, item)
        else:
            heapq.heappushpop(listed, item)
    return msgspec.structs.replace(
        bare,
        exact=touched.exact,
        files=files,
        size=size,
        written=touched.written,
        removed=touched.removed,
        newest_ns=newest,
        listed=tuple(Standing(path=p, size=s, mtime_ns=m) for m, p, s in sorted(listed, reverse=True)),
    )


def _lost(trees: Sequence[Tree], touched: _Touched) -> Iterator[Standing]:
    if touched.exact and not (touched.fids or touched.names):
        return
    for tree in trees:
        for name, what in tree.walk():
            if stat.S_ISREG(what.st_mode) and tree.covers(name) and touched.holds(tree, name):
                path = os.fsencode(f"{tree.binding.path}/{name}")
                yield Standing(path=path, size=what.st_size, mtime_ns=what.st_mtime_ns)


def _standings(trees: Sequence[Tree], paths: Sequence[bytes]) -> Iterator[Standing]:
    for path in paths:
        for tree in trees:
            root = os.fsencode(tree.binding.path) + b"/"
            if not path.startswith(root):
                continue
            what = tree.look(os.fsdecode(path.removeprefix(root)))
            if what is not None and stat.S_ISREG(what.st_mode):
                yield Standing(path=path, size=what.st_size, mtime_ns=what.st_mtime_ns)
                break
