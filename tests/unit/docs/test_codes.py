"""Every code that hsorch can print has a page, and every page is of a code that hsorch can print."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsorch.cli.pages import codes, page

SOURCE = Path(__file__).parents[3] / "hsorch"
CODE = re.compile(r"HS\d{3}")


def raised() -> dict[str, Path]:
    """Codes that are string constants of the source (docstrings do not count), with a file of each."""
    found: dict[str, Path] = {}
    for file in sorted(SOURCE.rglob("*.py")):
        for text in strings(ast.parse(file.read_text(encoding="utf-8"))):
            if CODE.fullmatch(text):
                found.setdefault(text, file.relative_to(SOURCE.parent))
            elif report := re.match(r"error\[(HS\d{3})\]", text):
                found.setdefault(report[1], file.relative_to(SOURCE.parent))
    return found


def strings(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_every_code_has_a_page() -> None:
    missing = {code: str(file) for code, file in raised().items() if code not in codes()}
    assert missing == {}


def test_every_page_is_of_a_code_in_the_source() -> None:
    assert sorted(set(codes()) - set(raised())) == []


@pytest.mark.parametrize("code", codes())
def test_a_page_has_its_title_and_three_sections(code: str) -> None:
    found = page(code)
    assert found.code == code
    assert len(found.title) < 100
    assert not found.title.endswith(".")
