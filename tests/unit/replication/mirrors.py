"""Two folders, a real channel between them, and ways to compare them to the last attribute."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hsorch.errors import NodeError
from hsorch.node.replication.bindings import STAGING, Binding
from hsorch.node.replication.entries import Anchor
from hsorch.node.replication.flushing import Refusals
from hsorch.node.replication.massguard import MassGuard
from hsorch.node.replication.messages import Reached, Task
from hsorch.node.replication.mirror import Mirror
from hsorch.node.replication.placing import Keep, Stood
from hsorch.node.replication.receiving import Ended, serve
from hsorch.node.replication.record import Buffer
from hsorch.node.replication.tls import Keys
from hsorch.node.replication.tree import HIDDEN
from hsorch.node.replication.wire import Channel, Listener, connect


def channels(client: Keys, server: Keys) -> tuple[Channel, Channel]:
    listener = Listener("127.0.0.1", 0, server)
    with ThreadPoolExecutor() as pool:
        accepted = pool.submit(listener.accept, 10)
        connected = connect("127.0.0.1", listener.port, client)
        other = accepted.result()
    listener.close()
    assert other is not None
    return connected, other


@dataclass
class Trees:
    """The same binding on two nodes."""

    here: Path
    there: Path
    keys: tuple[Keys, Keys]
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    guard: MassGuard | None = None
    keep: Keep | None = None
    looked: set[int] | None = None
    refusals: Refusals | None = None
    ended: Ended | None = None
    refused: list[Exception] = field(default_factory=list)

    @property
    def binding(self) -> Binding:
        return Binding(path=str(self.here), kind="watched", include=self.include, exclude=self.exclude)

    @contextlib.contextmanager
    def channel(self) -> Iterator[Channel]:
        """The source's end, with a target that serves the other one."""
        mine, other = channels(*self.keys)

        def target() -> None:
            try:
                serve(
                    other,
                    lambda _: str(self.there),
                    guard={str(self.here): self.guard or MassGuard()},
                    stands=lambda _: Stood(self.keep, self.looked),
                    ended=self.ended,
                    refusals=self.refusals,
                )
            except (OSError, NodeError) as error:
                self.refused.append(error)

        thread = threading.Thread(target=target)
        thread.start()
        try:
            yield mine
        finally:
            mine.close()
            thread.join(20)
            assert not thread.is_alive()
            mine.release()
            other.release()

    def mirror(
        self,
        mode: Literal["quick", "content"] = "quick",
        *,
        survey: bool = False,
        confirmed: bool = False,
        anchor: Anchor | None = None,
        cut: int | None = None,
        own: bool = False,
    ) -> Reached:
        """cut: the channel breaks after so many bytes."""
        task = Task(binding=self.binding, mode=mode, survey=survey, confirmed=confirmed)
        with self.channel() as channel:
            if cut is not None:
                break_after(channel, cut)
            self.last = Mirror(channel, str(self.here), task, anchor=anchor, own=own)
            return self.last.run()

    def equal(self) -> bool:
        return self.difference() == {}

    def difference(self) -> dict[str, object]:
        """Name by name what is not the same."""
        try:
            here, there = picture(self.here), picture(self.there)
        except (FileNotFoundError, NotADirectoryError) as error:
            return {str(error.filename): "went while it was looked at"}
        return {
            name: (here.get(name), there.get(name))
            for name in here.keys() | there.keys()
            if here.get(name) != there.get(name)
        }


def break_after(channel: Channel, count: int) -> None:
    """Wherever in a frame that is."""
    write = channel._session.write

    def cut(*parts: Buffer, timeout_s: float) -> None:
        data = b"".join(parts)
        left = max(0, count - channel.sent)
        write(data[:left], timeout_s=timeout_s)
        if len(data) > left:
            channel.close()
            raise ConnectionResetError("cut by the test")

    channel._session.write = cut  # type: ignore[method-assign]


def picture(root: Path) -> dict[str, object]:
    """Everything that must be equal, by name; content by value, holes by length of data."""
    found: dict[str, object] = {".": _look(root)}
    names: dict[int, list[str]] = {}
    for path in sorted(root.rglob("*")):
        relative = str(path.relative_to(root))
        if relative.split("/")[0] == STAGING:
            continue
        found[relative] = _look(path)
        names.setdefault(path.lstat().st_ino, []).append(relative)
    found["twins"] = [group for group in names.values() if len(group) > 1]
    return found


def _look(path: Path) -> tuple[object, ...]:
    seen = path.lstat()
    body: object = None
    if stat.S_ISLNK(seen.st_mode):
        body = path.readlink()
    elif stat.S_ISREG(seen.st_mode):
        body = hash(path.read_bytes())
    attributes = {
        name: os.getxattr(path, name, follow_symlinks=False)
        for name in os.listxattr(path, follow_symlinks=False)
        if not name.startswith(HIDDEN)
    }
    return (
        stat.S_IFMT(seen.st_mode),
        seen.st_mode,
        seen.st_uid,
        seen.st_gid,
        seen.st_mtime_ns,
        body,
        attributes,
    )
