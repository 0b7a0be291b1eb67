"""What a change of one manifest key costs: looked up in the schema's `x-impact`, the only place that says so."""

from __future__ import annotations

from enum import IntEnum


class Impact(IntEnum):
    """Rising gravity; compare with <, take the gravest with max()."""

    LIVE = 0
    """No interruption."""
    RESTART = 1
    """Something on a node restarts; the service is not touched."""
    OUTAGE = 2
    """The group must be out."""
    OVERWRITE = 3
    """Data of a node is replaced."""


def impact_of(pointer: str) -> Impact:
    """Impact of changing the value at a manifest pointer, e.g. `/links/direct/interval`, `/group/vip/address`."""
    raise NotImplementedError
