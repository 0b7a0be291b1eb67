"""What a fault of form is called: our own words for each keyword of the schema.

Those of the jsonschema package change with its versions, and know neither places nor ways out. The schema's
`x-kind` names the vocabulary of a text (duration, cidr, ...).
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from hsorch.manifest.diagnostics import Diagnostic, Span, error
from hsorch.manifest.document import Document, Path_, Scalar
from hsorch.manifest.scalars import quoted


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A keyword of the schema that a value does not satisfy. is_key: it is a key of the mapping at path."""

    path: Path_
    keyword: str
    limit: Any
    schema: dict[str, Any]
    value: Any
    is_key: bool


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
    "argument": "a text without NUL",
    "path": "a path",
    "binding": "a folder such as /srv/app, or {path: /srv/app, preset: sqlite}",
    "secret": "a reference: {file: PATH} or {env: NAME}",
    "connect": "one of {lab: {}}, {local: {}}, {ssh: {host: NAME}}",
    "witness": "none, {share: PATH}, {http: {url: URL, token: {file: PATH}}} or {isolation: {}}",
    "probe": "exactly one of tcp, http, https, command",
    "version": "1",
}
_NOUN_ENDS = re.compile(r",| such as| of ")
_KINDS = {
    "string": "text",
    "integer": "a whole number",
    "boolean": "true or false",
    "object": "a mapping",
    "array": "a list",
    "null": "nothing",
}


def explain(found: Finding, document: Document) -> Iterator[tuple[Diagnostic, Path_]]:
    """The diagnostics of a finding, each with the path it is about."""
    path = found.path
    if found.is_key:
        path = (*path, found.value)
        yield _form_fault(found, document, path, document.key_span(path)), path
    elif found.keyword == "additionalProperties":
        for key in [k for k in found.value if k not in found.schema.get("properties", {})]:
            yield _unknown_key(found, document, (*path, key)), (*path, key)
    elif found.keyword == "required":
        for key in [k for k in found.limit if k not in found.value]:
            yield _missing_key(found, document, path, key), path or (key,)
    else:
        table = {"type": _type_fault, "enum": _choice_fault, "const": _choice_fault, "oneOf": _one_of_fault}
        make = table.get(found.keyword, _limit_fault if found.keyword in _LIMITS else _form_fault)
        yield make(found, document, path, document.value_span(path)), path


def _unknown_key(found: Finding, document: Document, path: Path_) -> Diagnostic:
    key, allowed = str(path[-1]), list(found.schema.get("properties", {}))
    near = difflib.get_close_matches(key, allowed, n=1, cutoff=0.6)
    if near:
        advice = f"did you mean `{near[0]}`?"
    elif allowed:
        advice = f"known here: {', '.join(allowed)}"
    else:
        advice = "nothing can be set here: write {}"
    message = f"unknown key `{key}`{_under(path[:-1])}"
    return error("HS202", message, document.key_span(path), advice, fix=near[0] if near else "")


def _missing_key(found: Finding, document: Document, path: Path_, key: str) -> Diagnostic:
    wanted = found.schema.get("properties", {}).get(key, {})
    examples = [json.dumps(example) for example in wanted.get("examples", [])[:1]]
    sample = f"for example `{key}: {examples[0]}`" if examples else wanted.get("description", "").rstrip(".")
    return error(
        "HS203", f"`{key}` is missing{_under(path)}", document.value_span(path), sample or f"add {key}"
    )


def _type_fault(found: Finding, document: Document, path: Path_, span: Span) -> Diagnostic:
    kind, value, node = found.schema.get("x-kind", ""), found.value, document.node(path)
    if kind == "secret" and isinstance(value, str):
        message = f"{_name(path)} is written out: a manifest holds no secrets"
        return error("HS210", message, span, f"write {FORMS['secret']}, and change the secret that was shown")
    wanted = found.limit
    wanted = [wanted] if isinstance(wanted, str) else [w for w in wanted if w != "null"]
    words = FORMS[kind] if kind in FORMS else " or ".join(_KINDS[w] for w in wanted)
    message = f"{_name(path)} is {_what(value)}, not {' or '.join(_KINDS[w] for w in wanted)}"
    fix = ""
    if (
        "string" in wanted
        and kind in _FREE_TEXT
        and isinstance(value, (int, float))
        and isinstance(node, Scalar)
    ):
        fix = quoted(node.text)
        words = fix
    return error("HS201", message, span, f"write {words}", fix=fix)


def _choice_fault(found: Finding, document: Document, path: Path_, span: Span) -> Diagnostic:
    choices = found.limit if found.keyword == "enum" else [found.limit]
    near = difflib.get_close_matches(str(found.value), [str(c) for c in choices], n=1, cutoff=0.6)
    kind = found.schema.get("x-kind", "")
    words = FORMS.get(kind) or ", ".join(str(choice) for choice in choices)
    advice = f"did you mean `{near[0]}`?" if near else f"write {words}"
    message = f"{_name(path)} cannot be {_show(found.value)}"
    if kind == "version":
        message = f"version {_show(found.value)} of the manifest language is unknown here"
    return error("HS204", message, span, advice, fix=near[0] if near else "")


def _one_of_fault(found: Finding, document: Document, path: Path_, span: Span) -> Diagnostic:
    given = [key for key in ("tcp", "http", "https", "command") if key in found.value]
    message = f"{_name(path)} says {' and '.join(given) or 'nothing'} to check"
    return error("HS209", message, span, f"give {FORMS[found.schema['x-kind']]}")


_FREE_TEXT = ("", "argument", "path", "name", "hostname")
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


def _limit_fault(found: Finding, document: Document, path: Path_, span: Span) -> Diagnostic:
    name, limit, kind = _name(path), found.limit, found.schema.get("x-kind", "")
    words = {
        "minimum": (f"{name} is {found.value}, below {limit}", f"write {limit} or more"),
        "maximum": (f"{name} is {found.value}, above {limit}", f"write {limit} or less"),
        "minLength": (f"{name} is empty", "write a text"),
        "maxLength": (f"{name} is longer than {limit} characters", "shorten it"),
        "minItems": (f"{name} is an empty list", f"write {FORMS.get(kind, 'at least one item')}"),
        "uniqueItems": (f"{name} names something twice", "remove the second one"),
        "minProperties": (f"{name} is empty", f"write {FORMS.get(kind, 'at least one key')}"),
        "maxProperties": (f"{name} says more than one thing", f"write {FORMS.get(kind, 'one key')}"),
    }
    message, advice = words[found.keyword]
    return error(_LIMITS[found.keyword], message, span, advice)


def _form_fault(found: Finding, document: Document, path: Path_, span: Span) -> Diagnostic:
    if found.keyword == "maxLength":
        return _limit_fault(found, document, path, span)
    kind = found.schema.get("x-kind", "")
    words = FORMS.get(kind, "another form")
    code = "HS207" if kind in ("cidr", "address") else "HS206"
    noun = _NOUN_ENDS.split(words)[0]
    return error(code, f"{_show(found.value)} is not {noun}", span, f"write {words}")


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
    if isinstance(value, str):
        return f"the text {_show(value)}"
    return "a mapping" if isinstance(value, dict) else "a list"


def _show(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return f"`{text if len(text) <= 40 else text[:37] + '...'}`"
