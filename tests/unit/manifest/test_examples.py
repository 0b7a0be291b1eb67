"""Every example is a valid manifest, without a warning, in canonical form."""

from pathlib import Path

import pytest

from hsorch.manifest.diagnostics import Severity
from hsorch.manifest.format import format_text
from hsorch.manifest.load import load

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").rglob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_an_example_is_valid_and_well_kept(path: Path) -> None:
    loaded = load(path, environ={})
    assert [d for d in loaded.diagnostics if d.severity is not Severity.INFO] == []
    assert format_text(path.read_bytes(), path.name).text == path.read_text()
