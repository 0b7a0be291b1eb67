"""A pair's status and events for programs: every field is there, also where it has its default."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from hsorch.cli.pairview import NodeView, PairView
from hsorch.verbs import EventRecord

FORMAT_VERSION = "1.0"


def status_json(view: PairView, *, indent: int | None = 2) -> str:
    """One object; with indent=None one line, for a stream."""
    value = {
        "format_version": FORMAT_VERSION,
        "cluster": view.cluster,
        "up": view.up,
        "protected": view.protected,
        "active": list(view.active),
        "nodes": {node.name: _node(node) for node in view.nodes},
    }
    return json.dumps(value, indent=indent, ensure_ascii=False)


def explain_json(view: PairView, events: Sequence[EventRecord]) -> str:
    """Per node: whether it is active, and every limit; then the events."""
    nodes = {
        node.name: _node(node)
        if node.report is None
        else {"active": node.name in view.active, "limits": plain(node.report.limits)}
        for node in view.nodes
    }
    value = {
        "format_version": FORMAT_VERSION,
        "cluster": view.cluster,
        "up": view.up,
        "protected": view.protected,
        "nodes": nodes,
        "events": [plain(event) for event in events],
    }
    return json.dumps(value, indent=2, ensure_ascii=False)


def event_json(event: EventRecord) -> str:
    """One line."""
    return json.dumps(plain(event), ensure_ascii=False)


def plain(value: Any) -> Any:
    """A struct as plain dicts and lists. (msgspec's own conversion leaves defaults out of wire structs.)"""
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return value


def _node(node: NodeView) -> dict[str, Any]:
    if node.error is not None:
        error = node.error
        return {"error": {"code": error.code, "message": error.message, "hint": error.hint}}
    return dict(plain(node.report))
