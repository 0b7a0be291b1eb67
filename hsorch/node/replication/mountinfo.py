"""The kernel's table of mounts: what lies over which folder. The mounts themselves are not touched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Mounted(NamedTuple):
    number: str
    where: str
    kind: str


def mounted() -> Iterator[Mounted]:
    """All that this process sees, in the order in which they were mounted."""
    for line in Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines():
        before, _, after = line.partition(" - ")
        number, _, _, _, where, *_ = before.split(" ")
        yield Mounted(number, _plain(where), after.split(" ")[0])


def _plain(text: str) -> str:
    """Blanks and the like are written as octal numbers there."""
    first, *others = text.split("\\")
    return first + "".join(chr(int(part[:3], 8)) + part[3:] for part in others)
