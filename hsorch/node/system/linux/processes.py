"""Start programs so that they outlive the agent, and end them so that nothing of them does.

A program runs in its own session without a pipe to us, and carries a mark in its environment.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import select
import signal
import subprocess
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from hsorch.errors import NodeError
from hsorch.node.system.base import Deadline, Finished, Killed, Launch, Running
from hsorch.node.system.linux import cgroup, proctable

_OUTPUT_LIMIT = 16 * 1024
_LOG_LIMIT = 1 << 20
_GRACE_S = 1.0
_LONGEST_MS = 2**31 - 1
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class LinuxProcesses:
    """Implements hsorch.node.system.base.Processes."""

    def __init__(self) -> None:
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()

    def start(self, launch: Launch) -> Running:
        mark = proctable.marks_here(launch.mark)
        with _output(launch.log) as output:
            child = _spawn(launch, mark, output)
        group = cgroup.make(mark)
        with contextlib.suppress(OSError):
            if group:
                cgroup.join(group, child.pid)
        with self._lock:
            self._reap()
            self._children[child.pid] = child
        found = proctable.entry(child.pid)
        return Running(pid=child.pid, started=found.started if found else 0, group=group)

    def execute(self, launch: Launch, deadline: Deadline) -> Finished:
        with _output(launch.log) as output:
            begin = output.seek(0, os.SEEK_END)
            child = _spawn(launch, proctable.marks_here(launch.mark), output)
            grace = min(_GRACE_S, deadline.left() / 10)
            ended = _ended(child, deadline.left() - grace)
            if not ended:
                _signal_session(child.pid, signal.SIGTERM)
                _ended(child, grace / 2)
                _signal_session(child.pid, signal.SIGKILL)
            elif launch.log is None:
                # Not reaped yet, so the number of the group cannot belong to anybody else.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=_GRACE_S)
            return Finished(child.returncode if ended else None, _excerpt(output, begin))

    def alive(self, running: Running) -> bool:
        with self._lock:
            self._reap()
        return proctable.alive(running)

    def terminate(self, mark: str, known: Iterable[Running]) -> None:
        for found in self._belonging(mark, list(known)).values():
            _signal(found, signal.SIGTERM)

    def members(self, mark: str, known: Iterable[Running]) -> dict[int, str]:
        return {pid: e.command for pid, e in self._belonging(mark, list(known)).items()}

    def kill(self, mark: str, known: Iterable[Running], deadline: Deadline) -> Killed:
        known, seen = list(known), set[int]()
        for running in known:
            if running.group:
                cgroup.kill(running.group)
        while left := self._belonging(mark, known):
            if seen and deadline.passed():
                break
            seen.update(left)
            # Stopped first, all of them, so that none can fork a child that this round has not seen.
            for sent in (signal.SIGSTOP, signal.SIGKILL):
                for found in left.values():
                    _signal(found, sent)
            time.sleep(0.002)
            with self._lock:
                self._reap()
        for running in known:
            if running.group:
                cgroup.remove(running.group)
        return Killed(len(seen), {pid: e.command for pid, e in left.items()})

    def _belonging(self, mark: str, known: list[Running]) -> dict[int, proctable.Entry]:
        found = proctable.belonging(proctable.marks_here(mark), known)
        for running in known:
            for pid in cgroup.members(running.group) if running.group else ():
                e = proctable.entry(pid)
                if e is not None and not e.dead:
                    found[pid] = e
        return found

    def _reap(self) -> None:
        for pid in [pid for pid, child in self._children.items() if child.poll() is not None]:
            del self._children[pid]


def _spawn(launch: Launch, mark: str, output: IO[bytes]) -> subprocess.Popen[bytes]:
    user = launch.user or None
    try:
        environment = {
            proctable.MARK: mark,
            "PATH": _PATH,
            "LANG": "C.UTF-8",
            **_home_of(user),
            **launch.environment,
        }
        with launch.gate():
            child = subprocess.Popen(
                list(launch.argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=launch.directory or None,
                env=environment,
                start_new_session=True,
                user=user,
                group=_group_of(user) if user else None,
                extra_groups=[] if user else None,
            )
    except (OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
        raise NodeError(
            f"{launch.argv[0] if launch.argv else 'a program'} cannot be started: {error}",
            hint="the program, its directory and its user must exist on this node, and be permitted to root",
            code="HS655",
        ) from error
    with contextlib.suppress(OSError):
        # The agent protects itself from the kernel's memory killer; what it starts must not inherit that.
        (Path("/proc") / str(child.pid) / "oom_score_adj").write_text("0")
    return child


def _group_of(user: str) -> int:
    """Raises KeyError."""
    return pwd.getpwnam(user).pw_gid


def _home_of(user: str | None) -> dict[str, str]:
    """What a login would set. Raises KeyError."""
    if user is None:
        return {"HOME": os.environ.get("HOME", "/")}
    return {"HOME": pwd.getpwnam(user).pw_dir, "USER": user, "LOGNAME": user}


def _output(log: Path | None) -> IO[bytes]:
    """A file, never a pipe: what the program leaves running must not die of our end being closed."""
    if log is None:
        return os.fdopen(os.memfd_create("hsorch-output"), "w+b", buffering=0)
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    shorten(log)
    return log.open("a+b", buffering=0)


def shorten(log: Path) -> None:
    """Keep the newest half of a log that has grown too long; writers append, so they go on unharmed."""
    with contextlib.suppress(FileNotFoundError), log.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        if size > _LOG_LIMIT:
            file.seek(size - _LOG_LIMIT // 2)
            kept = file.read()
            file.seek(0)
            file.write(kept)
            file.truncate()


def _excerpt(output: IO[bytes], begin: int) -> str:
    """Head and tail when it is too long."""
    end = output.seek(0, os.SEEK_END)
    if end - begin <= _OUTPUT_LIMIT:
        output.seek(begin)
        return output.read(_OUTPUT_LIMIT).decode(errors="replace")
    half = _OUTPUT_LIMIT // 2
    output.seek(begin)
    head = output.read(half)
    output.seek(end - half)
    tail = output.read(half)
    cut = f"\n... {end - begin - 2 * half} bytes cut ...\n"
    return head.decode(errors="replace") + cut + tail.decode(errors="replace")


def _ended(child: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether it ends within the time. Woken by the kernel, not by polling; does not reap it."""
    handle = os.pidfd_open(child.pid)
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        return bool(poll.poll(min(max(0.0, seconds) * 1000, _LONGEST_MS)))
    finally:
        os.close(handle)


def _signal_session(session: int, number: signal.Signals) -> None:
    for found in proctable.session_members(session):
        _signal(found, number)


def _signal(found: proctable.Entry, number: signal.Signals) -> None:
    """Only the very process that was seen: its number may belong to another one by now."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        handle = os.pidfd_open(found.pid)
        try:
            now = proctable.entry(found.pid)
            if now is not None and now.started == found.started:
                signal.pidfd_send_signal(handle, number)
        finally:
            os.close(handle)
