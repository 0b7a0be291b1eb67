"""JSON Schema → faults of form: where a document does not have the shape of a manifest.

Not semantics (rules/) and no wording (schema_messages.py). The schema itself is schemas/cluster.schema.json.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from importlib import resources
from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker, ValidationError, validators

from hsorch.manifest.diagnostics import Diagnostic
from hsorch.manifest.document import Document
from hsorch.manifest.schema_messages import Finding, explain


def check(document: Document) -> tuple[list[Diagnostic], frozenset[str]]:
    """All faults of form, and the top-level keys they stand under (their content can't be relied on)."""
    faults: list[Diagnostic] = []
    broken: set[str] = set()
    known = {fault.span for fault in document.faults}
    for error in _validator().iter_errors(document.data):
        for fault, path in explain(_finding(error), document):
            broken.add(str(path[0]) if path else "")
            if fault.span not in known:
                faults.append(fault)
    return faults, frozenset(broken)


@cache
def schema() -> dict[str, Any]:
    """The canonical schema with every `$ref` replaced by what it names (there are no cycles)."""
    raw = json.loads(_schema_text())
    definitions = raw.pop("$defs")

    def inline(node: Any) -> Any:
        if isinstance(node, list):
            return [inline(item) for item in node]
        if not isinstance(node, dict):
            return node
        target = node.get("$ref")
        if isinstance(target, str):
            named = definitions[target.removeprefix("#/$defs/")]
            return inline({**named, **{key: value for key, value in node.items() if key != "$ref"}})
        return {key: inline(value) for key, value in node.items()}

    resolved: dict[str, Any] = inline(raw)
    return resolved


def _schema_text() -> str:
    """From an installed wheel (hsorch/schemas), else from the source tree (schemas)."""
    packaged = resources.files("hsorch").joinpath("schemas", "cluster.schema.json")
    if packaged.is_file():
        return packaged.read_text(encoding="utf-8")
    tree = Path(__file__).parents[2] / "schemas" / "cluster.schema.json"
    return tree.read_text(encoding="utf-8")


@cache
def _validator() -> Draft202012Validator:
    formats = FormatChecker(formats=())
    formats.checks("cidr", raises=ValueError)(_is_cidr)
    formats.checks("address", raises=ValueError)(_is_address)
    validator: Draft202012Validator = _Validator(schema(), format_checker=formats)
    return validator


def _matches(_: Any, pattern: str, value: object, __: Any) -> Iterator[ValidationError]:
    """A `$` at the end means the very end (ECMA 262), not also the place before a last line break."""
    python = f"{pattern[:-1]}\\Z" if pattern.endswith("$") else pattern
    if isinstance(value, str) and not re.search(python, value):
        yield ValidationError("pattern")


_Validator = validators.extend(Draft202012Validator, {"pattern": _matches})  # type: ignore[no-untyped-call]


def _is_cidr(value: object) -> bool:
    if not isinstance(value, str):
        return True
    _, slash, prefix = value.partition("/")
    return bool(slash) and prefix.isdecimal() and "%" not in value and bool(ip_interface(value))


def _is_address(value: object) -> bool:
    return not isinstance(value, str) or ("%" not in value and bool(ip_address(value)))


def _finding(error: ValidationError) -> Finding:
    subschema = error.schema if isinstance(error.schema, dict) else {}
    return Finding(
        path=tuple(error.absolute_path),
        keyword=str(error.validator),
        limit=error.validator_value,
        schema=subschema,
        value=error.instance,
        is_key="propertyNames" in error.absolute_schema_path,
    )
