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
    if 0 <= hard < 2 * MOST_OF_SELECT:
        pytest.skip(f"only {hard} files may be open here (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (2 * MOST_OF_SELECT, hard))
    try:
        with ExitStack() as many:
            while many.enter_context(Path(os.devnull).open("rb")).fileno() < MOST_OF_SELECT:
                pass
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))
