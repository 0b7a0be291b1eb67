"""What a change of one manifest key costs: looked up in the schema's `x-impact`, the only place that says."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from hsorch.manifest.schema import schema


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
    """Impact of changing a manifest value, e.g. `/links/direct/interval` or `/group/vip/address`.

    JSON pointer (RFC 6901). Where the schema says nothing of a level, the level above counts.
    Raises KeyError for a pointer that no manifest can have.
    """
    node, found = schema(), Impact.OUTAGE
    for part in pointer.split("/")[1:]:
        node = _child(node, part.replace("~1", "/").replace("~0", "~"), pointer)
        if "x-impact" in node:
            found = Impact[node["x-impact"].upper()]
    return found


def _child(node: dict[str, Any], part: str, pointer: str) -> dict[str, Any]:
    properties: dict[str, Any] = node.get("properties", {})
    child = properties.get(part)
    if child is None and part.isdecimal():
        child = node.get("items")
    if child is None and isinstance(node.get("additionalProperties"), dict):
        child = node["additionalProperties"]
    if not isinstance(child, dict):
        raise KeyError(f"no manifest has {pointer}")
    return child
