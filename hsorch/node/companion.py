"""The replicator as the guard sees it: a process that is kept running while something is replicated.

It never fences and is never fenced for: what it serves fails when it dies, and the agent notices that. Its
heavy work shall not make the guard late, so all this does is to look whether it still runs.
"""

from __future__ import annotations

from collections.abc import Callable

from hsorch.node import clock
from hsorch.node.paths import Paths
from hsorch.node.run import command
from hsorch.node.system.host import Host, Watched

FIRST_PAUSE_NS = clock.SECOND // 2
LONGEST_PAUSE_NS = 30 * clock.SECOND
STEADY_NS = 60 * clock.SECOND
"""One that ran for so long is started again without a pause."""
ENDS_WITHIN_S = 5.0


class Companion:
    def __init__(self, paths: Paths, host: Host, say: Callable[[str], None]) -> None:
        self._paths = paths
        self._host = host
        self._say = say
        self._process: Watched | None = None
        self._since = 0
        self._start_at = 0
        self._pause = 0

    def adopt(self) -> None:
        """One that outlived an earlier guard goes on under this one."""
        pid = self._host.locked_by(self._paths.replicator_pid)
        self._process = self._host.watch(pid) if pid else None

    def look(self, now: int, *, wanted: bool) -> None:
        """Start it when it is wanted and does not run; let it end when it is not wanted any more."""
        if self._process is not None and self._process.ended():
            self._on_death(now, wanted=wanted)
        if wanted and self._process is None and now >= self._start_at:
            self._since = now
            self._process = self._host.spawn(command("replicator", self._paths.cluster))
        elif not wanted and self._process is not None:
            self._process.terminate()

    def end(self) -> None:
        """When nothing of the group is left here. Blocks for a few seconds at most."""
        if self._process is None:
            return
        self._process.terminate()
        if not self._process.wait(ENDS_WITHIN_S):
            self._process.kill()
        self._process.close()
        self._process = None

    def _on_death(self, now: int, *, wanted: bool) -> None:
        assert self._process is not None
        code = self._process.exit_code()
        self._process.close()
        self._process = None
        steady = now - self._since >= STEADY_NS
        self._pause = 0 if steady else min(LONGEST_PAUSE_NS, max(FIRST_PAUSE_NS, 2 * self._pause))
        self._start_at = now + self._pause
        if wanted:
            self._say(f"the replicator ended{'' if code is None else f' with {code}'}")
