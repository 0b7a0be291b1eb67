"""Comments of a manifest: where they stand, and which entry each belongs to.

Not the parser's business (it drops them), only the formatter's. An entry is a key or a list item with a line
of its own in block style.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from hsorch.manifest.diagnostics import Source
from hsorch.manifest.document import Mapping as MappingNode
from hsorch.manifest.document import Node, Path_, Scalar
from hsorch.manifest.document import Sequence as SequenceNode

_MODELINE = re.compile(r"#\s*(yaml-language-server:|\$schema:)")


class Comments(msgspec.Struct, frozen=True, kw_only=True):
    """By path of the entry. spaced: entries with a blank line above them. head: speaks of the whole file."""

    head: tuple[str, ...]
    before: Mapping[Path_, tuple[str, ...]]
    beside: Mapping[Path_, str]
    foot: tuple[str, ...]
    spaced: frozenset[Path_]


def is_inline(node: Node) -> bool:
    """Whether the formatter writes this value on the line of its key."""
    if isinstance(node, Scalar) or node.alias:
        return True
    empty = not (node.entries if isinstance(node, MappingNode) else getattr(node, "items", ()))
    one_line = node.span.line == node.span.end_line
    return empty or (one_line and (isinstance(node, (MappingNode, SequenceNode)) and node.flow))


def gather(source: Source, root: MappingNode) -> Comments:
    """Attach every comment to the entry it stands beside, or else to the next entry below it."""
    entries = [(line, path) for line, path in _entries(root, ())]
    lines = source.text.splitlines()
    covered = _covered(root)
    before: dict[Path_, list[str]] = {}
    beside: dict[Path_, str] = {}
    head: list[str] = []
    foot: list[str] = []
    for number, line in enumerate(lines, 1):
        start = _comment_start(line, covered.get(number, ()))
        if start is None:
            continue
        text = line[start:].rstrip()
        here = [path for at, path in entries if at == number]
        below = next((path for at, path in entries if at > number), None)
        if here and line[:start].strip() and here[-1] not in beside:
            beside[here[-1]] = text
        elif below is None:
            foot.append(text)
        elif below == entries[0][1] and _is_head(lines, number, entries[0][0], text):
            head.append(text)
        else:
            before.setdefault(below, []).append(text)
    return Comments(
        head=tuple(head),
        before={path: tuple(texts) for path, texts in before.items()},
        beside=beside,
        foot=tuple(foot),
        spaced=frozenset(path for at, path in entries if _is_spaced(lines, at)),
    )


def _is_head(lines: Sequence[str], number: int, first: int, text: str) -> bool:
    """A blank line parts it from the first entry, or it speaks to an editor."""
    apart = any(not line.strip() for line in lines[number : first - 1])
    return apart or is_modeline(text)


def is_modeline(text: str) -> bool:
    """`# yaml-language-server: ...` belongs in the first line, whatever comes below."""
    return bool(_MODELINE.match(text))


def _entries(node: Node, path: Path_) -> Iterator[tuple[int, Path_]]:
    """Line and path of every entry, in the order of the text."""
    if isinstance(node, MappingNode):
        for key, item in node.entries:
            yield key.span.line, (*path, key.text)
            if not is_inline(item):
                yield from _entries(item, (*path, key.text))
    elif isinstance(node, SequenceNode):
        for index, item in enumerate(node.items):
            yield item.span.line, (*path, index)
            if not is_inline(item):
                yield from _entries(item, (*path, index))


def _covered(node: Node) -> dict[int, list[tuple[int, int]]]:
    """By line: the columns (0-based, end exclusive) that belong to scalars."""
    found: dict[int, list[tuple[int, int]]] = {}
    for scalar in _scalars(node):
        span = scalar.span
        if scalar.style in ("|", ">"):
            found.setdefault(span.line, []).append((span.column - 1, span.column))
            for line in range(span.line + 1, span.end_line + (span.end_column > 1)):
                found.setdefault(line, []).append((0, 1 << 30))
            continue
        for line in range(span.line, span.end_line + 1):
            start = span.column - 1 if line == span.line else 0
            end = span.end_column - 1 if line == span.end_line else 1 << 30
            found.setdefault(line, []).append((start, end))
    return found


def _scalars(node: Node) -> Iterator[Scalar]:
    if node.alias:
        return
    if isinstance(node, Scalar):
        yield node
    elif isinstance(node, MappingNode):
        for key, item in node.entries:
            yield key
            yield from _scalars(item)
    elif isinstance(node, SequenceNode):
        for item in node.items:
            yield from _scalars(item)


def _comment_start(line: str, covered: Sequence[tuple[int, int]]) -> int | None:
    for column, char in enumerate(line):
        if char != "#" or (column and line[column - 1] not in " \t"):
            continue
        if not any(start <= column < end for start, end in covered):
            return column
    return None


def _is_spaced(lines: Sequence[str], number: int) -> bool:
    """A blank line above the entry, or above the comments that stand right above it."""
    above = number - 2
    while above >= 0 and lines[above].lstrip().startswith("#"):
        above -= 1
    return above >= 0 and not lines[above].strip()
