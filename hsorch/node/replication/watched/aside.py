"""What only a standby has in its watched folders goes into the quarantine before a mirror replaces it."""

from __future__ import annotations

import os
import threading
import time

from hsorch.node.clock import utc_text
from hsorch.node.replication.ground import Ground
from hsorch.node.replication.placing import Stood
from hsorch.node.replication.quarantine import About, Open, Quarantine, QuarantineFull, limit_of


class Aside:
    """Of all watched folders of a standby together. full: why the last file could not be kept."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._bound = ground.bound
        self._lock = threading.Lock()
        self._open: Open | None = None
        self.full: QuarantineFull | None = None
        self._looked: dict[str, set[int]] = {}
        """By bound path, as in Stood; for as long as this part is played."""

    def of(self, path: str) -> Stood:
        """For a mirror of this bound folder that begins now."""
        shared = self._bound.note(path).shared
        keep = self._keep if self._is_own(path) else None
        return Stood(keep, None if shared else self._looked.setdefault(path, set()))

    def forget(self) -> None:
        """Nothing that a mirror looked into counts for the next one."""
        self._looked.clear()

    def mirrored(self, path: str) -> None:
        """To its end. After the last one of all nothing has to be kept."""
        self._looked.pop(path, None)
        with self._lock:
            if self._bound.whole(self._ground.setup.watched):
                self._let_go()
                self.full = None

    def _is_own(self, path: str) -> bool:
        """Something there may be nowhere else."""
        note = self._bound.note(path)
        return bool(note.changed) or not note.follows

    def _keep(self, root: str, relative: str) -> None:
        with self._lock:
            if not self._is_own(root) or self._is_brought(root, relative):
                return  # the mirror is over, and what comes now is a change like any other, or a second try
            try:
                number = 1
                self._open = self._open or self._incident(number)
                while not self._open.keep(root, relative):  # another content was kept under this name before
                    number += 1
                    self._let_go()
                    self._open = self._incident(number)
                self.full = None
            except QuarantineFull as full:
                self.full = full
                self._let_go()  # room that is made is seen when the source asks again
                raise

    def _is_brought(self, root: str, relative: str) -> bool:
        """By this mirror, and nobody else changed anything there since."""
        looked = self._looked.get(root)
        if not looked or self._bound.note(root).changed:
            return False
        try:
            return os.lstat(f"{root}/{relative}").st_ino in looked
        except FileNotFoundError:
            return False

    def _incident(self, number: int) -> Open:
        folder, generation = self._ground.places.quarantine, self._ground.lineage().current
        name = f"watched-{generation:016x}-{self._ground.folders.edition}"
        about = About(
            incident=name if number == 1 else f"{name}-{number}",
            time=utc_text(time.time_ns()),
            reason="a first mirror replaces what stood in watched folders",
            generation=generation,
        )
        return Quarantine(folder, limit_of(folder, self._ground.setup.limits.warn)).open(about)

    def _let_go(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None
