"""The runtime's own processes on Linux: flock, pidfd, SCHED_FIFO, mlockall, SO_PEERCRED, /proc."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import socket
import struct
from collections.abc import Sequence
from pathlib import Path

_MCL_CURRENT, _MCL_ONFAULT = 1, 4
_LAST_TO_KILL = -999
_ELEVATED_NICE = -15
_CREDENTIALS = struct.Struct("3i")


class LinuxLock:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def close(self) -> None:
        os.close(self._descriptor)


class LinuxWatched:
    def __init__(self, pid: int, descriptor: int) -> None:
        self.pid = pid
        self._descriptor = descriptor
        self._code: int | None = None

    def fileno(self) -> int:
        return self._descriptor

    def ended(self) -> bool:
        return self.wait(0)

    def exit_code(self) -> int | None:
        if self._code is None:
            with contextlib.suppress(ChildProcessError):
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def terminate(self) -> None:
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def wait(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def close(self) -> None:
        os.close(self._descriptor)

    def _send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, number)


class LinuxHost:
    def lock(self, path: Path) -> LinuxLock | None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        return LinuxLock(descriptor)

    def locked_by(self, path: Path) -> int:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return 0
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.read(descriptor, 32).strip()
            return int(text) if text.isdigit() else 0
        finally:
            os.close(descriptor)
        return 0

    def spawn(self, argv: Sequence[str]) -> LinuxWatched:
        nothing = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)]
        pid = os.posix_spawn(argv[0], list(argv), os.environ, file_actions=nothing, setsid=True)
        return LinuxWatched(pid, os.pidfd_open(pid))

    def watch(self, pid: int) -> LinuxWatched | None:
        if pid == 0:
            return None
        try:
            return LinuxWatched(pid, os.pidfd_open(pid))
        except ProcessLookupError:
            return None

    def favour(self, priority: int) -> list[str]:
        return [
            problem for problem in (_real_time(priority), _keep_in_memory(), _spare_from_oom()) if problem
        ]

    def peer(self, connection: socket.socket) -> tuple[int, int]:
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        pid, user_id, _ = _CREDENTIALS.unpack(raw)
        return user_id, pid

    def may_operate(self, user_id: int) -> bool:
        return user_id in (0, os.geteuid())

    def port_owner(self, port: int) -> str:
        inodes = _inodes_of(port)
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if any(_socket_inode(link) in inodes for link in (process / "fd").iterdir()):
                    name = (process / "comm").read_text().strip()
                    return f"{name} (pid {process.name})"
        return ""


def _real_time(priority: int) -> str:
    """SCHED_FIFO is reset in children and threads: only the caller's own loop is favoured."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except OSError as error:
        try:
            os.setpriority(os.PRIO_PROCESS, 0, _ELEVATED_NICE)
        except OSError:
            return f"real-time priority: {error.strerror}"
    return ""


def _keep_in_memory() -> str:
    """What is mapped now stays once touched (mlock(2)). Not MCL_FUTURE: under a limit of locked memory the
    stacks of later threads would count against it, and a worker could not be started."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT | _MCL_ONFAULT) != 0:
        return f"memory lock: {os.strerror(ctypes.get_errno())}"
    return ""


def _spare_from_oom() -> str:
    try:
        Path("/proc/self/oom_score_adj").write_text(str(_LAST_TO_KILL))
    except OSError as error:
        return f"out-of-memory score: {error.strerror}"
    return ""


def _inodes_of(port: int) -> set[str]:
    """Socket inodes of a local UDP port, from /proc/net/udp and udp6 (proc(5))."""
    found: set[str] = set()
    for table in ("/proc/net/udp", "/proc/net/udp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if int(fields[1].rpartition(":")[2], 16) == port:
                    found.add(fields[9])
    return found


def _socket_inode(link: Path) -> str:
    try:
        target = str(link.readlink())
    except FileNotFoundError:  # its process goes on meanwhile
        return ""
    return target[8:-1] if target.startswith("socket:[") else ""
