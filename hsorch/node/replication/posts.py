"""What belongs to a part in replication besides the part itself: the way to the other node, watched folders,
a look at the disks, and on the standby an eye on other programs. Made together, ended together.

Which part is played is the replicator's business.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

import msgspec

from hsorch.errors import NodeError, RefusedError
from hsorch.node.replication.capture.mount import refuse_unmountable
from hsorch.node.replication.databases import gaps
from hsorch.node.replication.foreign import Sentry
from hsorch.node.replication.generations import Lineage
from hsorch.node.replication.ground import Ground
from hsorch.node.replication.holders import refuse_holders
from hsorch.node.replication.lookout import Lookout
from hsorch.node.replication.meter import Meter
from hsorch.node.replication.orders import ReplicationStatus
from hsorch.node.replication.reception import Reception
from hsorch.node.replication.roads import Roads
from hsorch.node.replication.setup import Setup
from hsorch.node.replication.source import Source
from hsorch.node.replication.space import Level
from hsorch.node.replication.status import of_source, of_target, with_lookout, with_sentry, with_watched
from hsorch.node.replication.target import Target
from hsorch.node.replication.watched.parts import Following, Taking
from hsorch.verbs import LimitReport

SAMPLE_S = 0.05
MOUNTABLE_S = (5.0, 300.0)
"""So often it is tried whether a standby could mount: while it could not, and while it could."""
_LATER = LimitReport(
    code="HS636",
    message="The spec asks for other folders, or another promise, than what is in use here.",
    hint="hsorch bring-out, then hsorch bring-in: the data begin again as the spec says.",
)


class SourcePost:
    """At work when made."""

    def __init__(self, ground: Ground, *, alone: bool) -> None:
        """alone: as Source. Raises RefusedError HS686, NodeError HS630, HS683, and what Source raises;
        nothing is left behind then."""
        setup = ground.setup
        if ground.meta.value.role == "target" and not ground.bound.whole(setup.watched):
            raise _mixed()
        if setup.ordered:
            refuse_unmountable(ground.places.trial)
        try:
            refuse_holders([binding.path for binding in setup.ordered])
        except NodeError as held:
            if not alone:
                raise
            ground.meta.change(verify_needed=held.message)  # in a takeover the service comes first
        self._ground = ground
        self._ended = threading.Event()
        self._meter, self._pace = Meter(), Meter()
        self._gaps: tuple[LimitReport, ...] = ()
        self._drained = False
        self._later: tuple[LimitReport, ...] = ()
        with contextlib.ExitStack() as undo:
            self._roads = Roads(setup, ground.places.keys)
            undo.callback(self._roads.stop)
            self.part = Source(ground, self._roads.dial, alone=alone)
            undo.callback(self.part.stop, force=True)
            self._watched = Following(ground, self._roads.dial)
            undo.callback(self._watched.stop)
            self._lookout = Lookout(ground, on_space=self._on_space)
            undo.pop_all()
        self._lookout.start()
        for work in (self._sample, self._look_for_gaps):
            threading.Thread(target=work, name=work.__name__, daemon=True).start()

    def status(self) -> ReplicationStatus:
        seen = of_source(self._ground, self.part, self._meter, self._pace)
        seen = with_lookout(with_watched(seen, self._watched), self._lookout)
        troubles = (*seen.troubles, *self._gaps, *self._later)
        return msgspec.structs.replace(seen, link=self._roads.link, troubles=troubles)

    def drain(self, limit_s: float) -> bool:
        """The standby has everything. False: not in time."""
        until = time.monotonic() + limit_s
        self._drained = self.part.drain(limit_s) and self._watched.drain(until - time.monotonic())
        return self._drained

    def go_on(self) -> None:
        """After a drain that nothing came of: what is written from now on the standby may lack in the end."""
        self._drained = False

    def verify(self) -> None:
        self.part.verify()
        self._watched.verify()

    def confirm(self, path: str) -> None:
        self.part.confirm(path)
        self._watched.confirm(path)

    def change(self, wanted: Setup) -> None:
        """What a source in use can change: links, and from how little space on it warns and stops."""
        ground = self._ground
        now = ground.setup
        ground.setup = msgspec.structs.replace(wanted, bindings=now.bindings, level=now.level)
        self._roads.change(wanted)
        self._later = () if ground.setup == wanted else (_LATER,)

    def stop(self, *, force: bool) -> None:
        """Raises NodeError HS684: somebody uses the folders; then everything goes on."""
        self.part.stop(force=force)
        self._ended.set()
        self._lookout.stop()
        self._watched.stop()
        self._roads.stop()
        if not self._drained:
            self._ground.meta.change(protected_until=0)

    def _on_space(self, level: Level) -> None:
        """Replication stops before a disk is full, and goes on by itself."""
        if why := _no_room(level, self._ground):
            self.part.hold(why)
        else:
            self.part.release()

    def _look_for_gaps(self) -> None:
        with contextlib.suppress(OSError):  # a folder that can't be read is told where it is replicated
            self._gaps = gaps(self._ground)

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLE_S):
            now, checked = time.monotonic(), self.part.levelling.checked
            self._meter.sample(now, self._ground.journal.end, self.part.gate.acked)
            self._pace.sample(now, checked, checked)


class TargetPost:
    """At work when made."""

    def __init__(self, ground: Ground, on_lost: Callable[[NodeError], None]) -> None:
        """on_lost(why): a bound disk went away (HS674); called once, by a thread of this post.

        Raises NodeError HS630, OSError; then nothing is left behind.
        """
        setup = ground.setup
        refuse_holders([binding.path for binding in setup.bindings])
        self._ground = ground
        with contextlib.ExitStack() as undo:
            self._reception = Reception(setup, ground.places.keys)
            undo.callback(self._reception.stop)
            self.part = Target(ground)
            undo.callback(self.part.finish)
            self._watched = Taking(ground)
            self._sentry = Sentry(setup.bindings, self._watched.changed)
            undo.callback(self._sentry.stop)
            self._lookout = Lookout(ground, on_space=self._on_space, on_lost=on_lost)
            undo.pop_all()
        self._ended = threading.Event()
        self._unmountable: NodeError | None = None
        """Why this node could not become the source."""
        self._lookout.start()
        if setup.ordered:
            threading.Thread(target=self._try_to_mount, name="trial", daemon=True).start()
        self._reception.open({"stream": self.part.serve, "watched": self._watched.serve})

    def must_be_whole(self) -> None:
        """Raises RefusedError HS686: what lies here is no picture of one moment."""
        self.part.must_be_whole()
        if not self._watched.whole:
            raise _mixed()

    def status(self) -> ReplicationStatus:
        seen = with_watched(of_target(self._ground, self.part), self._watched)
        if (why := self._unmountable) is not None and seen.consistent and not seen.fault:
            seen = msgspec.structs.replace(seen, fault=why.message, fault_code=why.code)
        return with_sentry(with_lookout(seen, self._lookout), self._sentry)

    def choose(self, winner: Lineage) -> None:
        """An operator chose the other side, which has this lineage. Durable when it returns.

        Raises OSError."""
        self._watched.give_up()
        self.part.choose(winner)

    def hear(self, epoch: tuple[int, int]) -> None:
        """Its node says that a higher one has begun. Where the source's own stream is the first to say so, it
        speaks for all that the source has open."""
        self.part.spool.hang_up()
        self._watched.send_away(epoch)

    def stop(self) -> None:
        """Everything received is in the files. Raises OSError, Damaged: it is not, and the post is ended."""
        self._ended.set()
        self._lookout.stop()
        self._reception.stop()
        with contextlib.ExitStack() as each:  # whatever the one before it raises
            each.callback(self._sentry.stop)
            each.callback(self.part.finish)
            each.callback(self._watched.stop)

    def _try_to_mount(self) -> None:
        """A standby that could not mount takes nothing over, and says so before it is needed."""
        while True:
            try:
                refuse_unmountable(self._ground.places.trial)
                self._unmountable = None
            except NodeError as why:
                self._unmountable = why
            if self._ended.wait(MOUNTABLE_S[self._unmountable is None]):
                return

    def _on_space(self, level: Level) -> None:
        self._reception.pause(_no_room(level, self._ground))


def _mixed() -> RefusedError:
    return RefusedError(
        "the watched folders on this node are incomplete: their mirror was under way",
        hint="bring the other node back and let it finish; `hsorch status` shows how much is left",
        code="HS686",
    )


def _no_room(level: Level, ground: Ground) -> str:
    """Why replication stops; empty: it does not."""
    return "" if level in (Level.OK, Level.WARN) else f"too little free space on {ground.setup.node}"
