"""The files of the watched folders in one order, page by page, so that a controller can compare two nodes.

Sizes and times only; contents are compared by verify.py. Ordered folders are survey.py's business: a
mount may lie over them.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from itertools import islice

import msgspec

from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.survey import Standing

PAGE = 20_000
Parts = tuple[bytes, ...]


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """more: there may be files after the last of these."""

    files: tuple[Standing, ...]
    more: bool


def page(bindings: Iterable[Binding], after: bytes, limit: int = PAGE) -> Page:
    """Regular files after the path `after` (empty: from the first), in order(). Raises OSError."""
    start = order(after) if after else ()
    files = tuple(islice(_all(bindings, start), limit))
    return Page(files=files, more=len(files) == limit)


def order(path: bytes) -> Parts:
    """Files stand in the order of their names' parts, which is that of a walk."""
    return tuple(path.split(b"/"))


def _all(bindings: Iterable[Binding], after: Parts) -> Iterator[Standing]:
    for binding in sorted(bindings, key=lambda binding: order(os.fsencode(binding.path))):
        root = os.fsencode(binding.path)
        for parts, what in _below(root, order(root), after):
            path = b"/".join(parts)
            if binding.covers(os.fsdecode(path.removeprefix(root + b"/"))):
                yield Standing(path=path, size=what.st_size, mtime_ns=what.st_mtime_ns)


def _below(folder: bytes, at: Parts, after: Parts) -> Iterator[tuple[Parts, os.stat_result]]:
    """Nothing of a folder whose whole content comes before `after` is looked at."""
    if after[: len(at)] < at:
        after = ()
    first = after[len(at)] if len(after) > len(at) and after[: len(at)] == at else b""
    if after[: len(at)] > at:
        return
    for name in sorted(os.listdir(folder)):
        if name < first:
            continue
        try:
            what = os.lstat(folder + b"/" + name)
        except FileNotFoundError:
            continue
        parts = (*at, name)
        if stat.S_ISDIR(what.st_mode):
            yield from _below(folder + b"/" + name, parts, after)
        elif stat.S_ISREG(what.st_mode) and parts > after:
            yield parts, what
