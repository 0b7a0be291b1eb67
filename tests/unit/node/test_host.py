"""One process of each kind, watched without confusion, and who is on the other end."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsorch.node.notify import ServiceManager
from hsorch.node.system.host import Watched, host

SLEEPER = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]


def ended(process: Watched) -> int | None:
    assert process.wait(10)
    return process.exit_code()


def test_a_pid_file_has_one_owner_and_names_it(tmp_path: Path) -> None:
    machine, path = host(), tmp_path / "agent.pid"
    lock = machine.lock(path)
    assert lock is not None
    assert machine.lock(path) is None
    assert machine.locked_by(path) == os.getpid()
    lock.close()
    assert machine.locked_by(path) == 0


def test_a_pid_file_left_by_a_dead_process_is_free(tmp_path: Path) -> None:
    path = tmp_path / "agent.pid"
    path.write_text("1\n")
    assert host().locked_by(path) == 0
    assert host().lock(path) is not None


def test_a_child_is_watched_to_its_end() -> None:
    child = host().spawn([sys.executable, "-S", "-c", "raise SystemExit(3)"])
    assert ended(child) == 3
    child.close()


def test_a_killed_child_says_by_what() -> None:
    child = host().spawn(SLEEPER)
    assert not child.ended()
    assert child.exit_code() is None
    child.kill()
    assert ended(child) == -signal.SIGKILL


def test_a_child_has_a_session_of_its_own() -> None:
    child = host().spawn(SLEEPER)
    assert os.getsid(child.pid) == child.pid
    child.terminate()
    assert ended(child) == -signal.SIGTERM


def test_a_process_that_is_not_ours_has_an_end_but_no_exit_code() -> None:
    child = host().spawn(SLEEPER)
    other = host().watch(child.pid)
    assert other is not None
    child.kill()
    ended(child)
    assert other.wait(10)
    assert other.exit_code() is None
    other.kill()


def test_no_such_process_is_nothing_to_watch() -> None:
    child = host().spawn(SLEEPER)
    child.kill()
    ended(child)
    assert host().watch(child.pid) is None


def test_the_owner_of_a_busy_port_is_named() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mine:
        mine.bind(("127.0.0.1", 0))
        assert f"pid {os.getpid()}" in host().port_owner(mine.getsockname()[1])
        port = mine.getsockname()[1]
    assert host().port_owner(port) == ""


def test_the_owner_of_a_busy_port_is_named_though_it_closes_other_files_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = Path.iterdir

    def closing(folder: Path) -> Iterator[Path]:
        yield folder / "1000000"
        yield from plain(folder)

    monkeypatch.setattr(Path, "iterdir", closing)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mine:
        mine.bind(("127.0.0.1", 0))
        assert f"pid {os.getpid()}" in host().port_owner(mine.getsockname()[1])


def test_a_local_client_is_known_by_its_user() -> None:
    one, other = socket.socketpair(socket.AF_UNIX)
    assert host().peer(one) == (os.geteuid(), os.getpid())
    assert host().may_operate(os.geteuid())
    assert not host().may_operate(os.geteuid() + 12345)
    one.close()
    other.close()


def test_the_service_manager_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "3000000")
        us = ServiceManager()
        us.ready()
        for now in (2_000_000_000, 2_500_000_000, 3_100_000_000):
            us.alive(now)
        us.stopping()
        manager.setblocking(False)
        told = [manager.recv(100).decode() for _ in range(4)]
    assert told == ["READY=1", "WATCHDOG=1", "WATCHDOG=1", "STOPPING=1"]


def test_without_a_service_manager_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    ServiceManager().ready()


def test_a_service_manager_that_is_gone_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    ServiceManager().ready()
