"""A process that has more files open than select(2) can count, as an agent of many links may have."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

MOST_OF_SELECT = 1024


@contextmanager
def crowded() -> Iterator[None]:
    """Whatever is opened inside gets a number that select(2) refuses."""
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = 2 * MOST_OF_SELECT
    try:  # root may have more than it was given
        limits = (enough, hard if hard == resource.RLIM_INFINITY else max(hard, enough))
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    except (ValueError, OSError):
        pytest.skip(f"only {hard} files may be open here (ulimit -Hn), and this user may not have more")
    try:
        with ExitStack() as many:
            while many.enter_context(Path(os.devnull).open("rb")).fileno() < MOST_OF_SELECT:
                pass
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))
