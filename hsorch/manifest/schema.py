"""JSON Schema → diagnostics: where a document does not have the shape of a manifest, and what would.

Not semantics (rules/). The messages are ours: those of the jsonschema package change with its versions.
The schema itself is schemas/cluster.schema.json; its `x-kind` names the vocabulary of a text (duration, cidr, ...).
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from functools import cache
from importlib import resources
from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker, ValidationError

from hsorch.manifest.diagnostics import Diagnostic, Severity, Span
from hsorch.manifest.scalars import quoted
from hsorch.manifest.source import Document, Path_, Scalar

FORMS = {
    "duration": "a duration such as 200ms, 5s or 1h",
    "size": "a size such as 512MiB or 5GiB",
    "rate": "a rate such as `3 per 1h`",
    "cidr": "an address with prefix length, such as 10.77.0.11/24",
    "address": "an IP address, such as 10.77.0.1",
    "mac": "a MAC address, such as 02:00:5e:00:01:0a",
    "name": "a name of letters, digits, dot, dash or underscore",
    "hostname": "a host name of letters, digits and inner dashes",
    "variable": "a variable name of letters, digits and underscore",
    "hostport": 'HOST:PORT, such as "{vip}:8080"',
    "url": 'a URL, such as "http://{vip}:8080/"',
    "argv": 'a list of program and arguments, such as ["/opt/app/check", "--fast"]; no shell reads it',
    "path": "a path",
    "secret": "a reference: {file: PATH} or {env: NAME}",
    "connect": "one of {lab: {}}, {local: {}}, {ssh: {host: NAME}}",
    "witness": "none, {share: PATH}, {http: {url: URL, token: {file: PATH}}} or {isolation: {}}",
    "probe": "exactly one of tcp, http, https, command",
    "version": "1",
}
_KINDS = {
    "string": "text",
    "integer": "a whole number",
    "boolean": "true or false",
    "object": "a mapping",
    "array": "a list",
    "null": "nothing",
}


def check(document: Document) -> tuple[list[Diagnostic], frozenset[str]]:
    """All faults of form, and the top-level keys they stand under (their content can't be relied on)."""
    faults: list[Diagnostic] = []
    broken: set[str] = set()
    known = {fault.span for fault in document.faults}
    for error in _validator().iter_errors(document.data):
        for fault, path in _faults(error, document):
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
    return Draft202012Validator(schema(), format_checker=formats)


def _is_cidr(value: object) -> bool:
    if not isinstance(value, str):
        return True
    _, slash, prefix = value.partition("/")
    return bool(slash) and prefix.isdecimal() and "%" not in value and bool(ip_interface(value))


def _is_address(value: object) -> bool:
    return not isinstance(value, str) or ("%" not in value and bool(ip_address(value)))


def _faults(error: ValidationError, document: Document) -> Iterator[tuple[Diagnostic, Path_]]:
    path: Path_ = tuple(error.absolute_path)
    if "propertyNames" in error.absolute_schema_path:
        path = (*path, error.instance)
        yield _form_fault(error, document, path, document.key_span(path)), path
    elif error.validator == "additionalProperties":
        for key in [k for k in error.instance if k not in error.schema.get("properties", {})]:
            yield _unknown_key(error, document, (*path, key)), (*path, key)
    elif error.validator == "required":
        for key in [k for k in error.validator_value if k not in error.instance]:
            yield _missing_key(error, document, path, key), path or (key,)
    else:
        table = {"type": _type_fault, "enum": _choice_fault, "const": _choice_fault, "oneOf": _one_of_fault}
        make = table.get(str(error.validator), _limit_fault if error.validator in _LIMITS else _form_fault)
        yield make(error, document, path, document.value_span(path)), path


def _unknown_key(error: ValidationError, document: Document, path: Path_) -> Diagnostic:
    key, allowed = str(path[-1]), list(error.schema.get("properties", {}))
    near = difflib.get_close_matches(key, allowed, n=1, cutoff=0.6)
    if near:
        advice = f"did you mean `{near[0]}`?"
    elif allowed:
        advice = f"known here: {', '.join(allowed)}"
    else:
        advice = "nothing can be set here: write {}"
    message = f"unknown key `{key}`{_under(path[:-1])}"
    return _fault("HS202", message, document.key_span(path), advice, fix=near[0] if near else "")


def _missing_key(error: ValidationError, document: Document, path: Path_, key: str) -> Diagnostic:
    wanted = error.schema.get("properties", {}).get(key, {})
    examples = [json.dumps(example) for example in wanted.get("examples", [])[:1]]
    sample = f"for example `{key}: {examples[0]}`" if examples else wanted.get("description", "").rstrip(".")
    return _fault("HS203", f"`{key}` is missing{_under(path)}", document.value_span(path), sample or f"add {key}")


def _type_fault(error: ValidationError, document: Document, path: Path_, span: Span) -> Diagnostic:
    kind, value, node = error.schema.get("x-kind", ""), error.instance, document.node(path)
    if kind == "secret" and isinstance(value, str):
        message = f"{_name(path)} is written out: a manifest holds no secrets"
        return _fault("HS210", message, span, f"write {FORMS['secret']}, and change the secret that was shown")
    wanted = error.validator_value
    wanted = [wanted] if isinstance(wanted, str) else [w for w in wanted if w != "null"]
    words = FORMS[kind] if kind in FORMS else " or ".join(_KINDS[w] for w in wanted)
    message = f"{_name(path)} is {_what(value)}, not {' or '.join(_KINDS[w] for w in wanted)}"
    fix = ""
    if "string" in wanted and kind in _FREE_TEXT and isinstance(value, (int, float)) and isinstance(node, Scalar):
        fix = quoted(node.text)
        words = fix
    return _fault("HS201", message, span, f"write {words}", fix=fix)


def _choice_fault(error: ValidationError, document: Document, path: Path_, span: Span) -> Diagnostic:
    choices = error.validator_value if error.validator == "enum" else [error.validator_value]
    near = difflib.get_close_matches(str(error.instance), [str(c) for c in choices], n=1, cutoff=0.6)
    kind = error.schema.get("x-kind", "")
    words = FORMS.get(kind) or ", ".join(str(choice) for choice in choices)
    advice = f"did you mean `{near[0]}`?" if near else f"write {words}"
    message = f"{_name(path)} cannot be {_show(error.instance)}"
    if kind == "version":
        message = f"version {_show(error.instance)} of the manifest language is unknown here"
    return _fault("HS204", message, span, advice, fix=near[0] if near else "")


def _one_of_fault(error: ValidationError, document: Document, path: Path_, span: Span) -> Diagnostic:
    given = [key for key in ("tcp", "http", "https", "command") if key in error.instance]
    message = f"{_name(path)} says {' and '.join(given) or 'nothing'} to check"
    return _fault("HS209", message, span, f"give {FORMS[error.schema['x-kind']]}")


_FREE_TEXT = ("", "path", "name", "hostname")
"""Kinds for which a number only lacks its quotes."""

_LIMITS = {
    "minimum": "HS205",
    "maximum": "HS205",
    "minLength": "HS208",
    "maxLength": "HS208",
    "minItems": "HS208",
    "minProperties": "HS209",
    "maxProperties": "HS209",
    "uniqueItems": "HS208",
}


def _limit_fault(error: ValidationError, document: Document, path: Path_, span: Span) -> Diagnostic:
    name, limit, kind = _name(path), error.validator_value, error.schema.get("x-kind", "")
    words = {
        "minimum": (f"{name} is {error.instance}, below {limit}", f"write {limit} or more"),
        "maximum": (f"{name} is {error.instance}, above {limit}", f"write {limit} or less"),
        "minLength": (f"{name} is empty", "write a text"),
        "maxLength": (f"{name} is longer than {limit} characters", "shorten it"),
        "minItems": (f"{name} is an empty list", f"write {FORMS.get(kind, 'at least one item')}"),
        "uniqueItems": (f"{name} names something twice", "remove the second one"),
        "minProperties": (f"{name} is empty", f"write {FORMS.get(kind, 'at least one key')}"),
        "maxProperties": (f"{name} says more than one thing", f"write {FORMS.get(kind, 'one key')}"),
    }
    message, advice = words[str(error.validator)]
    return _fault(_LIMITS[str(error.validator)], message, span, advice)


def _form_fault(error: ValidationError, document: Document, path: Path_, span: Span) -> Diagnostic:
    if error.validator == "maxLength":
        return _limit_fault(error, document, path, span)
    kind = error.schema.get("x-kind", "")
    words = FORMS.get(kind, "another form")
    code = "HS207" if kind in ("cidr", "address") else "HS206"
    return _fault(code, f"{_show(error.instance)} is not {words.split(',')[0]}", span, f"write {words}")


def _name(path: Path_) -> str:
    parts = [str(part) for part in path]
    return f"`{'.'.join(parts[-2:])}`" if parts else "the manifest"


def _under(path: Path_) -> str:
    return f" in {_name(path)}" if path else ""


def _what(value: object) -> str:
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return f"{str(value).lower()} (true or false)"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    return {dict: "a mapping", list: "a list"}.get(type(value), f"the text {_show(value)}")


def _show(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return f"`{text if len(text) <= 40 else text[:37] + '...'}`"


def _fault(code: str, message: str, span: Span, advice: str, *, fix: str = "") -> Diagnostic:
    return Diagnostic(code=code, severity=Severity.ERROR, message=message, span=span, help=advice, fix=fix)
