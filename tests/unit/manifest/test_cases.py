"""What each faulty manifest is told: one YAML file per story, the concise findings beside it in a .txt file.

To accept new wording, run with HSORCH_ACCEPT=1 and read the difference before you commit it.
"""

import os
from pathlib import Path

import pytest

from hsorch.manifest.load import load_bytes
from hsorch.manifest.rules import RULES

CASES = sorted((Path(__file__).parent / "cases").glob("*.yaml"))


def told(path: Path) -> str:
    loaded = load_bytes(path.read_bytes(), path.name, folder=Path("/site"), environ={})
    lines = []
    for found in loaded.diagnostics:
        span = found.span
        lines.append(
            f"{span.line}:{span.column}-{span.end_line}:{span.end_column} {found.severity} {found.code}"
        )
        lines.append(f"  {found.message}")
        lines += [f"  {label.span.line}:{label.span.column} {label.text}" for label in found.related]
        lines.append(f"  help: {found.help}")
        lines += [f"  fix: {found.fix}"] * bool(found.fix)
    verdict = "invalid" if loaded.cluster is None else "valid"
    return "\n".join([*lines, verdict]) + "\n"


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_manifest_is_told_what_is_wrong(path: Path) -> None:
    golden = path.with_suffix(".txt")
    if os.environ.get("HSORCH_ACCEPT"):
        golden.write_text(told(path))
    assert told(path) == golden.read_text()


@pytest.mark.parametrize("path", [p for p in CASES if p.stem.startswith("HS")], ids=lambda path: path.stem)
def test_a_case_shows_the_code_it_is_named_for(path: Path) -> None:
    code = path.stem.partition("-")[0]
    accepted = path.stem == "HS355-no-witness-accepted"
    assert (f" {code}\n" in path.with_suffix(".txt").read_text()) is not accepted


def test_every_rule_has_a_case() -> None:
    shown = "".join(path.with_suffix(".txt").read_text() for path in CASES)
    assert [rule.code for rule in RULES if f" {rule.code}\n" not in shown] == []


def test_codes_are_unique() -> None:
    codes = [rule.code for rule in RULES]
    assert len(codes) == len(set(codes))
