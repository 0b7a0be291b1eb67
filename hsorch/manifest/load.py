"""load(path): text → Cluster + diagnostics. The one entry of this room; it never raises on bad input."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from hsorch.manifest import schema, source, variables
from hsorch.manifest.build import build
from hsorch.manifest.diagnostics import Diagnostic, Severity, Source, Value, ordered
from hsorch.manifest.document import Document
from hsorch.manifest.model import Cluster
from hsorch.manifest.rules import RULES
from hsorch.manifest.rules.table import Scene, run


class Loaded(Value, frozen=True, kw_only=True):
    """cluster is None exactly when a diagnostic is an error. sources: by the name that spans carry."""

    cluster: Cluster | None
    diagnostics: tuple[Diagnostic, ...]
    sources: Mapping[str, Source]

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        return tuple(d for d in self.diagnostics if d.severity is Severity.ERROR)


def load(path: Path, *, var_files: Sequence[Path] = (), environ: Mapping[str, str] = os.environ) -> Loaded:
    """Read, check and understand one manifest.

    Variables come from `vars:` in it, from var_files (later ones win) and from HSORCH_VAR_name in environ.
    """
    data, unread = source.read(path, str(path))
    if unread:
        return _loaded(None, unread, [])
    return load_bytes(data, str(path), folder=path.parent, var_files=var_files, environ=environ)


def load_bytes(
    data: bytes,
    name: str,
    *,
    folder: Path,
    var_files: Sequence[Path] = (),
    environ: Mapping[str, str] = os.environ,
) -> Loaded:
    """Like load(), from bytes. name: shown in spans. folder: where relative paths start."""
    document = source.parse(data, name)
    faults: list[Diagnostic] = []
    sources = [document.source]
    if document.root is None:
        return _loaded(None, document.faults, sources)
    known = variables.from_document(document, "vars")
    for file in var_files:
        values, problems, text = _read_variables(file)
        known.update(values)
        faults += problems
        sources.append(text)
    from_environment, shown = variables.from_environment(environ)
    known.update(from_environment)
    result = variables.substitute(document, known)
    faults += result.document.faults
    sources += shown.values()
    cluster, found = _understand(result.document, folder)
    faults += [variables.with_origins(fault, result.origins) for fault in found]
    return _loaded(cluster, faults, sources)


def _understand(document: Document, folder: Path) -> tuple[Cluster, list[Diagnostic]]:
    data = document.data
    faults, broken = schema.check(document)
    cluster = build(data, broken, folder)
    scene = Scene(cluster=cluster, document=document, data=data)
    return cluster, [*faults, *run(RULES, scene, broken)]


def _read_variables(file: Path) -> tuple[dict[str, variables.Variable], list[Diagnostic], Source]:
    name = str(file)
    data, problems = source.read(file, name)
    if problems:
        return {}, problems, Source(name=name, text="")
    document = source.parse(data, name)
    return variables.from_document(document), list(document.faults), document.source


def _loaded(cluster: Cluster | None, faults: Sequence[Diagnostic], sources: list[Source]) -> Loaded:
    """Mere information waits until there is a pair that it is about."""
    failed = any(fault.severity is Severity.ERROR for fault in faults)
    shown = [fault for fault in faults if not failed or fault.severity is not Severity.INFO]
    return Loaded(
        cluster=None if failed else cluster,
        diagnostics=ordered(shown),
        sources={source.name: source for source in sources},
    )
