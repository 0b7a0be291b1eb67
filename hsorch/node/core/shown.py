"""What a node shows of its links and resources, to its peer and in status. Values only."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class LinkStat(msgspec.Struct, frozen=True, kw_only=True):
    """One link as one end sees it."""

    name: str
    up: bool = False
    received: int = 0
    lost: int = 0
    """Gaps in the sender's sequence."""
    rejected: int = 0
    """Frames that failed authentication, freshness or identity."""
    rtt_us: int = 0


class ResourceStatus(StrEnum):
    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    FAILED = "failed"
