"""A process that ends at the n-th thing that it does to a disk."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

DEEDS: tuple[tuple[Any, str], ...] = (
    (os, "pwrite"), (os, "pwritev"), (os, "fsync"), (os, "fdatasync"),
    (Path, "unlink"), (Path, "rename"), (Path, "replace"),
)  # fmt: skip


class Killed(BaseException):
    """The process ends here."""


@contextlib.contextmanager
def killed_at(step: int) -> Iterator[None]:
    """The body goes on for so many deeds; what it would do then, and after it, is not done."""
    left = [step]

    def until_killed(plain: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            if not left[0]:
                raise Killed
            left[0] -= 1
            return plain(*args, **kwargs)

        return call

    with pytest.MonkeyPatch.context() as killing, contextlib.suppress(Killed):
        for owner, name in DEEDS:
            killing.setattr(owner, name, until_killed(getattr(owner, name)))
        yield
