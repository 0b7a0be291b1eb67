"""Make the standby's folders equal to these by records: names that differ, attributes and blocks that differ.

One mechanism for the first mirror, every resync and verify. The application goes on meanwhile. What differs
is known from outlining.py; only that is looked at, and what changes while it is. Names: the
image (image.py) has the standby's names at the end of the stream, so under the lock of names each of ours is
made equal to it at one place of the order; a name that changes afterwards is looked at again, and the end is
written under the lock when none is left. Contents: a block that equals what the standby told, at the moment
it is read under its file's lock, is equal after the same writes on both sides; one that differs is copied
at that place of the order.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Sequence

from hsorch.node.replication.capture.files import Files
from hsorch.node.replication.capture.log import Log
from hsorch.node.replication.capture.nodes import Node, Nodes
from hsorch.node.replication.capture.outlining import Heard, Stopped
from hsorch.node.replication.doubt import Extents
from hsorch.node.replication.entries import FILE, FOLDER, LINK, xattrs_of
from hsorch.node.replication.image import Content, Image, is_zero
from hsorch.node.replication.portray import block_extents
from hsorch.node.replication.record import NAME_KINDS, Kind, Record, pack_owner
from hsorch.node.replication.tree import Attributes, Tree, encode_attributes, encode_xattr
from hsorch.node.replication.verify import BLOCK

PIECE_BYTES = 8 * BLOCK
COMPARED = "compared"
"""What the journal is kept for from MIRROR_BEGIN on, until run() has read it."""
PASSES = 3
"""What was written since the begin is read without the lock of names, then what came meanwhile, and so on:
only for the rest names have to wait."""
_PUNCH_KEEP_SIZE = 3


class Comparison:
    """Of one group with one standby. run() once; the counters may be read meanwhile. Bytes."""

    def __init__(
        self,
        trees: Sequence[Tree],
        log: Log,
        nodes: Nodes,
        files: Files,
        heard: Heard,
        *,
        extents: Extents | None = None,
        before: Callable[[Image], None] = lambda image: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """heard: what the standby says, complete once run() is called.

        extents: where contents can differ at all; None: everywhere. before(image): once the image follows
        the stream and nothing is recorded yet; what it raises ends run()."""
        self._trees = trees
        self._log = log
        self._nodes = nodes
        self._files = files
        self._extents = extents
        self._before = before
        self._stopped = stopped
        self._heard = heard
        self._image = heard.image
        self._again: dict[tuple[int, str], None] = {}
        self._thread = 0
        self.copied = 0
        self.checked = 0
        self.repaired = 0
        """Names that were missing there, too many, another file's, or of other attributes."""

    def run(self, begin: Record) -> Record:
        """The record MIRROR_END that closes `begin` (where the standby's image was told).

        Raises OSError; KeyError, Damaged (the journal); Stopped; what `before` raises.
        """
        self._thread = threading.get_ident()
        read = begin.lsn
        for _ in range(PASSES):
            read = self._read(read)
        with self._log.names:
            self._read(read)
            self._log.observer = self._follow
        self._log.journal.keep(COMPARED, None)
        try:
            self._before(self._image)
            for tree, name in (*self._heard.differing, *self._heard.beyond):
                self._check(tree, name)
            return self._close(begin)
        finally:
            if self._log.observer == self._follow:  # else a later comparison has begun by now
                self._log.observer = None

    def _read(self, lsn: int) -> int:
        """What has been done to names from there on; the end of that."""
        for record in self._log.journal.records(lsn):
            if record.kind in NAME_KINDS:
                self._image.apply(record)
                self._look_again(record)
            lsn = record.end
        return lsn

    def _follow(self, record: Record) -> None:
        self._image.apply(record)
        if threading.get_ident() != self._thread:
            self._look_again(record)

    def _look_again(self, record: Record) -> None:
        self._again[record.aux, os.fsdecode(bytes(record.path))] = None
        if record.kind is Kind.RENAME:
            self._again[record.aux, os.fsdecode(bytes(record.data))] = None

    def _close(self, begin: Record) -> Record:
        while True:
            with self._log.names:
                if not self._again:
                    return self._log.journal.append(Kind.MIRROR_END, a=begin.a, b=begin.lsn)
                number, name = next(iter(self._again))
                del self._again[number, name]
                below = list(self._image.below(number, name))
            tree = next(tree for tree in self._trees if tree.number == number)
            self._check(tree, name)
            for inner in [inner for inner, _ in tree.walk(name)] + below:
                self._check(tree, inner)

    # ------------------------------------------------------------------ names

    def _check(self, tree: Tree, name: str) -> None:
        """Make one name, and the file it leads to, equal at the standby."""
        if self._stopped():
            raise Stopped
        with self._log.names:
            what = tree.look(name)
            if what is None:
                self._remove(tree, name)
                return
            if stat.S_ISDIR(what.st_mode):
                self._folder(tree, name, what)
                return
            if stat.S_ISLNK(what.st_mode) and tree.covers(name):
                self._link(tree, name, what)
                return
            if not stat.S_ISREG(what.st_mode) or not tree.covers(name):
                self._remove(tree, name)
                return
            node = self._nodes.take(tree, name, identify=True)
            with node.lock:  # no record of it names an identity that is about to be another one
                self._unlike_copies(tree, name, node, what)
                self._file(tree, name, node.fid)
            content = self._image.content(node.fid)
            descriptor = os.open(tree.path(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            self._content(descriptor, node, content)
        finally:
            os.close(descriptor)
            self._nodes.drop(node)

    def _remove(self, tree: Tree, name: str) -> None:
        node = self._image.at(tree.number, name)
        if node is None or not name:
            return
        for inner in list(node.inner):
            self._remove(tree, f"{name}/{inner}")
        kind = Kind.REMOVE_DIRECTORY if node.kind == FOLDER else Kind.UNLINK
        self._record(kind, tree, name, fid=max(node.identity, 0))

    def _folder(self, tree: Tree, name: str, what: os.stat_result) -> None:
        node = self._image.at(tree.number, name)
        mode = stat.S_IMODE(what.st_mode)
        if node is not None and node.kind != FOLDER:
            self._remove(tree, name)
            node = None
        if not tree.covers_folder(name):  # only what is in it counts
            return
        if node is None:
            self._record(Kind.MAKE_DIRECTORY, tree, name, a=mode, b=pack_owner(what.st_uid, what.st_gid))
            node = self._image.at(tree.number, name)
        known = None if node is None else node.told
        if known is None or (known.mode, known.uid, known.gid) != (mode, what.st_uid, what.st_gid):
            value = Attributes(mode=mode, uid=what.st_uid, gid=what.st_gid)
            self._record(Kind.ATTRIBUTES, tree, name, data=encode_attributes(value))
        for data in _xattr_changes({} if known is None else known.xattrs, xattrs_of(tree.path(name))):
            self._record(Kind.XATTR, tree, name, data=data)

    def _link(self, tree: Tree, name: str, what: os.stat_result) -> None:
        to = os.fsencode(os.readlink(tree.path(name)))
        node = self._image.at(tree.number, name)
        if node is not None and node.kind == LINK and node.told is not None:
            known = node.told
            if (known.to, known.uid, known.gid) == (to, what.st_uid, what.st_gid):
                return
        self._remove(tree, name)
        self._record(Kind.SYMLINK, tree, name, data=to, b=pack_owner(what.st_uid, what.st_gid))

    def _unlike_copies(self, tree: Tree, name: str, node: Node, what: os.stat_result) -> None:
        """A copy that was made past the mount may have its original's identity: it gets one of its own. What
        was written to the one may stand in the other at the standby by now, so that is sent again."""
        names = self._image.names_of(node.fid)
        if (tree.number, name) in names or not any(self._is_another(at, node.fid, what) for at in names):
            return
        self._image.distrust(node.fid)
        self._again.update(dict.fromkeys(names))
        self._nodes.renew(node, tree, name)

    def _is_another(self, at: tuple[int, str], fid: int, what: os.stat_result) -> bool:
        """Whether the file that has this name is not the one looked at, and yet has its identity."""
        tree = next(tree for tree in self._trees if tree.number == at[0])
        found = tree.look(at[1])
        if found is None or not stat.S_ISREG(found.st_mode) or os.path.samestat(found, what):
            return False
        return tree.fid(at[1]) == fid

    def _file(self, tree: Tree, name: str, fid: int) -> None:
        """The name leads to this file at the standby, too."""
        node = self._image.at(tree.number, name)
        if node is not None and node.kind == FILE and node.identity == fid:
            return
        # What has an identity there may be written through the stream by that; what has none stands still.
        still = node is not None and node.kind == FILE and node.identity < 0
        takes_over = still and node is not None and self._image.names(node.identity) == 1
        if self._image.names(fid) or not takes_over:
            self._remove(tree, name)
        self._record(Kind.LINK if self._image.names(fid) else Kind.IDENT, tree, name, fid=fid)

    def _record(
        self, kind: Kind, tree: Tree, name: str, *, fid: int = 0, a: int = 0, b: int = 0, data: bytes = b""
    ) -> None:
        path = os.fsencode(name)
        with self._log.entry(kind, fid=fid, a=a, b=b, aux=tree.number, path=path, data=data):
            self.repaired += 1

    # ---------------------------------------------------------------- content

    def _content(self, descriptor: int, node: Node, content: Content) -> None:
        known = content.told
        if known is None or content.compared:
            return
        # The size comes first: what grows later on does so over zeros, here and there.
        with node.lock:
            size = os.fstat(descriptor).st_size
            changed = size != known.size or content.stale
            # Over nothing there are zeros anyway, so a small new file needs no record for its size alone.
            fresh = not (known.size or content.stale) and size <= PIECE_BYTES
            if changed and not fresh:
                if content.stale and size:
                    with self._log.entry(Kind.COPY, fid=node.fid):
                        pass
                with self._log.entry(Kind.COPY, fid=node.fid, b=size):
                    pass
            ranges = self._ranges(descriptor, size, node.fid, content)
        copied = self._pieces(descriptor, node, content, ranges)
        with node.lock:
            now = os.fstat(descriptor)
            if changed and fresh and not copied:
                with self._log.entry(Kind.COPY, fid=node.fid, b=now.st_size):
                    pass
            value = Attributes(
                mode=stat.S_IMODE(now.st_mode), uid=now.st_uid, gid=now.st_gid, mtime=now.st_mtime_ns
            )
            if (
                changed
                or copied
                or value != Attributes(mode=known.mode, uid=known.uid, gid=known.gid, mtime=known.mtime_ns)
            ):
                with self._log.entry(Kind.ATTRIBUTES, fid=node.fid, data=encode_attributes(value)):
                    pass
            for data in _xattr_changes(known.xattrs, xattrs_of(descriptor)):
                with self._log.entry(Kind.XATTR, fid=node.fid, data=data):
                    pass
            content.compared = True

    def _ranges(self, descriptor: int, size: int, fid: int, content: Content) -> list[tuple[int, int]]:
        """What must be read: data on either side; less than that where it is known what can differ."""
        assert content.told is not None
        if content.told.whole or self._extents is None:
            mine = list(block_extents(descriptor, size))
        else:
            beyond = content.told.size // BLOCK * BLOCK
            mine = [*self._extents.get(fid, ()), (beyond, size)]
        return _joined([*mine, *content.extents()], size)

    def _pieces(self, descriptor: int, node: Node, content: Content, ranges: list[tuple[int, int]]) -> bool:
        """Whether any of them differed. Raises Stopped."""
        copied = False
        for begin, end in ranges:
            for at in range(begin, end, PIECE_BYTES):
                if self._stopped():
                    raise Stopped
                copied |= self._piece(descriptor, node, content, at, min(PIECE_BYTES, end - at))
        return copied

    def _piece(self, descriptor: int, node: Node, content: Content, offset: int, length: int) -> bool:
        """Compare some blocks, record those that differ. Whether there were any."""
        with node.lock:
            data = memoryview(_read(descriptor, length, offset))
            size = os.fstat(descriptor).st_size
            self.checked += len(data)
            different = [
                at for at in range(0, len(data), BLOCK)
                if content.differs((offset + at) // BLOCK, data[at : at + BLOCK])
            ]  # fmt: skip
            for begin, end in _joined([(at, at + BLOCK) for at in different], len(data)):
                self._copy(node, offset + begin, size, data[begin:end])
        return bool(different)

    def _copy(self, node: Node, offset: int, size: int, data: memoryview) -> None:
        if all(is_zero(data[at : at + BLOCK]) for at in range(0, len(data), BLOCK)):
            with self._log.entry(Kind.ALLOCATE, fid=node.fid, a=offset, b=len(data), aux=_PUNCH_KEEP_SIZE):
                return
        self.copied += len(data)
        with self._log.entry(Kind.COPY, fid=node.fid, a=offset, b=size, data=data):
            pass


def _read(descriptor: int, length: int, offset: int) -> bytes:
    """Raises OSError, which names the file: somebody has to see to it."""
    try:
        return os.pread(descriptor, length, offset)
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.readlink(f"/proc/self/fd/{descriptor}")) from error


def _joined(ranges: list[tuple[int, int]], size: int) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for begin, end in sorted(ranges):
        end = min(end, size)
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        elif begin < end:
            joined.append((begin, end))
    return joined


def _xattr_changes(known: dict[str, bytes], now: dict[str, bytes]) -> list[bytes]:
    """Data of the records that turn one into the other."""
    gone = [(os.fsencode(name), None) for name in known.keys() - now.keys()]
    new = [(os.fsencode(name), value) for name, value in now.items() if known.get(name) != value]
    return [encode_xattr(change) for change in [*gone, *new]]
