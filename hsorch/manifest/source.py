"""Text → document with positions: our own composer over libyaml's events.

Not a schema: it knows nothing of clusters. It keeps the place of every key, value and alias use, takes only
string keys and YAML 1.2 core scalars, and bounds depth, size and aliases, so that no text can exhaust it.
(`yaml.compose` loses the place of alias uses and overflows the C stack on deep input.)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import yaml

from hsorch.manifest.diagnostics import Diagnostic, Label, Source, Span, error
from hsorch.manifest.document import Document, Mapping, Node, Scalar, Sequence
from hsorch.manifest.scalars import quoted, resolve, trap

MAX_BYTES = 1 << 20
MAX_DEPTH = 64
MAX_ALIASED_NODES = 10_000

_Loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


def read(path: Path, name: str) -> tuple[bytes, list[Diagnostic]]:
    """The bytes of a file, or one diagnostic that says why there are none."""
    start = Span(name, 1, 1, 1, 1)
    try:
        if path.exists() and not path.is_file():
            return b"", [error("HS101", f"{name} is not a file", start, "name a YAML file")]
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or str(problem)
        message = f"{name} cannot be read: {reason}"
        return b"", [error("HS101", message, start, "check the name, and that you may read it")]
    return data, []


def parse(data: bytes, name: str) -> Document:
    """Compose one document; every fault is a diagnostic, nothing is raised."""
    start = Span(name, 1, 1, 1, 1)
    if len(data) > MAX_BYTES:
        fault = error("HS104", f"{name} is larger than 1 MiB", start, "a manifest is a few pages; split it")
        return Document(source=Source(name=name, text=""), root=None, faults=(fault,))
    text, fault_of_encoding = _decode(data, name)
    source = Source(name=name, text=text)
    if fault_of_encoding is not None:
        return Document(source=source, root=None, faults=(fault_of_encoding,))
    composer = _Composer(name)
    try:
        composer.consume(yaml.parse(text, Loader=_Loader))
    except yaml.MarkedYAMLError as problem:
        composer.faults.append(_syntax_fault(problem, source, start))
    except yaml.YAMLError as problem:
        composer.faults.append(error("HS103", f"not YAML: {problem}", start, "remove the character"))
    except _LimitError:
        return Document(source=source, root=None, faults=tuple(composer.faults))
    root = composer.root
    if not isinstance(root, Mapping):
        if not composer.faults:
            what = "empty" if root is None else "a list" if isinstance(root, Sequence) else "a single value"
            advice = "begin with `version: 1` and `cluster: NAME`; `hsorch init` writes an example"
            composer.faults.append(error("HS112", f"the manifest is {what}, not a mapping", start, advice))
        return Document(source=source, root=None, faults=tuple(composer.faults))
    return Document(source=source, root=root, faults=tuple(composer.faults))


class _LimitError(Exception):
    """A limit was passed: going on would only cost time."""


class _Frame(msgspec.Struct):
    """A collection that is still open."""

    is_map: bool
    event: Any
    seen: dict[str, Span] = {}
    entries: list[tuple[Scalar, Node]] = []
    items: list[Node] = []
    key: Scalar | None = None
    bad_key: bool = False


class _Composer:
    def __init__(self, name: str) -> None:
        self.name = name
        self.faults: list[Diagnostic] = []
        self.root: Node | None = None
        self._stack: list[_Frame] = []
        self._anchors: dict[str, Node] = {}
        self._aliased = 0
        self._documents = 0

    def consume(self, events: Iterator[Any]) -> None:
        handlers: dict[type, Callable[[Any], None]] = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: self._open,
            yaml.SequenceStartEvent: self._open,
            yaml.MappingEndEvent: self._close,
            yaml.SequenceEndEvent: self._close,
            yaml.AliasEvent: self._alias,
            yaml.DocumentStartEvent: self._document,
        }
        for event in events:
            handler = handlers.get(type(event))
            if handler is not None:
                handler(event)

    def _document(self, event: Any) -> None:
        self._documents += 1
        if self._documents > 1:
            self._fault("HS112", "a second document begins here", self._span(event), "one file, one manifest")
            raise _LimitError

    def _scalar(self, event: Any) -> None:
        span = self._span(event)
        self._no_tag(event, span)
        text, is_plain = event.value, event.style is None or event.implicit[0]
        is_key = bool(self._stack) and self._stack[-1].is_map and self._stack[-1].key is None
        if is_plain:
            self._no_trap(text, span)
        value = resolve(text) if is_plain and not is_key and not trap(text) else text
        style = "" if is_plain else event.style
        self._add(Scalar(span=span, value=value, text=text, style=style, anchor=event.anchor or ""))

    def _open(self, event: Any) -> None:
        span = self._span(event)
        self._no_tag(event, span)
        if len(self._stack) >= MAX_DEPTH:
            self._fault("HS105", f"nested deeper than {MAX_DEPTH} levels", span, "a manifest needs about six")
            raise _LimitError
        self._stack.append(_Frame(is_map=isinstance(event, yaml.MappingStartEvent), event=event))

    def _close(self, event: Any) -> None:
        frame = self._stack.pop()
        children = [value for _, value in frame.entries] if frame.is_map else frame.items
        flow = bool(frame.event.flow_style)
        last = children[-1].span if children and not flow else self._span(event)
        begin = self._span(frame.event)
        span = Span(self.name, begin.line, begin.column, last.end_line, last.end_column)
        size = 1 + sum(c.size for c in children)
        height = 1 + max((c.height for c in children), default=0)
        anchor = frame.event.anchor or ""
        node: Node
        if frame.is_map:
            entries = tuple(frame.entries)
            node = Mapping(span=span, size=size, height=height, anchor=anchor, entries=entries, flow=flow)
        else:
            items = tuple(frame.items)
            node = Sequence(span=span, size=size, height=height, anchor=anchor, items=items, flow=flow)
        self._add(node)

    def _alias(self, event: Any) -> None:
        span = self._span(event)
        target = self._anchors.get(event.anchor)
        if target is None:
            inside = any(frame.event.anchor == event.anchor for frame in self._stack)
            problem = "stands inside its own anchor" if inside else "names no anchor above it"
            self._fault("HS108", f"*{event.anchor} {problem}", span, "write the value out here")
            target = Scalar(span=span, value=None, text="")
        self._aliased += target.size
        if self._aliased > MAX_ALIASED_NODES:
            message = f"aliases expand to more than {MAX_ALIASED_NODES:,} values"
            self._fault("HS109", message, span, "write the values out; a manifest needs few aliases")
            raise _LimitError
        if len(self._stack) + target.height > MAX_DEPTH:
            self._fault("HS105", f"nested deeper than {MAX_DEPTH} levels", span, "write the value out here")
            raise _LimitError
        self._add(msgspec.structs.replace(target, span=span, alias=event.anchor, anchor=""))

    def _add(self, node: Node) -> None:
        if node.anchor:
            self._anchors[node.anchor] = node
        if not self._stack:
            self.root = node
            return
        frame = self._stack[-1]
        if not frame.is_map:
            frame.items.append(node)
        elif frame.key is None:
            frame.key = self._key(node, frame)
        else:
            if not frame.bad_key:
                frame.entries.append((frame.key, node))
            frame.key = None

    def _key(self, node: Node, frame: _Frame) -> Scalar:
        frame.bad_key = True
        if not isinstance(node, Scalar) or node.alias or (not node.style and node.text in ("", "~")):
            self._fault(
                "HS107", "a key must be text", node.span, "write a word, or a quoted text, as the key"
            )
            return Scalar(span=node.span, value="", text="")
        if node.text == "<<" and not node.style:
            advice = "repeat the keys here; merge keys are not part of YAML 1.2"
            self._fault("HS111", "merge key `<<`", node.span, advice)
            return node
        first = frame.seen.setdefault(node.text, node.span)
        if first is not node.span:
            label = Label(span=first, text="first defined here")
            message = f"duplicate key `{node.text}`"
            advice = "remove one of the two, or rename it"
            self.faults.append(error("HS106", message, node.span, advice, related=(label,)))
            return node
        frame.bad_key = False
        return node

    def _no_trap(self, text: str, span: Span) -> None:
        other = trap(text)
        if other:
            as_bool = f", or write {other}" if other in ("true", "false") else ""
            message = f"`{text}` is text here, but older YAML tools read it as {other}"
            fix = quoted(text)
            self.faults.append(error("HS113", message, span, f"quote it: {fix}{as_bool}", fix=fix))

    def _no_tag(self, event: Any, span: Span) -> None:
        if event.tag is not None:
            advice = "remove the tag; quote the value if text is meant"
            self._fault("HS110", f"tag `{event.tag}`: tags are not part of a manifest", span, advice)

    def _fault(self, code: str, message: str, span: Span, advice: str) -> None:
        self.faults.append(error(code, message, span, advice))

    def _span(self, event: Any) -> Span:
        start, end = event.start_mark, event.end_mark
        return Span(self.name, start.line + 1, start.column + 1, end.line + 1, end.column + 1)


def _decode(data: bytes, name: str) -> tuple[str, Diagnostic | None]:
    start = Span(name, 1, 1, 1, 1)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "", error("HS102", f"{name} is UTF-16, not UTF-8", start, "save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        before = data[: problem.start].decode("utf-8-sig", "replace")
        span = _at(before, name)
        message = f"byte 0x{data[problem.start]:02x} is not UTF-8"
        return data.decode("utf-8-sig", "replace"), error("HS102", message, span, "save the file as UTF-8")
    forbidden = _FORBIDDEN.search(text)
    if forbidden:
        span = _at(text[: forbidden.start()], name)
        message = f"control character U+{ord(forbidden[0]):04X}"
        return text, error("HS103", message, span, "remove it, or write it as an escape in double quotes")
    return text, None


def _at(before: str, name: str) -> Span:
    lines = re.split("\r\n|[\r\n\x85\u2028\u2029]", before)
    line, column = len(lines), len(lines[-1]) + 1
    return Span(name, line, column, line, column + 1)


def _syntax_fault(problem: yaml.MarkedYAMLError, source: Source, start: Span) -> Diagnostic:
    mark = problem.problem_mark or problem.context_mark
    span = start
    if mark is not None:
        span = Span(source.name, mark.line + 1, mark.column + 1, mark.line + 1, mark.column + 2)
    line = source.line(span.line)
    if "\t" in line[: span.column]:
        advice = "indent with spaces: YAML forbids tabs"
    else:
        advice = (
            "check indentation and brackets, and quote texts with `: `, ` #`, `{`, `[`, `&`, `*`, `%` or `@`"
        )
    related: tuple[Label, ...] = ()
    if problem.context_mark is not None and problem.context and problem.context_mark.line != span.line - 1:
        begin = problem.context_mark
        place = Span(source.name, begin.line + 1, begin.column + 1, begin.line + 1, begin.column + 2)
        related = (Label(span=place, text=f"{problem.context}, which begins here"),)
    message = f"not YAML: {problem.problem or problem.context or 'unreadable'}"
    return error("HS103", message, span, advice, related=related)
