"""The canonical order and style of a manifest; comments stay with what they are about.

Never changes what a manifest means: the result is read again and compared, and a text that cannot be kept is
refused. Order is that of the schema; names that the user chose stay in the user's order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hsorch.manifest.comments import Comments, gather, is_inline, is_modeline
from hsorch.manifest.diagnostics import Diagnostic, Span, Value, error
from hsorch.manifest.document import Mapping as MappingNode
from hsorch.manifest.document import Node, Path_, Scalar
from hsorch.manifest.document import Sequence as SequenceNode
from hsorch.manifest.scalars import quoted
from hsorch.manifest.schema import schema
from hsorch.manifest.source import parse


class Formatted(Value, frozen=True, kw_only=True):
    """text is None exactly when there are diagnostics: the manifest can't be read, or not be rewritten."""

    text: str | None
    diagnostics: tuple[Diagnostic, ...] = ()


def format_text(data: bytes, name: str) -> Formatted:
    """The bytes of a manifest in canonical form. Only its YAML must be right, not its content."""
    document = parse(data, name)
    if document.root is None or document.faults:
        return Formatted(text=None, diagnostics=document.faults)
    comments = gather(document.source, document.root)
    text = _Printer(comments, keep_order=_has_anchor(document.root)).document(document.root)
    again = parse(text.encode(), name)
    if again.faults or again.data != document.data:
        message = f"{name} cannot be rewritten without changing what it means"
        advice = "write unusual keys and texts in double quotes, and long flow lists as blocks"
        fault = error("HS114", message, Span(name, 1, 1, 1, 1), advice)
        return Formatted(text=None, diagnostics=(fault,))
    return Formatted(text=text)


class _Printer:
    def __init__(self, comments: Comments, *, keep_order: bool) -> None:
        """keep_order: an anchor must stay above its aliases."""
        self.comments = comments
        self.keep_order = keep_order

    def document(self, root: MappingNode) -> str:
        entries = self._ordered(root, schema())
        lines = list(self.comments.head)
        if any(not is_modeline(text) for text in lines):
            lines.append("")
        was_block = False
        for index, (key, item) in enumerate(entries):
            is_block = not is_inline(item)
            asked = index > 0 and (key.text,) in self.comments.spaced
            if (asked or (index > 0 and (is_block or was_block))) and lines and lines[-1]:
                lines.append("")
            lines += self._entry(key, item, (key.text,), 0, _child(schema(), key.text))
            was_block = is_block
        if self.comments.foot:
            lines += ["", *self.comments.foot]
        return "\n".join(lines) + "\n"

    def _entry(self, key: Scalar, item: Node, path: Path_, indent: int, rules: dict[str, Any]) -> list[str]:
        pad = " " * indent
        above = [pad + text for text in self.comments.before.get(path, ())]
        name = f"{_anchor(key)}{_scalar(key, in_flow=False)}:"
        return [*above, *self._value(f"{pad}{name}", item, path, indent, rules)]

    def _item(self, item: Node, path: Path_, indent: int, rules: dict[str, Any]) -> list[str]:
        pad = " " * indent
        above = [pad + text for text in self.comments.before.get(path, ())]
        lines = self._value(f"{pad}-", item, path, indent, rules)
        inner = lines[1].lstrip() if len(lines) > 1 else ""
        if isinstance(item, MappingNode) and lines[0] == f"{pad}-" and not inner.startswith("#"):
            lines = [f"{pad}- {inner}", *lines[2:]]
        return [*above, *lines]

    def _value(self, start: str, item: Node, path: Path_, indent: int, rules: dict[str, Any]) -> list[str]:
        beside = f"  {self.comments.beside[path]}" if path in self.comments.beside else ""
        if isinstance(item, Scalar) and not item.alias and _is_literal(item):
            text = item.text.removesuffix("\n")
            body = [f"{' ' * (indent + 2)}{line}" if line else "" for line in text.split("\n")]
            mark = "|" if item.text.endswith("\n") else "|-"
            return [f"{start} {_anchor(item)}{mark}{beside}", *body]
        if is_inline(item):
            return [f"{start} {_inline(item, in_flow=False)}".rstrip() + beside]
        head = f"{start} {_anchor(item)}".rstrip() + beside
        lines: list[str] = []
        if isinstance(item, MappingNode):
            for key, value in self._ordered(item, rules):
                here = (*path, key.text)
                if lines and here in self.comments.spaced:
                    lines.append("")
                lines += self._entry(key, value, here, indent + 2, _child(rules, key.text))
        elif isinstance(item, SequenceNode):
            for index, value in enumerate(item.items):
                if lines and (*path, index) in self.comments.spaced:
                    lines.append("")
                lines += self._item(value, (*path, index), indent + 2, rules.get("items", {}))
        return [head, *lines]

    def _ordered(self, node: MappingNode, rules: Mapping[str, Any]) -> list[tuple[Scalar, Node]]:
        """Known keys in the order of the schema, then the others as they come."""
        if self.keep_order:
            return list(node.entries)
        order = {name: index for index, name in enumerate(rules.get("properties", {}))}
        return sorted(node.entries, key=lambda entry: order.get(entry[0].text, len(order)))


def _child(rules: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = rules.get("properties", {}).get(key, rules.get("additionalProperties"))
    return found if isinstance(found, dict) else {}


def _inline(node: Node, *, in_flow: bool) -> str:
    if node.alias:
        return f"*{node.alias}"
    if isinstance(node, MappingNode):
        inner = [f"{_flow_key(key)}: {_inline(item, in_flow=True)}" for key, item in node.entries]
        return f"{_anchor(node)}{{{', '.join(inner)}}}"
    if isinstance(node, SequenceNode):
        return f"{_anchor(node)}[{', '.join(_inline(item, in_flow=True) for item in node.items)}]"
    return f"{_anchor(node)}{_scalar(node, in_flow=in_flow)}" if isinstance(node, Scalar) else ""


def _flow_key(key: Scalar) -> str:
    return _anchor(key) + _scalar(key, in_flow=True)


def _scalar(node: Scalar, *, in_flow: bool) -> str:
    if not node.style and "\n" not in node.text:
        return node.text or ("null" if in_flow else "")
    if node.style == "'" and node.text.isprintable():
        return "'" + node.text.replace("'", "''") + "'"
    return quoted(node.text)


def _is_literal(node: Scalar) -> bool:
    """Block text that `|` can carry as it is; other block text becomes a quoted one."""
    text = node.text.removesuffix("\n")
    lines = text.split("\n")
    plain = all(line.isprintable() or not line.strip("\t") for line in lines)
    return (
        node.style in ("|", ">")
        and plain
        and bool(lines[0].strip())
        and lines[0][0] != " "
        and bool(lines[-1])
    )


def _anchor(node: Node) -> str:
    return f"&{node.anchor} " if node.anchor else ""


def _has_anchor(node: Node) -> bool:
    if isinstance(node, MappingNode):
        return bool(node.anchor) or any(key.anchor or _has_anchor(item) for key, item in node.entries)
    if isinstance(node, SequenceNode):
        return bool(node.anchor) or any(_has_anchor(item) for item in node.items)
    return bool(node.anchor)
