"""The replicator: plays the part in replication that it is told to play, and says how it goes.

It keeps no opinion of its own: it starts with no role, and a part it played before is resumed only when told.
It never looks at a path below its own mounts: a page of theirs can only come from this very process. The
process and its local door are door.py.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import msgspec

from hsorch.errors import HsorchError, NodeError, RefusedError
from hsorch.node.replication.databases import gaps
from hsorch.node.replication.foreign import Sentry
from hsorch.node.replication.ground import Ground
from hsorch.node.replication.holders import refuse_holders
from hsorch.node.replication.lookout import Lookout
from hsorch.node.replication.meter import Meter
from hsorch.node.replication.orders import (
    ChooseInput,
    Chosen,
    ConfirmInput,
    Drained,
    DrainInput,
    EpochInput,
    ReplicationStatus,
    Role,
    RoleInput,
)
from hsorch.node.replication.reception import Reception
from hsorch.node.replication.record import Damaged
from hsorch.node.replication.rest import at_rest, begin_empty
from hsorch.node.replication.roads import Roads
from hsorch.node.replication.setup import Places, Setup
from hsorch.node.replication.source import Source
from hsorch.node.replication.space import Level
from hsorch.node.replication.status import (
    of_source,
    of_target,
    with_lookout,
    with_refusal,
    with_sentry,
    with_watched,
)
from hsorch.node.replication.survey import Survey, SurveyInput, survey
from hsorch.node.replication.target import Target
from hsorch.node.replication.watched.parts import Following, Taking
from hsorch.verbs import LimitReport

SAMPLE_S = 0.05


class Replicator:
    """Thread-safe; one change of role at a time."""

    def __init__(self, places: Places, setup: Setup, boot: str) -> None:
        self._places, self._setup, self._boot = places, setup, boot
        self._lock = threading.Lock()
        self._ground: Ground | None = None
        self._part: Source | Target | None = None
        self._watched: Following | Taking | None = None
        self._lookout: Lookout | None = None
        self._sentry: Sentry | None = None
        self._gaps: tuple[LimitReport, ...] = ()
        self._refused: NodeError | None = None
        """Why no part is played: the last one that was asked for could not be, or its disk is gone."""
        self._way: Roads | Reception | None = None
        self._meter, self._pace = Meter(), Meter()
        self._stopped = threading.Event()
        threading.Thread(target=self._sample, name="meter", daemon=True).start()

    def role(self, wanted: RoleInput) -> ReplicationStatus:
        """Raises NodeError, RefusedError HS686 (takeover on incomplete data)."""
        with self._lock:
            if wanted.role == _role_of(self._part):
                return self.status()
            if isinstance(self._part, Target) and wanted.role == "source":
                self._part.must_be_whole()
                self._watched_must_be_whole()
            try:
                self._leave(force=wanted.force)
                if wanted.role != "none":
                    self._enter(wanted)
            except (OSError, Damaged, ValueError) as error:
                raise NodeError(
                    f"replication cannot become {wanted.role}: {error}",
                    hint="the detail names the file or folder; `hsorch explain HS687`",
                    code="HS687",
                ) from error
            return self.status()

    def authorize(self, wanted: EpochInput) -> ReplicationStatus:
        """From now on this node speaks for this epoch, and a source of a lower one has no say here."""
        with self._lock, self._standing(locked=True) as ground:
            if ground.raise_epoch(wanted.epoch) and isinstance(self._part, Target):
                self._part.spool.hang_up()
        return self.status()

    def drain(self, wanted: DrainInput) -> Drained:
        part = self._part
        until = time.monotonic() + wanted.limit_s
        ok = not isinstance(part, Source) or part.drain(wanted.limit_s)
        if isinstance(self._watched, Following):
            ok = self._watched.drain(until - time.monotonic()) and ok
        return Drained(ok=ok)

    def thaw(self) -> ReplicationStatus:
        """Raises RefusedError HS688."""
        if isinstance(self._part, Source):
            self._part.thaw()
        return self.status()

    def resync(self) -> ReplicationStatus:
        """Where a stream is not enough a resync begins by itself."""
        return self.status()

    def verify(self) -> ReplicationStatus:
        """Compare both sides and repair what differs, beside the application.

        Raises RefusedError HS942: only a source can, and only with its standby.
        """
        part = self._part
        if not isinstance(part, Source) or not part.shipper.connected:
            raise RefusedError(
                f"nothing can be compared: the replicator is {_role_of(part)} and not connected",
                hint="`hsorch status` shows where the data flow and what is in the way",
                code="HS942",
            )
        part.verify()
        if isinstance(self._watched, Following):
            self._watched.verify()
        return self.status()

    def survey(self, wanted: SurveyInput) -> Survey:
        """What lies here, and what of it the other side never got. Raises NodeError HS698."""
        try:
            with self._standing() as ground:
                meta = ground.meta.value
                return survey(
                    meta.node, _role_of(self._part), ground.lineage(), meta.consistent,
                    ground.trees, ground.journal, wanted,
                )  # fmt: skip
        except (OSError, Damaged, ValueError) as error:
            raise NodeError(
                f"the data could not be looked through: {error}",
                hint="a change of role may have come in between: ask again",
                code="HS698",
            ) from error

    def choose(self, wanted: ChooseInput) -> Chosen:
        """An operator says whose data count, knowing what is lost. Durable when it returns.

        Raises RefusedError HS749 (the side that loses must follow, and nothing else), NodeError HS687.
        """
        with self._lock:
            part = self._part
            if wanted.winner is not None:
                if part is None and self._refused is not None and self._refused.code == "HS674":
                    begin_empty(self._places, self._setup)
                    self._refused = None
                    return Chosen(lineage=wanted.winner)
                if not isinstance(part, Target):
                    raise RefusedError(
                        f"the replicator is {_role_of(part)} here: only a standby's data can be given up",
                        hint="let the group run, or start, on the other node first",
                        code="HS749",
                    )
                part.choose(wanted.winner)
                return Chosen(lineage=wanted.winner)
            if isinstance(part, Source):
                return Chosen(lineage=part.choose())
            try:
                self._leave(force=False)
                with self._standing(locked=True) as ground:
                    return Chosen(lineage=ground.choose())
            except (OSError, Damaged, ValueError) as error:
                raise NodeError(
                    f"the data here cannot be made the ones that count: {error}",
                    hint="the detail names the file or folder; `hsorch explain HS687`",
                    code="HS687",
                ) from error

    @contextlib.contextmanager
    def _standing(self, *, locked: bool = False) -> Iterator[Ground]:
        """The ground that is played on, or one for the moment; then no part can begin meanwhile."""
        if self._ground is not None:
            yield self._ground
            return
        with contextlib.nullcontext() if locked else self._lock:
            ground = Ground(self._places, self._setup, self._boot)
            with contextlib.closing(ground):
                yield ground

    def confirm(self, wanted: ConfirmInput) -> ReplicationStatus:
        """Deletions that are held back from the standby are meant."""
        if isinstance(self._watched, Following):
            self._watched.confirm(wanted.path)
        return self.status()

    def status(self) -> ReplicationStatus:
        seen = with_refusal(self._seen(), self._refused)
        return msgspec.structs.replace(seen, troubles=(*seen.troubles, *self._gaps))

    def _seen(self) -> ReplicationStatus:
        part, ground = self._part, self._ground
        if ground is None or part is None:
            return at_rest(self._places, self._setup)
        if isinstance(part, Source):
            seen = of_source(ground, part, self._meter, self._pace)
            link = self._way.link if isinstance(self._way, Roads) else ""
            seen = msgspec.structs.replace(seen, link=link)
        else:
            seen = of_target(ground, part)
        return with_sentry(with_lookout(with_watched(seen, self._watched), self._lookout), self._sentry)

    def stop(self) -> None:
        with self._lock:
            self._stopped.set()
            with contextlib.suppress(HsorchError, OSError, Damaged):
                self._leave(force=False)

    def _enter(self, wanted: RoleInput) -> None:
        try:
            self._ground = ground = Ground(self._places, self._setup, self._boot)
            ground.raise_epoch(wanted.epoch)
            if wanted.role == "source":
                self._be_source(ground, alone=wanted.alone)
            else:
                self._be_target(ground)
        except BaseException as error:
            with contextlib.suppress(HsorchError, OSError, Damaged):
                self._leave(force=True)
            self._refused = error if isinstance(error, NodeError) else None
            raise
        self._refused = None

    def _be_source(self, ground: Ground, *, alone: bool) -> None:
        refuse_holders([binding.path for binding in self._setup.ordered])
        self._way = roads = Roads(self._setup, self._places.keys)
        self._part = Source(ground, roads.dial, alone=alone)
        self._meter, self._pace = Meter(), Meter()
        self._watched = Following(ground, roads.dial)
        self._lookout = Lookout(ground, on_space=self._on_space)
        self._lookout.start()
        threading.Thread(target=self._look_for_gaps, args=(ground,), name="databases", daemon=True).start()

    def _be_target(self, ground: Ground) -> None:
        refuse_holders([binding.path for binding in self._setup.bindings])
        self._way = reception = Reception(self._setup, self._places.keys)
        self._part = target = Target(ground)
        self._watched = taking = Taking(ground)
        self._sentry = Sentry(self._setup.bindings, taking.changed)
        self._lookout = Lookout(ground, on_space=self._on_space, on_lost=self._on_lost)
        self._lookout.start()
        reception.open({"stream": target.serve, "watched": taking.serve})

    def _look_for_gaps(self, ground: Ground) -> None:
        with contextlib.suppress(OSError):  # a folder that can't be read is told where it is replicated
            self._gaps = gaps(ground)

    def _on_space(self, level: Level) -> None:
        """Replication stops before a disk is full, and goes on by itself."""
        part, way = self._part, self._way
        why = "" if level in (Level.OK, Level.WARN) else f"too little free space on {self._setup.node}"
        if isinstance(way, Reception):
            way.pause(why)
        elif isinstance(part, Source) and why:
            part.hold(why)
        elif isinstance(part, Source):
            part.release()

    def _on_lost(self, why: NodeError) -> None:
        """Nothing more is done to what lies at the bound paths now; who asks for the part again gets it as
        soon as the disk is back."""
        with self._lock:
            if isinstance(self._part, Target):
                with contextlib.suppress(HsorchError, OSError, Damaged):
                    self._leave(force=True)
                self._refused = why

    def _watched_must_be_whole(self) -> None:
        if isinstance(self._watched, Taking) and not self._watched.whole:
            raise RefusedError(
                "the watched folders on this node are incomplete: their mirror was under way",
                hint="bring the other node back and let it finish; `hsorch status` shows how much is left",
                code="HS686",
            )

    def _leave(self, *, force: bool) -> None:
        if isinstance(self._part, Source):
            self._part.stop(force=force)
        for helper in (self._lookout, self._watched, self._way):
            if helper is not None:
                helper.stop()
        self._lookout = self._watched = self._way = None
        self._gaps = ()
        part, self._part = self._part, None
        try:
            if isinstance(part, Target):
                part.finish()
        finally:
            if self._sentry is not None:
                self._sentry.stop()
                self._sentry = None
            if self._ground is not None:
                self._ground.close()
                self._ground = None

    def _sample(self) -> None:
        while not self._stopped.wait(SAMPLE_S):
            part, ground = self._part, self._ground
            if isinstance(part, Source) and ground is not None:
                now, checked = time.monotonic(), part.levelling.checked
                self._meter.sample(now, ground.journal.end, part.gate.acked)
                self._pace.sample(now, checked, checked)


def _role_of(part: Source | Target | None) -> Role:
    if part is None:
        return "none"
    return "source" if isinstance(part, Source) else "target"
