"""What a resync does to a standby: it tells its image, keeps what would be lost, and stays usable meanwhile.

From MIRROR_BEGIN on the records are held back in the spool until everything that was begun is closed there
(stage.py); only then the files begin to change. Where the spool has no room for that, or the files were no
picture of one moment before, records are applied as they come, and the standby cannot take over until the
end. What only this node has is kept in the quarantine before it is overwritten (keeping.py).
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator

from hsorch.node.replication.answer import Answerer, Questions
from hsorch.node.replication.apply import Applier
from hsorch.node.replication.bindings import STAGING
from hsorch.node.replication.doubt import WHOLE, Brought, Doubt, Extents, makes_anew
from hsorch.node.replication.generations import Lineage, adopted, meet, reached, resync_began
from hsorch.node.replication.ground import Ground
from hsorch.node.replication.hot import Spans, span_of
from hsorch.node.replication.keeping import Keeper
from hsorch.node.replication.messages import Begin, Pictured
from hsorch.node.replication.placing import Keep
from hsorch.node.replication.quarantine import Open
from hsorch.node.replication.record import Damaged, Kind, Record
from hsorch.node.replication.segments import Start
from hsorch.node.replication.stage import EVERYTHING, LEFT_OUT, Stage, marked, room_for
from hsorch.node.replication.whereabouts import Whereabouts
from hsorch.node.replication.wire import Broken

MOST_TOUCHED = 2_000
"""Files of a rolled-back tail that are told apart; beyond that everything overwritten is kept."""

Tell = Callable[[Pictured], None]
"""Raises Broken."""
HangUp = Callable[[], None]
"""The source has to meet this node anew."""


class Receiving:
    """Used by the spool under its own lock; `lock` is held while the spool is exchanged."""

    def __init__(self, ground: Ground, tell: Tell, hang_up: HangUp) -> None:
        """Raises OSError."""
        self._ground = ground
        self._meta = ground.meta
        self._journal = ground.journal
        self._tell = tell
        self._hang_up = hang_up
        self.applier = Applier(ground.trees, ground.set_aside)
        self.lock = threading.Lock()
        self._stage: Stage | None = None
        self._let_in_to = 0
        """Records below it need not be held back any more."""
        self._keeper: Keeper | None = None
        self._only: frozenset[int] | None = None
        self._extents = _extents(ground.hot.spans)
        """Where contents can differ, as both sides knew when the resync began; None: anywhere."""
        self._brought: Brought | None = None
        """By the base copy that came before it; None: none did, or it is not to be counted on."""
        self._copy: tuple[int, Brought] | None = None
        """Number of the base copy that has begun, and what it brought; None: none has, or its stream, too."""
        self.came: Brought = {}
        """By base copies that did not come to their end, in this process's life: nobody's only copies."""
        self._compared_for: str | None = None
        """Why a comparison was needed when the image was told last: what came since it does not show. None: a
        process before this one told it, if any did."""
        self._made_anew: set[int] = set()
        """Files that a resync began since the last checkpoint."""
        self._questions = Questions(len(ground.trees))
        self._questions.close()
        self._index: tuple[int, Whereabouts] | None = None
        """Where each file was as the image was told just now, and at which MIRROR_BEGIN."""
        self._tells_from = ground.journal.end
        """The source waits for the image only at a MIRROR_BEGIN from here on."""

    @property
    def closed(self) -> bool:
        """The files are changing, and the spool holds all that makes them whole again."""
        marks = self._meta.value.marks
        if marks == (0, 0):
            return False
        for record in self._journal.records(self._meta.value.checkpoint.lsn):
            marks = marked(marks, record)
            if marks == (0, 0):
                return True
        return False

    @property
    def midway(self) -> bool:
        """A comparison has begun, and nothing here shows that all is spooled which it brings."""
        meta, stage = self._meta.value, self._stage
        if meta.staged_over is not None:
            return stage is None or not stage.closed_at
        return not meta.consistent and meta.marks == (0, 0)

    # ------------------------------------------------------------------- begin

    def goes_on(self, begin: Begin, source: Lineage, questions: Questions) -> None:
        """The stream goes on where the spool ends; if it was counted on beyond that, this node is not what it
        was taken for."""
        meta = self._meta.value
        self._questions = questions
        self._tells_from = begin.asked_from
        same = source.current == meta.generations.current and self._journal.end >= begin.counted
        self._meta.change(sender=source, guarded=meta.guarded and same, promised=False)

    def open_base_copy(self, number: int, source: Lineage) -> tuple[Keep | None, Brought]:
        """The files are replaced past the stream from here on: where that goes which would be lost, if any,
        and what of this copy is here. Raises Broken: they count; OSError."""
        ground, meta = self._ground, self._meta.value
        if meta.generations.current and meta.consistent:
            raise Broken("the source would replace files that count")
        keep = meta.keep or self._keep_own(source)
        if self._copy is None or self._copy[0] != number or self._not_compared():
            self._copy = (number, {})
            self._compare_from_now()
        ground.hot.replace(None, 0)
        self._meta.change(
            sender=source, staged_over=None, guarded=False, promised=False, marks=(0, 0), keep=keep,
            consistent=False, generations=resync_began(meta.generations, source),
        )  # fmt: skip
        with self.lock:
            ground.drop_held()
        return self._put_by(keep, meta.generations.current) if keep else None, self._copy[1]

    def _put_by(self, incident: str, generation: int) -> Keep:
        def keep(root: str, relative: str) -> None:
            self._ground.incident(incident, "replaced by a base copy", generation).keep(root, relative)

        return keep

    def close_base_copy(self) -> None:
        """What lies here is the source's now, or is kept. Raises OSError."""
        self._meta.change(keep="")
        self.came.clear()

    def begin(
        self,
        begin: Begin,
        source: Lineage,
        questions: Questions,
        *,
        usable: bool,
        applied: int,
        brought: Brought | None,
    ) -> None:
        """The spool begins anew at a MIRROR_BEGIN of the source. Raises QuarantineFull: nothing changed.

        usable: the files are a picture of one moment, at the end of the spool or of the one before it.
        applied: of the spool, up to there. brought: by a base copy just now, if there was one."""
        ground, meta = self._ground, self._meta.value
        self._brought, self._copy = None if self._not_compared() else brought, None
        extents = self._doubt(begin, source, applied)
        if self._brought is not None:
            extents, keep = begin.extents, ""
        else:
            keep = meta.keep or self._keep_own(source) or self._keep_unshared(source)
        for tree in ground.trees:  # no use where no base copy is to come
            shutil.rmtree(tree.path(STAGING), ignore_errors=True)
        stays_usable = usable and meta.generations.current != 0
        over = meta.staged_over or (ground.here() if stays_usable else None)
        with self.lock:
            self._stage, self._keeper, self._let_in_to = None, None, 0
            self._extents, self._questions = extents, questions
            self._made_anew.clear()
            self._meta.change(
                sender=source,
                staged_over=over,
                guarded=False,
                promised=False,
                torn=False,
                marks=(0, 0),
                keep=keep,
                kept_to=0,
                checkpoint=begin.at,
                consistent=stays_usable,
            )
            self._journal.restart(Start(self._journal.job, begin.at.generation, begin.at.lsn, begin.at.crc))
            ground.owed.drop()  # as a source it owed that to nobody else
            self._tells_from = begin.at.lsn

    def _doubt(self, begin: Begin, source: Lineage, applied: int) -> Extents | None:
        """Durably, before the records that say so are gone: where the files can differ from the source's by
        what was done here or there, until a resync is at its end; also by one that broke off while files
        changed. None: anywhere. Raises OSError."""
        ground, meta = self._ground, self._meta.value
        mine = ground.lineage()
        doubt = Doubt()
        doubt.add_spans(ground.hot.spans)
        doubt.add_extents(begin.extents)
        another = mine.receiving not in (0, source.current)
        if begin.extents is None or meta.torn or meta.verify_needed or another:
            doubt.add_spans(None)
        else:
            own = meta.checkpoint.lsn
            if not mine.receiving and meta.staged_over is None:  # else what was before that is hot already
                same = mine.current == source.current
                own = applied if same else min(applied, meet(mine, source).fork)
            try:
                doubt.add_records(ground.journal.records(own))
            except (KeyError, Damaged):
                doubt.add_spans(None)
        ground.hot.replace(doubt.spans(), 0)
        return doubt.extents()

    def _keep_own(self, source: Lineage) -> str:
        """The incident for what only this node has, its own records first; "": there is nothing."""
        ground, mine = self._ground, self._ground.lineage()
        self._only = None
        if not mine.current:  # what a whole base copy of this source left here is not its own
            return "" if source.goes_on_from(mine.receiving) else f"first-{source.current:016x}"
        verdict = meet(mine, source)
        if not verdict.rolled_back or self._meta.value.staged_over is not None:
            return ""
        name = f"{mine.current:016x}-{verdict.fork}"
        if ground.journal.first <= verdict.fork:
            incident = ground.incident(name, "rolled back after a takeover", mine.current, verdict.fork)
            size = ground.journal.end - verdict.fork
            incident.keep_tail(verdict.fork, size, _raw(ground, verdict.fork))
            touched = {r.fid for r in ground.journal.records(verdict.fork) if r.fid}
            self._only = frozenset(touched) if len(touched) <= MOST_TOUCHED else None
        return name

    def _keep_unshared(self, source: Lineage) -> str:
        """The incident for what lies in folders that the two nodes never had in common; "": they had all."""
        folders = self._ground.folders
        if not folders.lacks(self._ground.setup.ordered):
            return ""
        self._only = frozenset()
        return f"bound-{source.current:016x}-{folders.edition}"

    # ------------------------------------------------------------------- apply

    def lets_in(self, record: Record, durable: int) -> bool:
        """Whether the record may be applied now. Raises QuarantineFull, OSError: it must not."""
        if record.kind is not Kind.MIRROR_BEGIN:
            return True
        if record.lsn >= self._tells_from and record.a != LEFT_OUT:
            self._answer(record)
            self._tells_from = record.end
        if record.a > LEFT_OUT or record.lsn < self._let_in_to or not self._meta.value.consistent:
            return True
        if self._stage is None or self._stage.at != record.lsn:
            setup = self._ground.setup
            room = room_for(self._ground.places.home, setup.queue_bytes, setup.limits)
            self._stage = Stage(self._journal, record.lsn, room)
            self._index = None  # what is held back may be so for long, and others move files meanwhile
        closed = self._stage.look()
        if closed and closed <= durable:
            self._look_ahead(record.lsn, closed)
            self._let_in_to = closed
            return True
        return self._stage.overflows

    def apply(self, record: Record) -> None:
        keeper = self._keeper_for(record)
        if record.kind is Kind.MIRROR_BEGIN and record.a <= LEFT_OUT:
            self._files_change(record)
        if record.kind is Kind.MIRROR_BEGIN and record.a > LEFT_OUT:
            self.applier.look_again(self._take_index(record))
        if makes_anew(record) and not self._meta.value.consistent:
            self._made_anew.add(record.fid)
        if keeper is not None:
            keeper.before(record)
        self.applier.apply(record)
        meta = self._meta.value
        if record.kind is Kind.MIRROR_END and record.a > LEFT_OUT:
            self._meta.change(verify_needed=self._not_compared(), verified_ns=time.time_ns())
        elif record.kind is Kind.MIRROR_END and not self.closes(record):
            self._meta.change(marks=marked(meta.marks, record))
        elif record.kind is Kind.GENERATION and record.generation == meta.sender.current and meta.consistent:
            self._meta.change(generations=self._lineage(record.end))

    def closes(self, record: Record) -> bool:
        """Whether the files are a picture of one moment again after this record."""
        marks = self._meta.value.marks
        return record.kind is Kind.MIRROR_END and marks != (0, 0) and marked(marks, record) == (0, 0)

    def closing(self, record: Record) -> dict[str, object]:
        """What is true once everything up to here is on stable storage, and not before."""
        self._keeper = None
        self._made_anew.clear()
        self._ground.folders.share(self._ground.setup.ordered)
        fields: dict[str, object] = {"consistent": True, "marks": (0, 0), "keep": ""}
        everything = self._extents is None or self._brought is not None
        if self._ground.hot.spans is None and everything:
            fields["verify_needed"] = self._not_compared()
        return {**fields, "generations": self._lineage(record.end)}

    def closed_for_good(self) -> None:
        """Both sides are equal, durably. Raises OSError."""
        self._ground.hot.replace(frozenset(), 0)

    def remember(self) -> None:
        """Before a checkpoint lets go of the records that say so. Raises OSError."""
        hot = self._ground.hot
        if self._made_anew and hot.spans is not None:
            hot.replace(hot.spans | {span_of(fid, 0, WHOLE) for fid in self._made_anew}, 0)
        self._made_anew.clear()

    def _files_change(self, record: Record) -> None:
        """From here on the files are no picture of one moment. Durable before the first of them changes."""
        meta = self._meta.value
        lineage = meta.generations
        if record.a == EVERYTHING:
            if meta.marks[EVERYTHING] != record.lsn:  # else names were changed already, and each only once
                self.applier.restart(record.lsn, self._take_index(record))
            lineage = resync_began(lineage, meta.sender)
        self._meta.change(
            consistent=False, staged_over=None, generations=lineage, marks=marked(meta.marks, record)
        )

    def _look_ahead(self, begin: int, end: int) -> None:
        if self._meta.value.keep:
            self._make_keeper().look_ahead(self._journal.records(begin, end))
            self._meta.change(kept_to=end)

    def _keeper_for(self, record: Record) -> Keeper | None:
        """None: the record overwrites nothing that is only here, or it is kept. A process that goes on in the
        middle of a resync keeps what is left of it."""
        meta = self._meta.value
        if not meta.keep or record.lsn < meta.kept_to:
            return None
        if self._keeper is None:
            self._keeper = self._make_keeper()
        return self._keeper

    def _make_keeper(self) -> Keeper:
        ground, meta = self._ground, self._meta.value
        generation, end = meta.generations.current, meta.generations.end

        def incident() -> Open:
            return ground.incident(meta.keep, "overwritten by a resync", generation, end)

        return Keeper(ground.trees, incident, self._only, ground.folders.has_shared)

    def _lineage(self, lsn: int) -> Lineage:
        """Of this node once it holds all of the source's data up to lsn: the source's own."""
        meta = self._meta.value
        sender = meta.sender if meta.sender.current else meta.generations
        return reached(adopted(sender, lsn), lsn)

    # ------------------------------------------------------------------ answer

    def _answer(self, record: Record) -> None:
        """The files stand still meanwhile, and the connection takes what comes into the spool. A source that
        is gone asks again."""
        if record.a != EVERYTHING or self._brought is None:
            self._compare_from_now()
        self._index = None
        extents, brought = (self._extents, self._brought) if record.a == EVERYTHING else (None, None)
        questions = self._questions
        answerer = Answerer(self._ground.trees, extents, brought, ended=lambda: questions.ended(record.lsn))
        try:
            while True:
                outline = questions.next(record.lsn)
                for pictured in answerer.answer(outline):
                    self._tell(pictured)
                if outline.last:
                    self._index = record.lsn, answerer.index
                    return
        except Broken:
            return
        except Exception:
            self._hang_up()  # the source waits for what was to be said, and has to ask again
            raise

    def _take_index(self, begin: Record) -> Whereabouts | None:
        """What the telling of the image at `begin` saw: nothing has been applied since."""
        found, self._index = self._index, None
        return found[1] if found is not None and found[0] == begin.lsn else None

    def _compare_from_now(self) -> None:
        self._compared_for = self._meta.value.verify_needed
        self._ground.comparing.add("")

    def _not_compared(self) -> str:
        """What makes another comparison needed after one of everything."""
        needed = self._meta.value.verify_needed
        return "" if needed == self._compared_for else needed


def _extents(spans: Spans) -> Extents | None:
    doubt = Doubt()
    doubt.add_spans(spans)
    return doubt.extents()


def _raw(ground: Ground, lsn: int) -> Iterator[bytes]:
    """All records from lsn on, as they are in the journal."""
    while data := ground.journal.read(lsn):
        yield data
        lsn += len(data)
