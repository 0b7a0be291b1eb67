"""What all renderers of a validation get: the manifests and what was found in them. Formats nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hsorch.manifest.diagnostics import Diagnostic, Severity, Source
from hsorch.manifest.load import Loaded

GRAVITY = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}


@dataclass(frozen=True)
class Checked:
    """One manifest as the user named it, and what load() said."""

    path: str
    loaded: Loaded

    def count(self, severity: Severity) -> int:
        return sum(d.severity is severity for d in self.loaded.diagnostics)


@dataclass(frozen=True)
class Report:
    manifests: tuple[Checked, ...]

    def __iter__(self) -> Iterator[tuple[Checked, Diagnostic]]:
        """Every finding with its manifest, in the order of the files, then of the places."""
        for manifest in self.manifests:
            for diagnostic in manifest.loaded.diagnostics:
                yield manifest, diagnostic

    def count(self, severity: Severity) -> int:
        return sum(manifest.count(severity) for manifest in self.manifests)


def source_line(manifest: Checked, file: str, line: int) -> str:
    """A line of a file that the manifest read; empty when the file could not be read."""
    source: Source | None = manifest.loaded.sources.get(file)
    return source.line(line) if source else ""
