"""`${name}` → values: from the environment (HSORCH_VAR_name), variable files, `vars:`; the first one wins.

Not a template language: a value or a part of a text is replaced once, nothing is computed. The place where a
value is defined goes with every diagnostic about the place where it is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import msgspec

from hsorch.manifest.diagnostics import Diagnostic, Label, Source, Span, error
from hsorch.manifest.document import Document, Node, Scalar
from hsorch.manifest.document import Mapping as MappingNode
from hsorch.manifest.document import Sequence as SequenceNode
from hsorch.manifest.scalars import ScalarValue, resolve

PREFIX = "HSORCH_VAR_"
_USE = re.compile(r"\$\$\{|\$\{([^}]*)\}?")


class Variable(msgspec.Struct, frozen=True, kw_only=True):
    """untyped: from the environment, where all is text; a plain use decides what it is."""

    value: ScalarValue
    text: str
    origin: Span
    untyped: bool = False


class Substituted(msgspec.Struct, frozen=True, kw_only=True):
    """origins: by the place of use."""

    document: Document
    origins: Mapping[Span, tuple[Label, ...]] = {}


def from_document(document: Document, *path: str) -> dict[str, Variable]:
    """The scalars of the mapping at path."""
    node = document.node(path)
    if not isinstance(node, MappingNode):
        return {}
    return {
        key.text: Variable(value=item.value, text=item.text, origin=item.span)
        for key, item in node.entries
        if isinstance(item, Scalar)
    }


def from_environment(environ: Mapping[str, str]) -> tuple[dict[str, Variable], dict[str, Source]]:
    """Variables, and a source each, so that a diagnostic can show the value."""
    variables: dict[str, Variable] = {}
    sources: dict[str, Source] = {}
    for name, text in sorted(environ.items()):
        if name.startswith(PREFIX):
            origin = Span(f"${name}", 1, 1, 1, len(text) + 1)
            variables[name.removeprefix(PREFIX)] = Variable(
                value=text, text=text, origin=origin, untyped=True
            )
            sources[origin.file] = Source(name=origin.file, text=text)
    return variables, sources


def substitute(document: Document, variables: Mapping[str, Variable]) -> Substituted:
    """Replace every use outside `vars:`. Keys are left alone."""
    if document.root is None or "${" not in document.source.text:
        return Substituted(document=document)
    worker = _Worker(variables)
    entries = tuple(
        (key, item if key.text == "vars" else worker.node(item)) for key, item in document.root.entries
    )
    root = msgspec.structs.replace(document.root, entries=entries)
    faults = (*document.faults, *worker.faults)
    changed = msgspec.structs.replace(document, root=root, faults=faults)
    return Substituted(document=changed, origins=worker.origins)


def with_origins(diagnostic: Diagnostic, origins: Mapping[Span, tuple[Label, ...]]) -> Diagnostic:
    labels = origins.get(diagnostic.span, ())
    if not labels:
        return diagnostic
    return msgspec.structs.replace(diagnostic, related=(*diagnostic.related, *labels), fix="")


class _Worker:
    def __init__(self, variables: Mapping[str, Variable]) -> None:
        self.variables = variables
        self.faults: list[Diagnostic] = []
        self.origins: dict[Span, tuple[Label, ...]] = {}

    def node(self, node: Node) -> Node:
        if isinstance(node, MappingNode):
            entries = tuple((key, self.node(item)) for key, item in node.entries)
            return msgspec.structs.replace(node, entries=entries)
        if isinstance(node, SequenceNode):
            return msgspec.structs.replace(node, items=tuple(self.node(item) for item in node.items))
        return self._scalar(node) if isinstance(node, Scalar) and "${" in node.text else node

    def _scalar(self, node: Scalar) -> Scalar:
        whole = _USE.fullmatch(node.text)
        if whole and whole[1] in self.variables and node.text.endswith("}"):
            found = self.variables[whole[1]]
            self._remember(node.span, [whole[1]])
            value = resolve(found.text) if found.untyped and not node.style else found.value
            return msgspec.structs.replace(node, value=value, text=found.text)
        used: list[str] = []
        text = _USE.sub(lambda match: self._part(match, node.span, used), node.text)
        self._remember(node.span, used)
        return msgspec.structs.replace(node, value=text, text=text)

    def _part(self, match: re.Match[str], span: Span, used: list[str]) -> str:
        name = match[1]
        if name is None:
            return "${"
        if not match[0].endswith("}"):
            self._fault("HS121", f"`{match[0]}` is not closed", span, "close it with }, or write $${ for ${")
        elif name not in self.variables:
            hint = f"define it in `vars:`, a variable file or {PREFIX}{name}; write $${{ if ${{ is meant"
            self._fault("HS120", f"variable `{name}` has no value", span, hint)
        else:
            used.append(name)
            return self.variables[name].text
        return match[0]

    def _remember(self, span: Span, names: Iterable[str]) -> None:
        labels = [Label(span=self.variables[n].origin, text=f"`{n}` is defined here") for n in names]
        if labels:
            self.origins[span] = tuple(labels)

    def _fault(self, code: str, message: str, span: Span, advice: str) -> None:
        self.faults.append(error(code, message, span, advice))
