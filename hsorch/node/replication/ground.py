"""What both parts of replication on a node stand on: durable state, journal, bound folders.

Source and target use the same ones, one after the other. Which part is played is decided elsewhere.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from hsorch.errors import NodeError
from hsorch.node.clock import utc_text
from hsorch.node.replication.bound import Bound
from hsorch.node.replication.capture.group import clear_mounts, recover
from hsorch.node.replication.capture.log import Mark
from hsorch.node.replication.dirty import DirtyFile
from hsorch.node.replication.folders import Folders, likeness
from hsorch.node.replication.generations import NOWHERE, Lineage, doubted, reached, selected
from hsorch.node.replication.hot import HotFile
from hsorch.node.replication.journal import Journal
from hsorch.node.replication.messages import Hello
from hsorch.node.replication.meta import Meta, MetaFile, Place
from hsorch.node.replication.quarantine import About, Quarantine, limit_of
from hsorch.node.replication.quarantine import Open as Incident
from hsorch.node.replication.record import Damaged
from hsorch.node.replication.segments import Start
from hsorch.node.replication.setup import Places, Setup
from hsorch.node.replication.tree import Tree, sync_filesystem
from hsorch.verbs import LimitReport

Kept = TypeVar("Kept")
LOST = "the spool is damaged, and acknowledged records are lost with it"
TORN = "HS639"
BEYOND = 1 << 48
"""More bytes than are written between two orderly ends."""
IN_THE_WAY = "in the way"
FORGOTTEN = "the power went, and records were acknowledged that only the memory had"


class Ground:
    """What both parts stand on: durable state, journal, bound folders."""

    def __init__(self, places: Places, setup: Setup, boot: str) -> None:
        """Raises NodeError HS639 (durable state torn), HS674, HS682, segments.Foreign, OSError."""
        clear_mounts([Path(binding.path) for binding in setup.ordered])
        self.bound = kept(Bound, places.bound)
        for binding in setup.bindings:
            self.bound.is_there(binding)
        self.places, self.setup, self.boot = places, setup, boot
        job = bytes.fromhex(setup.job)
        self.folders = kept(Folders, places.folders)
        first = Meta(node=setup.node, job=job, boot=boot)
        self.meta = kept(lambda file: MetaFile(file, first), places.meta)
        self.rebooted = self.meta.value.boot != boot
        self.hot = HotFile(places.hot)
        self.owed = DirtyFile(places.dirty)
        self.trees = [Tree(number, binding) for number, binding in enumerate(setup.ordered)]
        self.comparing: set[str] = set()
        """Watched folders ("": the ordered ones) whose comparison began, and since then nobody else was found
        to change something there; it would not see that."""
        self._incident: Incident | None = None
        self._files_refused = self.meta.value.refused
        """Also while the disk takes no word of it."""
        self._refusals = 0
        """Those of the journal's disk that are noted."""
        self.lost_promised = ""
        """Why what had counted as complete is not, as opening or settling found; empty: nothing was found."""
        self.journal = Journal(places.journal, begins_at(self.meta.value), on_damage=self.note_loss)
        if self.journal.void and self.meta.value.role != "none" and self.meta.value.generations.current:
            self.note_loss(NOWHERE)

    def settle(self) -> int:
        """Files, journal and checkpoint agree, however the last part ended here. Records done again.

        Raises OSError, Damaged."""
        meta = self.meta.value
        redone = 0
        if meta.role == "source":
            lineage = meta.generations
            if not meta.clean and self.rebooted:
                lineage = doubted(lineage, self.journal.end)
            elif not meta.clean:
                try:
                    redone = self._redo()
                except Damaged:
                    lineage = doubted(lineage, self.journal.end)
            if damaged := self.owed.damaged:
                lineage = doubted(lineage, NOWHERE)
            if damaged or self.journal.end < self.hot.settled:  # what is hot counts on records that are lost
                self.hot.replace(None, self.journal.end)
            self.rest(lineage)
            if damaged:
                self.owed.drop()
            return redone
        if meta.guarded and self.rebooted and not meta.clean and self.setup.level == "received":
            self.lost_promised = FORGOTTEN
            self.meta.change(guarded=False)
        if meta.checkpoint.lsn == 0:
            first = self.journal.first
            at = Place(generation=self.journal.generation, lsn=first, crc=self.journal.crc_before(first))
            self.meta.change(checkpoint=at)
        elif not self._reaches(meta.checkpoint):
            # Where the spool begins anew was durable, that it does was not; or its end was lost.
            if meta.guarded:
                self.note_loss(self.journal.end)
            self._journal_at(meta.checkpoint)
        return redone

    def _redo(self) -> int:
        """What the journal holds and a killed source may not have done. Raises Damaged: it is not there."""
        mark = Mark(self.places.mark)
        try:
            if not 0 < mark.get() <= self.journal.end:
                raise Damaged(self.journal.end, f"{self.places.mark} leads to no place in the journal")
            return recover(self.trees, self.journal, mark.get(), self.set_aside)
        finally:
            mark.close()

    def records_lost(self, lsn: int) -> None:
        """The record at lsn cannot be read: it and all behind it are dropped. Raises OSError."""
        self.note_loss(lsn)
        self.journal.cut(lsn)

    def refused(self, lsn: int) -> bool:
        """Whether the disk refused to sync records since this was asked last; then nobody counts on them from
        lsn on, as it has forgotten them and the next sync says nothing of it. Raises OSError."""
        refusals = self.journal.refusals
        if refusals == self._refusals:
            return False
        self.note_loss(lsn)
        self._refusals = refusals
        return True

    def forget_records(self) -> None:
        """What cannot be read is of no use: the standby is compared instead. Raises OSError."""
        self.meta.change(generations=doubted(self.meta.value.generations, NOWHERE))
        here = self.here()
        self.journal.restart(Start(self.journal.job, here.generation, here.lsn, here.crc))

    def note_loss(self, lsn: int) -> None:
        """Records from lsn on are lost, or may be: durable before their traces are gone. Raises OSError."""
        meta = self.meta.value
        if meta.role == "source":
            self.meta.change(generations=doubted(meta.generations, lsn))
            return
        self.lost_promised = LOST if meta.guarded else self.lost_promised
        self.meta.change(torn=True, guarded=False, verify_needed=LOST)

    def files_refused(self) -> None:
        """By the disk, which has forgotten them: the next sync says nothing of it. Raises OSError."""
        self._files_refused = True
        self.meta.change(refused=True)

    def rest(self, lineage: Lineage) -> None:
        """Everything that was done as a source is on stable storage, or known to be in doubt; only then the
        end is an orderly one.

        Raises OSError."""
        self.journal.sync()
        try:
            for tree in self.trees:
                sync_filesystem(tree.descriptor)
        except OSError:
            self.files_refused()
            raise
        if self._files_refused:
            lineage = doubted(lineage, self.journal.end)
        if not lineage.tail_unsure:
            self.hot.replace(frozenset(), self.journal.end)
        self.meta.change(
            checkpoint=self.here(), generations=reached(lineage, self.journal.end), clean=True, refused=False
        )
        self._files_refused = False

    def drop_stage(self) -> None:
        """What a resync brought so far is forgotten: the files are those before it. Raises OSError."""
        over = self.meta.value.staged_over
        if over is not None:
            for tree in self.trees:
                tree.set_applied(over.lsn)
            self.meta.change(checkpoint=over, staged_over=None, keep="", marks=(0, 0))
            self._journal_at(over)

    def drop_held(self) -> None:
        """Records that were held back from the files are forgotten: nobody may count on them.

        Raises OSError."""
        at = self.meta.value.checkpoint
        if at.lsn < self.journal.end:
            self._journal_at(at)

    def _reaches(self, place: Place) -> bool:
        try:
            return self.journal.crc_before(place.lsn) == place.crc
        except (KeyError, Damaged):
            return False

    def _journal_at(self, place: Place) -> None:
        self.journal.restart(Start(self.journal.job, place.generation, place.lsn, place.crc))

    def lineage(self) -> Lineage:
        """Of the files as they are now, with the end of what was written or received here."""
        meta = self.meta.value
        end = self.journal.end if meta.staged_over is None else meta.staged_over.lsn
        return reached(meta.generations, end)

    def choose(self) -> Lineage:
        """An operator chose this side: durably a generation that the other side can only receive whole."""
        lineage = selected(self.lineage(), new_generation())
        self.meta.change(generations=lineage)
        self.journal.begin_generation(lineage.current)
        return lineage

    def raise_epoch(self, epoch: tuple[int, int]) -> bool:
        """In whose name this node speaks, durably; a lower one is ignored. Whether it was higher."""
        higher = epoch > self.meta.value.epoch
        if higher:
            self.meta.change(epoch=epoch)
        return higher

    def here(self) -> Place:
        journal = self.journal
        return Place(generation=journal.generation, lsn=journal.end, crc=journal.crc)

    def hello(self, *, midway: bool = False) -> Hello:
        """midway: as Receiving's."""
        meta = self.meta.value
        return Hello(
            job=meta.job,
            node=self.setup.node,
            purpose="stream",
            epoch=meta.epoch,
            lineage=self.lineage(),
            end=Place() if meta.torn else self.here(),
            folders=likeness(self.setup.ordered),
            doubts=meta.torn
            or bool(meta.verify_needed)
            or (self.hot.spans is None and meta.role == "target"),
            midway=midway,
        )

    def incident(self, name: str, reason: str, generation: int = 0, fork: int = 0) -> Incident:
        """Opened in the quarantine, whose bound is what is free now; the same one until it is let go, as
        all that lies there is looked through. Raises OSError."""
        known = self._incident  # whoever serves a connection may let it go meanwhile
        if known is not None and known.name == name:
            return known
        folder = self.places.quarantine
        now = utc_text(time.time_ns())
        about = About(incident=name, time=now, reason=reason, generation=generation, fork=fork)
        self._incident = opened = Quarantine(folder, limit_of(folder, self.setup.limits.warn)).open(about)
        return opened

    def let_go(self) -> None:
        """An operator may drop the incident that was filled; and there may be more room for the next one."""
        self._incident = None

    def set_aside(self, tree: Tree, name: str) -> None:
        """What stands in the way of the stream and was recorded by nobody goes into the quarantine.

        Raises QuarantineFull, OSError: it is still there."""
        what = tree.look(name)
        if what is None:
            return
        if not stat.S_ISDIR(what.st_mode):
            self._keep_aside(str(tree.folder), name)
            os.unlink(tree.path(name))
            return
        for inner, of_inner in tree.walk(name):
            if not stat.S_ISDIR(of_inner.st_mode):
                self._keep_aside(str(tree.folder), inner)
        shutil.rmtree(tree.path(name))

    def _keep_aside(self, folder: str, name: str) -> None:
        """In one incident a name is kept only once: what follows it there goes into the next one."""
        meta = self.meta.value
        aside = f"aside-{meta.generations.current:016x}-{datetime.now(UTC):%Y%m%dT%H%M}"
        incident = self.incident(meta.keep or aside, IN_THE_WAY)
        number = 1
        while not incident.keep(folder, name):
            number += 1
            incident = self.incident(f"{aside}-{number}", IN_THE_WAY)

    def close(self) -> None:
        self.meta.close()
        self.hot.close()
        self.journal.close()
        for tree in self.trees:
            tree.close()


def begins_at(meta: Meta) -> Start:
    """Where the journal begins when there is none that can be opened."""
    generation, at = meta.generations.current, meta.checkpoint
    if meta.role == "source" and generation:
        # What it gave names to must not be named again, and what it wrote last counts as not sent.
        return Start(meta.job, generation, max(at.lsn, meta.generations.end) + BEYOND)
    if at.lsn:
        return Start(meta.job, at.generation, at.lsn, at.crc)
    return Start(meta.job, generation)


def unsure(why: str) -> LimitReport:
    """Both sides have to be compared, and why."""
    return LimitReport(
        code="HS638",
        message=f"only a comparison can tell whether both sides are equal: {why}",
        hint="a connected pair compares by itself where records are lost; else `hsorch verify`",
    )


def kept(read: Callable[[Path], Kept], file: Path) -> Kept:
    """What is durable in this file. Raises NodeError HS639: nobody of us wrote what is there; OSError."""
    try:
        return read(file)
    except ValueError as error:
        raise NodeError(
            f"what this node remembers of its data cannot be read: {error}",
            hint="the other node's data are filled in here by `hsorch select-source OTHER-NODE`",
            code=TORN,
        ) from error


def new_generation() -> int:
    return int.from_bytes(os.urandom(8), "little") | 1
