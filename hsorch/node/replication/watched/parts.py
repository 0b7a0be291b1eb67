"""What a node does for all its watched bindings together: as source follow each, as target take them in.

A watched folder counts as the peer's copy from the end of a first whole mirror until this node is the source;
until then, whatever would be replaced or deleted there goes to the quarantine first (REQ-H03, J12).
"""

from __future__ import annotations

import contextlib
import errno
import threading
import time
from collections.abc import Callable, Iterator

import msgspec

from hsorch.errors import NodeError
from hsorch.node.clock import utc_text
from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.bound import Bound
from hsorch.node.replication.foreign import Change
from hsorch.node.replication.ground import LOST, Ground, unsure
from hsorch.node.replication.messages import Hello, Task
from hsorch.node.replication.placing import Stood
from hsorch.node.replication.tree import Tree
from hsorch.node.replication.watched.aside import Aside
from hsorch.node.replication.watched.follow import Followed, Follower, Mode
from hsorch.node.replication.watched.take import Taker
from hsorch.node.replication.wire import Channel
from hsorch.verbs import BindingReport, LimitReport

ENDS_WITHIN_S = 60.0
"""A large file that was begun is brought to its end."""
_STATES = {"mirroring": "mirror", "following": "live", "held": "held"}


class Following:
    """The source's part; following when made."""

    def __init__(self, ground: Ground, dial: Callable[[], Channel]) -> None:
        """Raises OSError."""
        self._bound = bound = ground.bound
        for binding in ground.setup.watched:
            bound.change(binding.path, follows=False, own=True)

        def hello() -> Hello:
            return _hello(ground)

        self._followers = {
            binding.path: Follower(binding, dial, hello, is_there=bound.is_there, mirrored=self._mirrored)
            for binding in ground.setup.watched
        }
        for follower in self._followers.values():
            follower.start()

    @property
    def level(self) -> bool:
        """The standby has every change, or is about to."""
        return all(follower.status().state == "following" for follower in self._followers.values())

    def reports(self) -> tuple[BindingReport, ...]:
        return tuple(_report(f.status(), self._bound) for f in self._followers.values())

    def troubles(self) -> Iterator[LimitReport]:
        for follower in self._followers.values():
            seen = follower.status()
            if seen.code:
                yield LimitReport(code=seen.code, message=seen.detail, hint=seen.hint)
            if seen.held:
                yield LimitReport(
                    code="HS634",
                    message=f"{seen.held} deletions in {seen.path} are held back from the standby",
                    hint="see that they were meant, then `hsorch release-deletions`",
                )

    def verify(self) -> None:
        """Compare the contents of all files now."""
        for follower in self._followers.values():
            follower.verify()

    def confirm(self, path: str) -> None:
        """An operator lets the deletions through that are held back; path empty: everywhere."""
        for name, follower in self._followers.items():
            if path in ("", name):
                follower.confirm()

    def drain(self, limit_s: float) -> bool:
        """A last round of each, until nothing changes any more. False: not in time."""
        until = time.monotonic() + limit_s
        return all(follower.drain(until) for follower in self._followers.values())

    def stop(self) -> None:
        threads = [threading.Thread(target=f.stop, daemon=True) for f in self._followers.values()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _mirrored(self, path: str, mode: Mode) -> None:
        self._bound.change(path, shared=True)
        if mode == "content":
            self._bound.change(path, verified=utc_text(time.time_ns()))


class Taking:
    """The target's part; serve() is the reception's purpose `watched`. It also answers for the standby's
    folders as a whole: what others change there."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._bound = bound = ground.bound
        self._lock = threading.Lock()
        self._aside = Aside(ground)
        self._taker = Taker(
            ground.setup.watched,
            self._hello,
            self._stands,
            is_there=bound.is_there,
            ended=self._ended,
            refusals=bound,
        )

    def stop(self) -> None:
        """What came for the folders is in them, or never will be. Raises OSError: that takes too long."""
        if busy := self._taker.stop(ENDS_WITHIN_S):
            raise OSError(errno.EBUSY, "a watched folder is still being written", busy[0])

    def serve(self, channel: Channel, theirs: Hello) -> None:
        self._taker.serve(channel, theirs)

    def send_away(self, epoch: tuple[int, int]) -> None:
        """Who was let in for a lower epoch than this one."""
        self._taker.send_away(epoch)

    def give_up(self) -> None:
        """What stands here may be no copy of what comes: the node that was chosen may never have met this
        one. Raises OSError: something is being written, and that takes too long."""
        try:
            self.stop()
            self._aside.forget()
            for binding in self._ground.setup.watched:
                self._bound.begin_anew(binding.path)
        finally:
            self._taker.go_on()

    def changed(self, change: Change) -> None:
        """Somebody else than the source changed something here: only a comparison of all finds how much.

        The first finding is remembered, durably, and the first since a comparison began. Raises OSError."""
        ground = self._ground
        bound = (binding.path for binding in ground.setup.watched)
        path = next((path for path in bound if change.path.startswith(path + "/")), "")
        with self._lock:
            known = self._bound.note(path).changed if path else ground.meta.value.verify_needed
            if known and path not in ground.comparing:
                return
            text = f"{change.path} was changed by {change.who}"
            text = f"{text}, again" if text == known else text
            if path:
                self._bound.change(path, changed=text)
            else:
                ground.meta.change(verify_needed=text)
            ground.comparing.discard(path)

    @property
    def verify_needed(self) -> str:
        """Of ordered and watched folders."""
        notes = [self._bound.note(binding.path).changed for binding in self._ground.setup.watched]
        return next(filter(None, (self._ground.meta.value.verify_needed, *notes)), "")

    def troubles(self) -> Iterator[LimitReport]:
        text = self.verify_needed
        if text == LOST:
            yield unsure(text)
        elif text:
            hint = "stop that program, then `hsorch verify` compares both sides and repairs this one"
            yield LimitReport(code="HS633", message=text, hint=hint)
        for binding in self._ground.setup.watched:
            if why := self._bound.note(binding.path).unwritten:
                yield unsure(f"{why}; all its files are written again")
        if (full := self._aside.full) is not None:
            yield LimitReport(code=full.code, message=full.message, hint=full.hint)

    def reports(self) -> tuple[BindingReport, ...]:
        connected = self._taker.connected
        return tuple(
            BindingReport(
                path=binding.path,
                kind="watched",
                state="stopped" if binding.path not in connected
                else "live" if self._bound.whole([binding]) else "mirror",
                verified=self._bound.note(binding.path).verified,
            )
            for binding in self._ground.setup.watched
        )  # fmt: skip

    @property
    def whole(self) -> bool:
        """What lies in the watched folders may be served."""
        return self._bound.whole(self._ground.setup.watched)

    def _hello(self) -> Hello:
        unshared = []
        for binding in self._ground.setup.watched:
            with contextlib.suppress(OSError, NodeError):  # is told as the folder is mirrored
                if self._bound.note(binding.path).shared or self._is_bare(binding):
                    continue
            unshared.append(binding.path)
        return msgspec.structs.replace(_hello(self._ground), unshared=tuple(unshared))

    def _is_bare(self, binding: Binding) -> bool:
        """Nothing stands there, on the right disk before and after the look. Raises OSError, NodeError."""
        self._bound.is_there(binding)
        with contextlib.closing(Tree(0, binding)) as tree:
            bare = tree.is_bare()
        self._bound.is_there(binding)
        return bare

    def _stands(self, task: Task) -> Stood:
        path = task.binding.path
        if not task.survey:
            self._bound.change(path, own=False)  # it is replaced from here on
            if not self._bound.note(path).shared and self._is_bare(task.binding):
                self._bound.change(path, shared=True)
        if task.mode == "content":
            self._ground.comparing.add(path)
        return self._aside.of(path)

    def _ended(self, task: Task) -> None:
        path = task.binding.path
        self._bound.change(path, follows=True, shared=True)
        if task.mode == "content":
            with self._lock:
                seen = path in self._ground.comparing
                changed = "" if seen else self._bound.note(path).changed
                self._bound.change(path, changed=changed, verified=utc_text(time.time_ns()))
        self._aside.mirrored(path)


def _hello(ground: Ground) -> Hello:
    return msgspec.structs.replace(ground.hello(), purpose="watched", lineage=ground.lineage())


def _report(seen: Followed, bound: Bound) -> BindingReport:
    figures = seen.figures
    lost = seen.code == "HS674"
    return BindingReport(
        path=seen.path,
        kind="watched",
        state="lost" if lost else _STATES.get(seen.state, "stopped"),
        detail=seen.detail,
        left_files=figures.files_total - figures.files if figures else 0,
        left_bytes=figures.left_bytes if figures else 0,
        held=seen.held,
        verified=bound.note(seen.path).verified,
    )
