"""What /proc says about processes: who belongs to whom. Reads only; ends nothing.

Belonging is inherited in three ways, and a process that left one is found by another: the mark in the
environment it was started with, descent from a known process, and the session of a known process.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from hsorch.node.system.base import Running

MARK = "HSORCH_MARK"
_MARK_FIELD = f"\0{MARK}=".encode()
_READ_AT_MOST = 1 << 18


@dataclass(frozen=True)
class Entry:
    """One line of the table. started: clock ticks since boot."""

    pid: int
    parent: int
    session: int
    started: int
    state: str
    command: str

    @property
    def dead(self) -> bool:
        return self.state in "ZX"


def entry(pid: int) -> Entry | None:
    try:
        return parse_stat(_read(pid, "stat"))
    except (OSError, ValueError):
        return None


def parse_stat(line: bytes) -> Entry:
    """proc(5), /proc/PID/stat; the command may hold blanks and parentheses. Raises ValueError."""
    before, _, after = line.rpartition(b")")
    pid, _, command = before.partition(b" (")
    fields = after.split()
    if len(fields) < 20:
        raise ValueError("not a line of /proc/PID/stat")
    return Entry(
        pid=int(pid),
        parent=int(fields[1]),
        session=int(fields[3]),
        started=int(fields[19]),
        state=fields[0].decode(),
        command=command.decode(errors="replace"),
    )


def alive(running: Running) -> bool:
    found = entry(running.pid)
    return found is not None and not found.dead and found.started == running.started


def marks_here(mark: str) -> str:
    """The mark with this network namespace: two lab nodes on one machine share one process table."""
    return f"{mark}@{os.stat('/proc/self/ns/net').st_ino}/"  # noqa: PTH116 a namespace link has no path


def belonging(mark: str, known: Iterable[Running]) -> dict[int, Entry]:
    """All live processes below the mark, or descending from or in the session of a known process."""
    table = {e.pid: e for e in _table() if not e.dead}
    roots = {r.pid for r in known if _same(table.get(r.pid), r)}
    sessions = {r.pid for r in known if r.pid not in table or r.pid in roots}
    found = {pid for pid, e in table.items() if pid in roots or e.session in sessions or _marked(pid, mark)}
    found = _with_descendants(found, table)
    found.discard(os.getpid())
    return {pid: table[pid] for pid in found}


def session_members(session: int) -> list[Entry]:
    return [e for e in _table() if e.session == session and not e.dead]


def _same(found: Entry | None, running: Running) -> bool:
    return found is not None and found.started == running.started


def _with_descendants(found: set[int], table: dict[int, Entry]) -> set[int]:
    children: dict[int, list[int]] = {}
    for e in table.values():
        children.setdefault(e.parent, []).append(e.pid)
    todo, closed = list(found), set(found)
    while todo:
        for child in children.get(todo.pop(), ()):
            if child not in closed:
                closed.add(child)
                todo.append(child)
    return closed


def _marked(pid: int, mark: str) -> bool:
    """mark is a prefix of the process's own mark, in the same network namespace."""
    prefix, _, here = mark.partition("@")
    try:
        environment = b"\0" + _read(pid, "environ")
    except OSError:
        return False
    _, found, rest = environment.partition(_MARK_FIELD)
    theirs, _, there = rest.partition(b"\0")[0].decode(errors="replace").partition("@")
    return bool(found) and theirs.startswith(prefix) and there == here


def _read(pid: int, name: str) -> bytes:
    """Raises OSError. One system call each: a fence reads all of this for every process of the machine."""
    handle = os.open(f"/proc/{pid}/{name}", os.O_RDONLY)
    try:
        return os.read(handle, _READ_AT_MOST)
    finally:
        os.close(handle)


def _table() -> Iterable[Entry]:
    for name in os.listdir("/proc"):  # noqa: PTH208 pathlib is three times slower here
        if name.isdigit():
            found = entry(int(name))
            if found is not None:
                yield found
