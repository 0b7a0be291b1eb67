"""load(path): text → Cluster + diagnostics. The one entry of this room; it never raises on bad input."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hsorch.manifest.diagnostics import Diagnostic, Severity, Source, Value
from hsorch.manifest.model import Cluster


class Loaded(Value, frozen=True, kw_only=True):
    """cluster is None exactly when a diagnostic is an error. sources: by the name that spans carry."""

    cluster: Cluster | None
    diagnostics: tuple[Diagnostic, ...]
    sources: Mapping[str, Source]

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        return tuple(d for d in self.diagnostics if d.severity is Severity.ERROR)


def load(path: Path, *, variables: Mapping[str, str] | None = None) -> Loaded:
    """Read, check and understand one manifest. variables: values for `${name}`; they win over `vars:`."""
    raise NotImplementedError
