"""A document with positions: what composing a text gives, and where each key and value stands.

Not the composer (source.py): values only, and the way to them.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import msgspec

from hsorch.manifest.diagnostics import Diagnostic, Source, Span
from hsorch.manifest.scalars import ScalarValue

Path_ = tuple[str | int, ...]
"""Keys and list indices from the root."""


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """size and height count all nodes below, aliases expanded. anchor, alias: names as written."""

    span: Span
    size: int = 1
    height: int = 0
    anchor: str = ""
    alias: str = ""


class Scalar(Node, frozen=True, kw_only=True, tag=True):
    value: ScalarValue
    text: str
    style: str = ""
    """Empty: plain; else the quote or block indicator."""


class Mapping(Node, frozen=True, kw_only=True, tag=True, dict=True):
    entries: tuple[tuple[Scalar, Node], ...]
    flow: bool = False

    @cached_property
    def by_key(self) -> dict[str, tuple[Scalar, Node]]:
        """The first entry of each key; a faulty manifest may ask for thousands."""
        return {key.text: (key, value) for key, value in reversed(self.entries)}


class Sequence(Node, frozen=True, kw_only=True, tag=True):
    items: tuple[Node, ...]
    flow: bool = False


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """root is None when nothing usable was found; data is the root as plain values."""

    source: Source
    root: Mapping | None
    faults: tuple[Diagnostic, ...] = ()

    @property
    def data(self) -> Any:
        return plain(self.root) if self.root is not None else None

    def key_span(self, path: Path_) -> Span:
        """Place of the key at path; of the value where it is a list item."""
        parent = self._walk(path[:-1])
        if isinstance(parent, Mapping) and path and isinstance(path[-1], str) and path[-1] in parent.by_key:
            return parent.by_key[path[-1]][0].span
        return self.value_span(path)

    def value_span(self, path: Path_) -> Span:
        """Place of the value at path; of the nearest thing above where it is not written.

        A value that spans lines (a block) is shown by its key, the whole manifest by its first key: a caret
        under 20 lines helps nobody.
        """
        node = self._walk(path)
        if not path:
            entries = self.root.entries if self.root is not None else ()
            return entries[0][0].span if entries else Span(self.source.name, 1, 1, 1, 1)
        if node is None:
            return self.key_span(path[:-1])
        if isinstance(path[-1], str) and (_is_block(node) or _is_empty(node.span)):
            return self.key_span(path)
        return node.span

    def node(self, path: Path_) -> Node | None:
        return self._walk(path)

    def _walk(self, path: Path_) -> Node | None:
        node: Node | None = self.root
        for part in path:
            if isinstance(node, Mapping):
                node = node.by_key[part][1] if isinstance(part, str) and part in node.by_key else None
            elif isinstance(node, Sequence) and isinstance(part, int) and part < len(node.items):
                node = node.items[part]
            else:
                return None
        return node


def plain(node: Node) -> Any:
    """dict, list and scalars. Depth is bounded by MAX_DEPTH."""
    if isinstance(node, Mapping):
        return {key.text: plain(value) for key, value in node.entries}
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return node.value if isinstance(node, Scalar) else None


def _is_block(node: Node) -> bool:
    return node.span.end_line > node.span.line


def _is_empty(span: Span) -> bool:
    return (span.line, span.column) == (span.end_line, span.end_column)
