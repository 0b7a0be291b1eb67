"""What a semantic rule is, and how all of them are run.

Not a rule: the families stand beside this file, one each; rules/__init__.py lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from hsorch.manifest.diagnostics import Diagnostic, Label, Severity, Span, printable
from hsorch.manifest.document import Document, Path_
from hsorch.manifest.model import Cluster


class Place(msgspec.Struct, frozen=True):
    """A value of the manifest, or its key."""

    path: Path_
    on_key: bool = False


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule found. related: further places with a word on why they matter."""

    at: Place
    message: str
    hint: str
    related: tuple[tuple[Place, str], ...] = ()
    fix: str = ""


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """What rules look at: the meaning, and the document as it is written."""

    cluster: Cluster
    document: Document
    data: Mapping[str, Any]

    def span(self, place: Place) -> Span:
        return (self.document.key_span if place.on_key else self.document.value_span)(place.path)


class Rule(msgspec.Struct, frozen=True):
    """reads: top-level keys; where the form of one is broken the rule is not run."""

    code: str
    severity: Severity
    reads: tuple[str, ...]
    find: Callable[[Scene], Iterator[Finding]]


def value(*path: str | int) -> Place:
    return Place(path)


def key(*path: str | int) -> Place:
    return Place(path, on_key=True)


def run(rules: Iterable[Rule], scene: Scene, broken: frozenset[str]) -> Iterator[Diagnostic]:
    """All that the rules find, in the order of the table."""
    for rule in rules:
        if broken.isdisjoint(rule.reads):
            for finding in rule.find(scene):
                yield _diagnostic(rule, finding, scene)


def _diagnostic(rule: Rule, finding: Finding, scene: Scene) -> Diagnostic:
    return Diagnostic(
        code=rule.code,
        severity=rule.severity,
        message=printable(finding.message),
        span=scene.span(finding.at),
        help=printable(finding.hint),
        related=tuple(Label(span=scene.span(place), text=text) for place, text in finding.related),
        fix=finding.fix,
    )
