"""What a resync is about to overwrite or delete on the standby, kept in the quarantine first.

Asked before each record. A file is kept once, as it was before the first record that changes it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Sequence

from hsorch.node.replication.quarantine import Open
from hsorch.node.replication.record import Kind, Record
from hsorch.node.replication.tree import Tree
from hsorch.node.replication.whereabouts import Where, Whereabouts

_CONTENT = frozenset({Kind.WRITE, Kind.TRUNCATE, Kind.ALLOCATE, Kind.COPY, Kind.COMPENSATE})


class Keeper:
    """before() is called for each record before it is applied; look_ahead() instead of it for many records at
    once, none of which is applied yet."""

    def __init__(
        self,
        trees: Sequence[Tree],
        incident: Callable[[], Open],
        only: frozenset[int] | None = None,
        has_shared: Callable[[str, str], bool] = lambda path, relative: True,
    ) -> None:
        """incident(): the one that is being filled, which knows what room there is by now. only: fids that
        count; None: all. has_shared(path, relative): false for what counts, too, as it is nobody's copy.

        Walks the trees. Raises OSError."""
        self._trees = {tree.number: tree for tree in trees}
        self._incident = incident
        self._only = only
        self._has_shared = has_shared
        self._index = Whereabouts(trees)
        self._done: set[int] = set()

    def look_ahead(self, records: Iterable[Record]) -> None:
        """Raises as before() does, with nothing changed."""
        for record in records:
            self._look(record, applied=False)

    def before(self, record: Record) -> None:
        """Raises QuarantineFull, OSError; then the record must not be applied."""
        self._look(record, applied=True)

    def _look(self, record: Record, *, applied: bool) -> None:
        if record.kind in _CONTENT:
            self._content(record.fid)
        elif record.kind is Kind.IDENT:
            self._adopt(record)
        elif record.kind is Kind.UNLINK:
            self._name(record.aux, os.fsdecode(bytes(record.path)))
        elif record.kind is Kind.RENAME:
            self._rename(record, applied=applied)

    def _content(self, fid: int) -> None:
        where = self._index.where(fid)
        if where is not None and fid not in self._done:
            self._keep(fid, where)
            self._done.add(fid)

    def _name(self, number: int, name: str) -> None:
        """The file of this name loses it."""
        tree = self._trees[number]
        what = tree.look(name)
        if what is None or not (stat.S_ISREG(what.st_mode) or stat.S_ISLNK(what.st_mode)):
            return
        fid = tree.fid(name) if stat.S_ISREG(what.st_mode) else 0
        if fid not in self._done or fid == 0:
            self._keep(fid, (number, name))
            self._done.add(fid)

    def _adopt(self, record: Record) -> None:
        """The file of this name gets another identity."""
        name = os.fsdecode(bytes(record.path))
        tree = self._trees[record.aux]
        what = tree.look(name)
        if what is not None and stat.S_ISREG(what.st_mode):
            self._index.rename_identity(tree.fid(name), record.fid, record.aux, name)

    def _rename(self, record: Record, *, applied: bool) -> None:
        old, new = os.fsdecode(bytes(record.path)), os.fsdecode(bytes(record.data))
        self._name(record.aux, new)
        if not applied:
            self._name(record.aux, old)  # under its new name nobody could find it yet
            return
        tree = self._trees[record.aux]
        what = tree.look(old)
        if what is not None and stat.S_ISDIR(what.st_mode):
            self._index.move_folder(record.aux, old, new)
        elif what is not None and stat.S_ISREG(what.st_mode):
            self._index.remove(tree.fid(old), record.aux, old)
            self._index.add(tree.fid(old), record.aux, new)

    def _keep(self, fid: int, where: Where) -> None:
        tree = self._trees[where[0]]
        counts = self._only is None or fid in self._only
        if not counts and self._has_shared(tree.binding.path, where[1]):
            return
        if tree.look(where[1]) is not None:
            self._incident().keep(str(tree.folder), where[1])
