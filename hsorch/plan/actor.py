"""Who gives an order: what locks, journals and audit logs say of the person at the controller."""

from __future__ import annotations

import getpass
import os
import socket


def login_name() -> str:
    """The user's name; `uid N` for one that the system has no name for (a container's, say)."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def actor() -> str:
    """user@host."""
    return f"{login_name()}@{socket.gethostname()}"
