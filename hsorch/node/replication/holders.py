"""Who has files of a bound folder open for writing, as /proc tells it: what they write would go past us."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from hsorch.errors import NodeError
from hsorch.node.replication.mountinfo import mounted

_WRITES = os.O_WRONLY | os.O_RDWR
_NAMED = 3


def refuse_holders(folders: Sequence[str]) -> None:
    """Raises NodeError HS630 that names the first of them. This very process does not count."""
    held = [f"{who} holds {path}" for who, path in _holders(folders)]
    if held:
        more = f", and {len(held) - _NAMED} more" if len(held) > _NAMED else ""
        raise NodeError(
            f"files below a bound folder are open for writing: {'; '.join(held[:_NAMED])}{more}",
            hint="stop that program: what it writes would not be replicated",
            code="HS630",
        )


def _holders(folders: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(program and pid, path). Processes that end meanwhile, or may not be looked at, are left out."""
    prefixes = tuple(os.path.realpath(folder) + "/" for folder in folders)
    mounts = frozenset(mount.number for mount in mounted())
    here = Path("/proc/self/ns/mnt").readlink()
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            if (process / "ns" / "mnt").readlink() != here:
                continue  # it means other folders by these names
            found = list(_open_for_writing(process, prefixes, mounts))
            if found:
                name = (process / "comm").read_text("utf-8", "replace").strip()
                yield f"{name} (pid {process.name})", found[0]
        except OSError:
            continue


def _open_for_writing(process: Path, prefixes: tuple[str, ...], mounts: frozenset[str]) -> Iterator[str]:
    for link in (process / "fd").iterdir():
        try:
            path = str(link.readlink())
            if not path.startswith(prefixes):
                continue
            known = dict(
                line.split(":\t", 1) for line in (process / "fdinfo" / link.name).read_text().splitlines()
            )
        except (OSError, ValueError):
            continue
        # A file of a mount that was taken away leads nowhere any more.
        if int(known["flags"], 8) & _WRITES and known["mnt_id"].strip() in mounts:
            yield path
