"""Ports to the operating system: base.py says what is asked of one, linux/ answers for Linux."""

from __future__ import annotations

import sys

from hsorch.errors import NodeError
from hsorch.node.system.base import System


def system() -> System:
    """The machine we run on. Raises NodeError HS650."""
    if sys.platform != "linux":
        raise NodeError(
            f"hsorch cannot protect a machine that runs {sys.platform}",
            hint="use Linux on both servers",
            code="HS650",
        )
    from hsorch.node.system import linux

    return linux.system()
