"""Rules on what is dialled: URLs and `HOST:PORT` of probes and of the witness."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from hsorch.manifest.diagnostics import Severity
from hsorch.manifest.document import Path_
from hsorch.manifest.rules.table import Finding, Rule, Scene, value

_PLACEHOLDER = re.compile(r"\{[^{}]*\}")


def placeholders_are_known(scene: Scene) -> Iterator[Finding]:
    """`{vip}` is the only one; a misspelt one would be asked for literally."""
    for path, target in _probed(scene):
        for word in _PLACEHOLDER.findall(target):
            if word != "{vip}":
                message = f"`{word}` is not a placeholder"
                yield Finding(at=value(*path), message=message, hint="only `{vip}` is filled in")


def targets_can_be_dialled(scene: Scene) -> Iterator[Finding]:
    """A probe that can reach nothing would fail every start; a witness that can't be reached never votes."""
    for path, target in _probed(scene):
        yield from _undialable(path, target)


def witness_can_be_dialled(scene: Scene) -> Iterator[Finding]:
    witness = scene.data.get("witness")
    if isinstance(witness, dict) and "http" in witness:
        yield from _undialable(("witness", "http", "url"), witness["http"]["url"])


def _undialable(path: Path_, target: str) -> Iterator[Finding]:
    url = _PLACEHOLDER.sub("vip", target)
    try:
        parts = urlsplit(url if "://" in url else f"tcp://{url}")
        reason = "" if parts.hostname and parts.port != 0 else "it needs a host, and a port above 0"
    except ValueError as error:
        reason = str(error)
    if reason:
        message = f"`{target}` cannot be dialled: {reason}"
        yield Finding(at=value(*path), message=message, hint="write a host and a port from 1 to 65535")


def _probed(scene: Scene) -> Iterator[tuple[Path_, str]]:
    """Place and text of every probe's target."""
    group = scene.data.get("group", {})
    probes: list[tuple[Path_, dict[str, str]]] = [
        (("group", "probes", name), probe) for name, probe in group.get("probes", {}).items()
    ]
    for family in ("services", "processes"):
        for name, raw in group.get(family, {}).items():
            if raw and "probe" in raw:
                probes.append((("group", family, name, "probe"), raw["probe"]))
    for path, probe in probes:
        for how in ("tcp", "http", "https"):
            if how in probe:
                yield (*path, how), probe[how]


RULES = (
    Rule("HS345", Severity.ERROR, ("group",), placeholders_are_known),
    Rule("HS346", Severity.ERROR, ("group",), targets_can_be_dialled),
    Rule("HS362", Severity.ERROR, ("witness",), witness_can_be_dialled),
)
