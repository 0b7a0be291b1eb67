"""The replicator: plays the part in replication that it is told to play, and says how it goes.

It keeps no opinion of its own: it starts with no role, and a part it played before is resumed only when told.
It never looks at a path below its own mounts: a page of theirs can only come from this very process. The
process and its local door are door.py.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from hsorch.errors import HsorchError, NodeError, RefusedError
from hsorch.node.replication.ground import TORN, Ground
from hsorch.node.replication.held import Held, refuse_unasked
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
from hsorch.node.replication.posts import SourcePost, TargetPost
from hsorch.node.replication.record import Damaged
from hsorch.node.replication.regroup import take_up
from hsorch.node.replication.rest import at_rest, begin_empty
from hsorch.node.replication.setup import Places, Setup, load
from hsorch.node.replication.status import with_refusal
from hsorch.node.replication.survey import Survey, SurveyInput, survey


class Replicator:
    """Thread-safe; one change of role at a time."""

    def __init__(self, places: Places, setup: Setup, boot: str) -> None:
        self._places, self._setup, self._boot = places, setup, boot
        self._lock = threading.Lock()
        self._ground: Ground | None = None
        self._post: SourcePost | TargetPost | None = None
        self._refused: HsorchError | None = None
        """Why no part is played: the last one that was asked for could not be, or its disk is gone."""

    def role(self, wanted: RoleInput) -> ReplicationStatus:
        """Raises NodeError, RefusedError HS686 (takeover on incomplete data)."""
        with self._lock:
            if wanted.role == self._role:
                if isinstance(self._post, SourcePost):
                    self._post.go_on()
                return self.status()
            if isinstance(self._post, TargetPost) and wanted.role == "source":
                self._post.must_be_whole()
            self._play(wanted)
            return self.status()

    def reload(self) -> ReplicationStatus:
        """The setup was written anew. A standby begins again under it; a source takes what can change while
        its folders are in use, and the rest when it begins next. Raises NodeError HS685, HS687."""
        with self._lock:
            wanted, post = load(self._places), self._post
            if isinstance(post, SourcePost):
                post.change(wanted)
            elif wanted != self._setup and post is not None:
                self._play(RoleInput(role="target"))
            self._setup = wanted
            return self.status()

    def authorize(self, wanted: EpochInput) -> ReplicationStatus:
        """From now on this node speaks for this epoch, and a source of a lower one has no say here."""
        with self._lock, self._standing(locked=True) as ground:
            if ground.raise_epoch(wanted.epoch):
                if isinstance(self._post, TargetPost):
                    self._post.hear(wanted.epoch)
                elif isinstance(self._post, SourcePost):
                    self._post.part.shipper.reconnect()  # before the standby, once it hears of it, hangs up
        return self.status()

    def drain(self, wanted: DrainInput) -> Drained:
        post = self._post
        if not isinstance(post, SourcePost) or post.drain(wanted.limit_s):
            return Drained(ok=True)
        seen = post.status()
        return Drained(ok=False, lacks=seen.queue + seen.dirty + seen.left)

    def thaw(self) -> ReplicationStatus:
        """Raises RefusedError HS688."""
        if isinstance(self._post, SourcePost):
            self._post.part.thaw()
        return self.status()

    def verify(self) -> ReplicationStatus:
        """Compare both sides and repair what differs, beside the application.

        Raises RefusedError HS942: only a source can, and only with its standby.
        """
        post = self._post
        if not isinstance(post, SourcePost) or not post.part.shipper.connected:
            raise RefusedError(
                f"nothing can be compared: the replicator is {self._role} and not connected",
                hint="`hsorch status` shows where the data flow and what is in the way",
                code="HS942",
            )
        post.verify()
        return self.status()

    def survey(self, wanted: SurveyInput) -> Survey:
        """What lies here, and what of it the other side never got. Raises NodeError HS698."""
        try:
            with self._standing() as ground:
                meta = ground.meta.value
                return survey(
                    meta.node, self._role, ground.lineage(), meta.consistent,
                    ground.trees, ground.journal, wanted,
                )  # fmt: skip
        except (OSError, Damaged, ValueError) as error:
            raise NodeError(
                f"the data could not be looked through: {error}",
                hint="a change of role may have come in between: ask again",
                code="HS698",
            ) from error

    def follow(self) -> ReplicationStatus:
        """An operator lets this node, which was the source, be overwritten. Raises NodeError, RefusedError
        HS749: it is the source still."""
        with self._lock:
            if isinstance(self._post, SourcePost):
                raise RefusedError(
                    "the group runs here: its data cannot be overwritten",
                    hint="hsorch switch first, or let the group start on the other node",
                    code="HS749",
                )
            if self._post is None:
                self._play(RoleInput(role="target", asked=True))
            return self.status()

    def choose(self, wanted: ChooseInput) -> Chosen:
        """An operator says whose data count, knowing what is lost. Durable when it returns.

        Raises RefusedError HS749 (the side that loses must follow, and nothing else), NodeError HS687.
        """
        with self._lock:
            post = self._post
            if wanted.winner is not None:
                if self._refused_by("HS674", TORN):
                    begin_empty(self._places, self._setup, self._boot)
                    self._refused = None
                    return Chosen(lineage=wanted.winner)
                if post is None and self._is_held:
                    self._play(RoleInput(role="target", asked=True))
                    post = self._post
                if not isinstance(post, TargetPost):
                    raise RefusedError(
                        f"the replicator is {self._role} here: only a standby's data can be given up",
                        hint="let the group run, or start, on the other node first",
                        code="HS749",
                    )
                post.choose(wanted.winner)
                return Chosen(lineage=wanted.winner)
            if isinstance(post, SourcePost):
                return Chosen(lineage=post.part.choose())
            try:
                if self._refused_by(TORN):
                    begin_empty(self._places, self._setup, self._boot)
                    self._refused = None
                self._leave(force=False)
                with self._standing(locked=True) as ground:
                    return Chosen(lineage=ground.choose())
            except (OSError, Damaged, ValueError) as error:
                raise NodeError(
                    f"the data here cannot be made the ones that count: {error}",
                    hint="the detail names the file or folder; `hsorch explain HS687`",
                    code="HS687",
                ) from error

    def _refused_by(self, *codes: str) -> bool:
        return self._post is None and self._refused is not None and self._refused.code in codes

    @contextlib.contextmanager
    def _standing(self, *, locked: bool = False) -> Iterator[Ground]:
        """The ground that is played on, or one for the moment; then no part can begin meanwhile."""
        if self._ground is not None:
            yield self._ground
            return
        with contextlib.nullcontext() if locked else self._lock:
            take_up(self._places, self._setup, self._boot)
            ground = Ground(self._places, self._setup, self._boot)
            with contextlib.closing(ground):
                yield ground

    def confirm(self, wanted: ConfirmInput) -> ReplicationStatus:
        """Deletions that are held back from the standby are meant."""
        if isinstance(self._post, SourcePost):
            self._post.confirm(wanted.path)
        return self.status()

    def status(self) -> ReplicationStatus:
        post = self._post
        seen = at_rest(self._places, self._setup) if post is None else post.status()
        return with_refusal(seen, self._refused)

    def stop(self) -> None:
        with self._lock, contextlib.suppress(HsorchError, OSError, Damaged):
            self._leave(force=False)

    @property
    def _is_held(self) -> bool:
        return isinstance(self._refused, Held)

    @property
    def _role(self) -> Role:
        if self._post is None:
            return "none"
        return "source" if isinstance(self._post, SourcePost) else "target"

    def _play(self, wanted: RoleInput) -> None:
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

    def _enter(self, wanted: RoleInput) -> None:
        """Under the setup as it is by now: the order may come before the word that it has changed."""
        try:
            self._setup = load(self._places)
            if wanted.role == "target" and not wanted.asked:
                refuse_unasked(self._places, self._setup)
            take_up(self._places, self._setup, self._boot)
            self._ground = ground = Ground(self._places, self._setup, self._boot)
            ground.raise_epoch(wanted.epoch)
            if wanted.role == "source":
                self._post = SourcePost(ground, alone=wanted.alone)
            else:
                self._post = TargetPost(ground, self._on_lost)
        except BaseException as error:
            self._close_ground()
            self._refused = error if isinstance(error, NodeError | Held) else None
            raise
        self._refused = None

    def _on_lost(self, why: NodeError) -> None:
        """Nothing more is done to what lies at the bound paths now; who asks for the part again gets it as
        soon as the disk is back."""
        with self._lock:
            if isinstance(self._post, TargetPost):
                with contextlib.suppress(HsorchError, OSError, Damaged):
                    self._leave(force=True)
                self._refused = why

    def _leave(self, *, force: bool) -> None:
        """A source in use goes on (NodeError HS684); a target ends in any case."""
        post = self._post
        if isinstance(post, SourcePost):
            post.stop(force=force)
        self._post = None
        try:
            if isinstance(post, TargetPost):
                post.stop()
        finally:
            self._close_ground()

    def _close_ground(self) -> None:
        ground, self._ground = self._ground, None
        if ground is not None:
            ground.close()
