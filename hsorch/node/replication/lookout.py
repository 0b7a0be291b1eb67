"""Looks every second at the volumes that replication writes to: is there room, may they be written, are they
the ones bound, and does none lie below them?

Tells its owner when an answer changes; what follows from it is decided there. Never touches a mount of ours:
the folders below one are reached by their descriptors.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from hsorch.errors import NodeError
from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.bound import refuse_inner
from hsorch.node.replication.ground import Ground
from hsorch.node.replication.space import GIB, Level, Volume, observe, worst
from hsorch.verbs import LimitReport

LOOK_S = 1.0


class Lookout:
    """Looks once when made, then in a thread of its own after start()."""

    def __init__(
        self,
        ground: Ground,
        *,
        on_space: Callable[[Level], None],
        on_lost: Callable[[NodeError], None] | None = None,
        every_s: float = LOOK_S,
    ) -> None:
        """on_space(level): the worst volume's, when it changed; again if it raises OSError. on_lost(why): a
        bound folder is not the one it was (HS674, HS697); None where mounts of ours lie over them. The thread
        calls it, and ends.
        """
        self._ground = ground
        self._on_space = on_space
        self._on_lost = on_lost
        self._every_s = every_s
        self._stopped = threading.Event()
        self._places: dict[str, str | int] = {str(ground.places.home): str(ground.places.home)}
        self._places.update((tree.binding.path, tree.descriptor) for tree in ground.trees)
        self._places.update((binding.path, binding.path) for binding in ground.setup.watched)
        self._volumes = {name: Volume(name, ground.places.home) for name in self._one_per_volume()}
        self._told = Level.OK
        self._read_only: tuple[str, ...] = ()
        self._inner: NodeError | None = None
        """Under our mounts: another one lies below them, and what is written there goes past us."""

    @property
    def level(self) -> Level:
        return worst(self._volumes.values())

    def start(self) -> None:
        threading.Thread(target=self._run, name="lookout", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def troubles(self) -> Iterator[LimitReport]:
        """HS631, HS632, HS641, HS697."""
        if (inner := self._inner) is not None:
            yield LimitReport(code=inner.code, message=inner.message, hint=inner.hint)
        for name in self._read_only:
            yield LimitReport(
                code="HS641",
                message=f"the file system of {name} is read-only",
                hint="the kernel's log says why (dmesg): it met an error, or somebody remounted it",
            )
        limits = self._ground.setup.limits
        for volume in self._volumes.values():
            free = f"{max(0, volume.free) / GIB:.1f} GiB are free on the volume of {volume.name}"
            if volume.level is Level.WARN:
                message = f"{free}; at {limits.stop / GIB:.1f} GiB replication stops"
                yield LimitReport(code="HS631", message=message, hint="free space there, or make it larger")
            elif volume.level is Level.STOP:
                hint = (
                    f"free space until more than {limits.warn / GIB:.1f} GiB are free: it goes on by itself"
                )
                yield LimitReport(code="HS632", message=f"{free}; replication stopped", hint=hint)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._read_only = tuple(name for name in self._places if self._is_read_only(name))
            with contextlib.suppress(OSError):  # it is told again at the next look
                self._look_at_space()
            if self._on_lost is None:
                self._inner = self._first_fault(self._ground.setup.ordered, refuse_inner)
            elif why := self._first_fault(self._ground.setup.bindings, self._ground.bound.is_there):
                self._on_lost(why)
                return
            self._stopped.wait(self._every_s)

    def _look_at_space(self) -> None:
        limits, now = self._ground.setup.limits, time.monotonic_ns()
        for name, volume in self._volumes.items():
            self._volumes[name] = observe(volume, self._free(name), now, limits)
        level = self.level
        if level is not self._told:
            self._on_space(level)
            self._told = level

    def _first_fault(self, bindings: Sequence[Binding], look: Callable[[Binding], None]) -> NodeError | None:
        for binding in bindings:
            try:
                look(binding)
            except NodeError as error:
                return error
        return None

    def _free(self, name: str) -> int:
        """Bytes for unprivileged writers; -1: the volume does not answer."""
        try:
            found = os.statvfs(self._places[name])
        except OSError:
            return -1
        return found.f_bavail * found.f_frsize

    def _is_read_only(self, name: str) -> bool:
        try:
            return bool(os.statvfs(self._places[name]).f_flag & os.ST_RDONLY)
        except OSError:
            return False  # it does not answer, which is told in its own words

    def _one_per_volume(self) -> list[str]:
        names: dict[int, str] = {}
        for name, place in self._places.items():
            names.setdefault(os.stat(place).st_dev, name)
        return list(names.values())
