"""The watchdog process: parent of the agent, one thread, nothing that blocks except fencing itself.

    python3 -m hsorch.node guard CLUSTER [--replace]

It fences when the instant in the shared page (watch.py) passes unrenewed, because then the agent is dead,
frozen or starved and the peer may act soon. It restarts a dead agent at once, and slows down and fences when
the agent dies again and again. It decides nothing about roles. The agent watches the guard in turn: where no
service manager starts a new one, it does, and with --replace that ends the old, frozen one and takes over.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
from collections import deque

from hsorch.errors import HsorchError, NodeError
from hsorch.node import clock, enrolment
from hsorch.node.companion import Companion
from hsorch.node.notify import ServiceManager
from hsorch.node.paths import Paths
from hsorch.node.resource.fence import fence
from hsorch.node.run import command
from hsorch.node.system import system
from hsorch.node.system.host import Lock, Watched, host
from hsorch.node.watch import Watch
from hsorch.spec import Spec

TICK_NS = 500 * clock.MILLISECOND
"""The guard shows that it is alive at least this often."""
AGENT_SILENT_NS = 5 * clock.SECOND
"""An unarmed agent that shows no life for so long is frozen: it is killed and started again."""
LOOP_WINDOW_NS = 60 * clock.SECOND
LOOP_DEATHS = 5
"""More deaths than this within the window are a crash loop."""
FIRST_PAUSE_NS = 10 * clock.SECOND
"""Well beyond a lease: a fenced group is taken over by the peer before this agent asks for it again."""
LONGEST_PAUSE_NS = 60 * clock.SECOND
SPEC_EVERY_NS = 2 * clock.SECOND
FENCE_TRIES = 5
REPLACE_TRIES = 50
KILLED_WITHIN_S = 0.1
PRIORITY = 20


class Guard:
    """One cluster's watchdog. `run` returns the exit code."""

    def __init__(self, paths: Paths, lock: Lock) -> None:
        self._paths = paths
        self._lock = lock
        self._system = system()
        self._host = host()
        self._me = enrolment.identity(paths).node
        self._watch = Watch(paths.watch, self._system.boot_id())
        self._spec: Spec | None = None
        self._spec_seen = 0
        self._agent: Watched | None = None
        self._deaths: deque[int] = deque(maxlen=LOOP_DEATHS + 1)
        self._start_at = 0
        self._pause = 0
        self._because = "start"
        self._stopping = False
        self._signals, signal_end = socket.socketpair()
        signal_end.setblocking(False)
        self._signal_end = signal_end
        self._manager = ServiceManager()
        self._companion = Companion(paths, self._host, self.say)
        self._replicates = False
        self._spec_due = 0

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.set_wakeup_fd(self._signal_end.fileno(), warn_on_full_buffer=False)
        self._adopt()
        self._read_spec()
        while not (self._stopping and self._agent is None):
            self._step(clock.now())
            self._sleep()
        self._companion.end()
        self._manager.stopping()
        return 0

    # ------------------------------------------------------------------ one turn

    def _step(self, now: int) -> None:
        self._watch.guard_alive = now
        self._manager.alive(now)
        if self._agent is not None and self._agent.ended():
            self._on_death(now)
        if self._watch.passed(now):
            self._fire("the lease ran out and the agent did not act")
        elif self._agent is not None and self._watch.agent_alive + AGENT_SILENT_NS < now:
            self._kill_agent(self._agent)
            self.say(f"agent {self._agent.pid} killed: it was frozen")
        self._read_spec()
        if self._agent is None and not self._stopping and now >= self._start_at:
            self._start(now)
        self._look_after_companion(now)

    def _look_after_companion(self, now: int) -> None:
        """While stopping, the group still lets go of its data through it: it ends last (run)."""
        if now >= self._spec_due:
            self._spec_due = now + SPEC_EVERY_NS
            # A spec that can't be read is told of elsewhere; meanwhile what ran runs on.
            with contextlib.suppress(NodeError):
                self._replicates = enrolment.spec(self._paths).replication is not None
        self._companion.look(now, wanted=self._replicates)

    def _sleep(self) -> None:
        now = clock.now()
        wake = self._wake_at(now)
        poll = select.poll()
        poll.register(self._signals, select.POLLIN)
        if self._agent is not None:
            poll.register(self._agent.fileno(), select.POLLIN)
        poll.poll(max(0, -(-(wake - now) // clock.MILLISECOND)))
        # The byte of a signal: the handler has run by now.
        with contextlib.suppress(BlockingIOError):
            self._signals.recv(64, socket.MSG_DONTWAIT)

    def _wake_at(self, now: int) -> int:
        wake = now + TICK_NS
        if self._watch.until:
            wake = min(wake, self._watch.until)
        elif self._spec is not None:
            # The agent arms without a word: a short lease must be seen before it can end.
            wake = min(wake, now + self._spec.policy.lease_ms * clock.MILLISECOND // 2)
        if self._agent is None:
            wake = min(wake, self._start_at)
        return wake

    # ----------------------------------------------------------------- the agent

    def _adopt(self) -> None:
        """An agent that outlived an earlier guard goes on under this one, and so does its replicator."""
        self._companion.adopt()
        pid = self._host.locked_by(self._paths.agent_pid)
        self._agent = self._host.watch(pid) if pid else None
        self._watch.agent_alive = clock.now()
        if self._agent is not None:
            self._manager.ready()

    def _start(self, now: int) -> None:
        self._watch.agent_alive = now
        self._watch.left = False
        self._agent = self._host.spawn(command("agent", self._paths.cluster, self._because))
        self._manager.ready()

    def _on_death(self, now: int) -> None:
        assert self._agent is not None
        code = self._agent.exit_code()
        self._agent.close()
        self._agent = None
        self._because = "the agent ended" if code is None else f"the agent ended with {code}"
        if self._watch.left:
            self._stopping = True
            return
        if self._stopping:
            self._fire(f"{self._because} while stopping")
            return
        self._deaths.append(now)
        if len(self._deaths) > LOOP_DEATHS and now - self._deaths[0] < LOOP_WINDOW_NS:
            self._pause = min(LONGEST_PAUSE_NS, max(FIRST_PAUSE_NS, 2 * self._pause))
            self._start_at = now + self._pause
            self._because = f"the agent died {LOOP_DEATHS + 1} times within a minute"
            self.say(f"{self._because}: next start in {self._pause // clock.SECOND} s")
            if self._watch.until:
                self._fire(self._because)
        else:
            self._pause = 0

    def _kill_agent(self, agent: Watched) -> None:
        """One that waits for a hanging disk ends only when that answers; until then it is asked again."""
        agent.kill()
        agent.wait(KILLED_WITHIN_S)
        self._watch.agent_alive = clock.now()

    # ------------------------------------------------------------------- fencing

    def _fire(self, reason: str) -> None:
        """End the agent, so that nothing starts behind our back, then every effect of the group.

        Until that is done nothing is read from a disk and nothing written: either may hang.
        """
        if self._agent is not None and not self._agent.ended():
            self._kill_agent(self._agent)
        self._because, spec = f"fenced by the guard: {reason}", self._spec
        for _ in range(FENCE_TRIES):
            verified, detail = fence(
                cluster=self._paths.cluster,
                me=self._me,
                directory=self._paths.resources,
                system=self._system,
                spec=spec,
                limit_s=(spec.policy.fence_ms if spec else 1000) / 1000,
                reason=reason,
            )
            self.say(f"fenced ({reason}): {detail}")
            if verified:
                break
            self._because = f"the guard could not verify its fencing: {detail}"
        self._watch.until = 0

    def _read_spec(self) -> None:
        """When it is new. It adds names to what the records say; without it the records must do."""
        try:
            seen = self._paths.spec.stat().st_mtime_ns
        except OSError:
            return  # the agent cannot start without it, and says so
        if seen != self._spec_seen:
            self._spec_seen = seen
            try:
                self._spec = enrolment.spec(self._paths)
            except NodeError as error:
                self.say(error.message)

    # ------------------------------------------------------------------ the rest

    def _on_stop(self, _number: int, _frame: object) -> None:
        self._stopping = True
        if self._agent is not None:
            self._agent.terminate()

    def say(self, text: str) -> None:
        """To standard error: journal or runtime.log. The agent's next start puts it in the event log."""
        sys.stderr.write(f"{clock.utc_text(clock.wall())} guard[{os.getpid()}] {text}\n")
        sys.stderr.flush()


def main(argv: list[str]) -> int:
    if not argv or argv[1:] not in ([], ["--replace"]):
        sys.stderr.write("usage: hsorch.node guard CLUSTER [--replace]\n")
        return 64
    try:
        paths = Paths(argv[0])
        paths.run.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = _take_over(paths, replace=len(argv) == 2)
        guard = Guard(paths, lock)
        if refused := host().favour(PRIORITY):
            guard.say(f"not granted to the guard: {'; '.join(refused)}")
        return guard.run()
    except HsorchError as error:
        sys.stderr.write(f"{error.code}: {error.message}\nhint: {error.hint}\n")
        return int(error.exit_code)


def _take_over(paths: Paths, *, replace: bool) -> Lock:
    """The guard's pid file. Raises NodeError HS604 when another guard has it and is not to be replaced."""
    machine = host()
    for _ in range(REPLACE_TRIES if replace else 1):
        lock = machine.lock(paths.guard_pid)
        if lock is not None:
            return lock
        other = machine.watch(machine.locked_by(paths.guard_pid))
        if replace and other is not None:
            other.kill()
            other.wait(KILLED_WITHIN_S)
    raise NodeError(
        f"a guard of cluster {paths.cluster} runs already (pid {machine.locked_by(paths.guard_pid)})",
        hint=f"stop it first, or replace it: hsorch.node guard {paths.cluster} --replace",
        code="HS604",
    )
