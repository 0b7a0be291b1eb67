"""A control group per supervised process, where this machine lets us make one (cgroup v2).

The strongest way to end a tree: one write kills all of it in the kernel, whatever its processes did to
their environment, parent or session. Only below a group of our own (a systemd unit's), because its maker
tidies up what is left in it; elsewhere (the lab, a plain process) the process table has to do.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

_PREFIX = "hsorch-"


def make(mark: str) -> str:
    """Directory of the group for a mark; empty where none can be made."""
    own = _own()
    if own is None:
        return ""
    path = own / f"{_PREFIX}{hashlib.sha256(mark.encode()).hexdigest()[:12]}"
    try:
        path.mkdir(exist_ok=True)
    except OSError:
        return ""
    return str(path)


def join(group: str, pid: int) -> None:
    """Raises OSError."""
    (Path(group) / "cgroup.procs").write_text(str(pid))


def members(group: str) -> list[int]:
    try:
        return [int(line) for line in (Path(group) / "cgroup.procs").read_text().split()]
    except OSError:
        return []


def kill(group: str) -> None:
    """Kernel 5.14 and later; before, the process table ends the members one by one."""
    with contextlib.suppress(OSError):
        (Path(group) / "cgroup.kill").write_text("1")


def remove(group: str) -> None:
    """Only ours, and only when empty."""
    path = Path(group)
    if path.name.startswith(_PREFIX):
        with contextlib.suppress(OSError):
            path.rmdir()


def _own() -> Path | None:
    mount = _mount()
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        if mount is not None and line.startswith("0::/") and line != "0::/":
            return mount / line[4:]
    return None


def _mount() -> Path | None:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        if rest.startswith("cgroup2 "):
            return Path(fields.split()[4])
    return None
