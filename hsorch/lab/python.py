"""The Python of this process with all it can import, as a command for a machine of the lab."""

from __future__ import annotations

import os
import sys


def own_python(*arguments: str) -> list[str]:
    """A machine sees the same files, but not this process's search path (PYTHONPATH, an editable install)."""
    path = os.pathsep.join(filter(None, sys.path))
    return ["env", f"PYTHONPATH={path}", sys.executable, *arguments]
