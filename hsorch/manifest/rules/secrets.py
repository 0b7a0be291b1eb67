"""Rules on secrets: a manifest is read by many and kept for ever. Form of references: the schema (HS210)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hsorch.manifest.diagnostics import Severity
from hsorch.manifest.rules.table import Finding, Rule, Scene, value

_URL_WITH_PASSWORD = re.compile(r"[a-z]+://[^/\s:@]*:[^/\s@]+@")
_SECRET_NAME = re.compile(r"(?i:PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|API_?KEY)$")


def urls_hold_no_password(scene: Scene) -> Iterator[Finding]:
    for path, text in _texts(scene.data, ()):
        if _URL_WITH_PASSWORD.match(text):
            message = f"`{path[-1]}` holds a password"
            hint = "take it out of the URL, and change the password that was shown"
            yield Finding(at=value(*path), message=message, hint=hint)


def environments_hold_no_secret(scene: Scene) -> Iterator[Finding]:
    for process, raw in scene.data.get("group", {}).get("processes", {}).items():
        for name, text in raw.get("environment", {}).items():
            if text and _SECRET_NAME.search(name):
                place = value("group", "processes", process, "environment", name)
                hint = f"let the program read it from a file: {name}_FILE=/path, and change what was shown"
                yield Finding(at=place, message=f"environment variable `{name}` is a secret", hint=hint)


def _texts(node: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(node, str):
        yield path, node
    elif isinstance(node, dict):
        for name, item in node.items():
            yield from _texts(item, (*path, name))
    elif isinstance(node, list):
        for index, item in enumerate(node):
            yield from _texts(item, (*path, index))


RULES = (
    Rule("HS370", Severity.ERROR, (), urls_hold_no_password),
    Rule("HS371", Severity.ERROR, ("group",), environments_hold_no_secret),
)
