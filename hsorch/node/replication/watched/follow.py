"""The source of one watched binding, over a channel of its own: it follows what happens in a folder.

The channel is made again when it breaks; whatever happened meanwhile is found by the mirror that begins every
channel. Its counterpart is take.py.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from hsorch.errors import NodeError, RefusedError
from hsorch.node.replication.bell import Bell
from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.entries import Anchor
from hsorch.node.replication.generations import meet, refusal
from hsorch.node.replication.messages import Hello, Refused, Task, foreign
from hsorch.node.replication.mirror import Mirror, MirrorError
from hsorch.node.replication.progress import Figures, Progress
from hsorch.node.replication.watched.inotify import Watcher
from hsorch.node.replication.watched.live import Batch, Live
from hsorch.node.replication.wire import Broken, Channel

RETRY_S = 1.0
IN_VAIN_S = 10.0
"""After a first mirror that ended at a fault: each looks into every file, on both nodes."""
LOOK_AGAIN_S = 600.0
"""A mirror by size and time so often, for what no watcher tells (links that came and went, memory maps)."""
DISK_S = 1.0
ANSWER_S = 10.0
Mode = Literal["quick", "content"]
State = Literal["stopped", "connecting", "mirroring", "following", "held", "refused"]


@dataclass(frozen=True)
class Followed:
    """One binding as status shows it. held: deletions that wait for an operator. lag_ms: of the last one.

    code: of the error that keeps it from following; empty for a connection that is not there.
    """

    path: str
    state: State = "stopped"
    detail: str = ""
    code: str = ""
    hint: str = ""
    held: int = 0
    lag_ms: float = 0.0
    changes: int = 0
    mirrors: int = 0
    figures: Figures | None = None


class Follower:
    """The source of one watched binding; a thread that runs until stop()."""

    def __init__(
        self,
        binding: Binding,
        dial: Callable[[], Channel],
        hello: Callable[[], Hello],
        *,
        is_there: Callable[[Binding], None] = lambda binding: None,
        mirrored: Callable[[str, Mode], None] = lambda path, mode: None,
    ) -> None:
        """dial raises Broken. is_there(binding) raises NodeError: the bound folder is not the one it was.

        mirrored(path, mode): the standby has the same as this node, as far as this mode looks.
        """
        self._binding = binding
        self._dial = dial
        self._hello = hello
        self._is_there = is_there
        self._mirrored = mirrored
        self._anchor: Anchor | None = None
        self._mode: Mode = "quick"
        self._unshared = False
        """The standby may have files of its own there."""
        self._confirmed = False
        self._looks_at = 0.0
        self._stopped = threading.Event()
        self._again = threading.Event()
        self._bell = Bell()
        self._resting = threading.Event()
        """Set whenever the target has everything."""
        self._channel: Channel | None = None
        self._progress = Progress()
        self._seen = Followed(binding.path)
        self._thread = threading.Thread(target=self._run, name=f"follow {binding.path}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._bell.ring()
        if self._channel is not None:
            self._channel.close()
        self._thread.join(30)

    def status(self) -> Followed:
        return replace(self._seen, figures=self._progress.figures())

    def verify(self, *, confirmed: bool = False) -> None:
        """Compare all contents now. confirmed: let the deletions through that the guard holds back."""
        self._mode, self._confirmed = "content", confirmed
        self._look_again()

    def confirm(self) -> None:
        """Look again at names, sizes and times, and let the deletions through that are held back."""
        self._confirmed = True
        self._look_again()

    def drain(self, until: float) -> bool:
        """Wait until everything done so far is at the target. until: monotonic; False: not in time."""
        for _ in range(2):  # the first rest may be one that was found before, and told only now
            self._resting.clear()
            self._bell.ring()
            while not self._resting.wait(0.05):
                if time.monotonic() > until or self._stopped.is_set():
                    return False
        return not self._seen.held

    def _look_again(self) -> None:
        self._again.set()
        self._bell.ring()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._is_there(self._binding)
                self._channel = self._dial()
                self._agree(self._channel)
                while not self._stopped.is_set():
                    self._round(self._channel)
            except Broken as end:
                self._tell("connecting", str(end))
            except RefusedError as refused:
                self._tell("refused", refused.message, refused.code, refused.hint)
            except NodeError as error:
                self._tell("stopped", error.message, error.code, error.hint)
            except OSError as error:
                self._tell("stopped", f"{error.filename or self._binding.path}: {error.strerror}")
            except Exception as error:  # told, and tried again: nobody else follows this folder
                self._tell("stopped", f"{self._binding.path}: {error!r}")
            finally:
                if self._channel is not None:
                    self._channel.close()
            in_vain = self._unshared and self._seen.state == "stopped"
            self._stopped.wait(IN_VAIN_S if in_vain else RETRY_S)
        self._tell("stopped")

    def _agree(self, channel: Channel) -> None:
        """Raises RefusedError: an operator must select the source first."""
        mine = self._hello()
        channel.send(mine)
        frame = channel.receive(ANSWER_S)
        if frame is None or not isinstance(frame.message, Hello):
            why = frame.message.why if frame and isinstance(frame.message, Refused) else "no answer"
            raise Broken(f"the standby does not take {self._binding.path}: {why}")
        if strange := foreign(frame.message, mine.folders):
            raise Broken(strange)
        if (refused := refusal(meet(mine.lineage, frame.message.lineage))) is not None:
            raise refused
        self._unshared = self._binding.path in frame.message.unshared

    def _round(self, channel: Channel) -> None:
        """Mirror, then every change, until everything must be looked at again."""
        self._is_there(self._binding)
        self._again.clear()
        mode, confirmed, self._mode, self._confirmed = self._mode, self._confirmed, "quick", False
        watcher = Watcher(self._binding.path, self._binding, self._bell)
        try:
            self._progress = Progress()
            self._tell("mirroring")
            task = Task(binding=self._binding, mode=mode, confirmed=confirmed)
            anchor = self._anchor = self._anchor or _anchor(self._binding.path)
            mirror = Mirror(
                channel, self._binding.path, task,
                anchor=anchor, progress=self._progress, own=self._unshared,
            )  # fmt: skip
            held = mirror.run().held
            self._seen = replace(self._seen, held=held, mirrors=self._seen.mirrors + 1)
            if not held:
                self._unshared = False
                self._mirrored(self._binding.path, mode)
            self._tell("held" if held else "following")
            live = Live(channel, self._binding.path, self._binding, mirror)
            until = time.monotonic() + LOOK_AGAIN_S
            live.follow(watcher, lambda: self._due(until), self._told, self._resting.set)
        finally:
            watcher.close()

    def _due(self, until: float) -> bool:
        """Raises NodeError HS674: another disk lies over the folder by now, which no event tells."""
        if time.monotonic() >= self._looks_at:
            self._looks_at = time.monotonic() + DISK_S
            self._is_there(self._binding)
        return self._stopped.is_set() or self._again.is_set() or time.monotonic() >= until

    def _told(self, batch: Batch) -> None:
        seen = self._seen
        held = seen.held + batch.held
        self._seen = replace(
            seen, changes=seen.changes + batch.names, lag_ms=batch.took_ns / 1e6, held=held,
            state="held" if held else "following",
        )  # fmt: skip

    def _tell(self, state: State, detail: str = "", code: str = "", hint: str = "") -> None:
        self._seen = replace(self._seen, state=state, detail=detail, code=code, hint=hint)


def _anchor(path: str) -> Anchor:
    try:
        return Anchor.of(path)
    except OSError as error:
        raise MirrorError(
            f"{path} cannot be read: {error.strerror}",
            hint="Mount its disk or restore the folder; replication goes on by itself.",
            code="HS674",
        ) from error
