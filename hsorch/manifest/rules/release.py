"""What the language knows and this release does not carry out: an error each, never silence."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from hsorch.manifest.diagnostics import Severity
from hsorch.manifest.document import Path_
from hsorch.manifest.rules.table import Finding, Rule, Scene, key, value

LATER: tuple[tuple[tuple[str, ...], str], ...] = (
    (("extends",), "leave it out; copy the base into this file"),
    (("platform",), "leave it out and name services, scripts and processes in `group`"),
    (("replication", "add"), "name the folders under `ordered` or `watched`"),
    (("replication", "verify"), "leave it out; only blocks that differ are sent"),
    (("servers", "*", "connect", "winrm"), "use ssh, lab or local"),
    (("servers", "*", "connect", "ssh", "key", "keyring"), "use {file: PATH} or {env: NAME}"),
    (("servers", "*", "connect", "ssh", "key", "command"), "use {file: PATH} or {env: NAME}"),
    (("witness", "s3"), "use share or http"),
    (("witness", "http", "token", "keyring"), "use {file: PATH} or {env: NAME}"),
    (("witness", "http", "token", "command"), "use {file: PATH} or {env: NAME}"),
    (("group", "shares"), "leave it out; share the folder by a script"),
    (("group", "volumes"), "leave it out; mount the volume by a script"),
    *(
        (("group", *vip, option), "leave it out")
        for vip in (("vip",), ("vips", "*"))
        for option in ("alias", "skip_as_source", "replace_ip")
    ),
    (("policy", "sync_time_on_switch"), "leave it out; run a time service on both servers"),
)
"""Pattern of a path (`*`: any name or index), and the way out."""

_WINDOWS_PATH = re.compile(r"[A-Za-z]:[\\/]|\\\\[^\\]")


def later_keys_are_refused(scene: Scene) -> Iterator[Finding]:
    for pattern, hint in LATER:
        for path in _matches(scene.data, pattern, ()):
            message = f"`{'.'.join(map(str, path))}` is not carried out by this release"
            yield Finding(at=key(*path), message=message, hint=hint)


def windows_paths_are_refused(scene: Scene) -> Iterator[Finding]:
    for path, text in _used_paths(scene.data):
        if is_windows_path(text):
            message = f"`{text}` is a Windows path: Windows servers are not carried out by this release"
            yield Finding(at=value(*path), message=message, hint="write a path such as /srv/app")


def is_windows_path(text: str) -> bool:
    return _WINDOWS_PATH.match(text) is not None


def data_links_need_data(scene: Scene) -> Iterator[Finding]:
    """REQ-C11."""
    if scene.cluster.replication is not None:
        return
    for link in scene.cluster.links:
        if link.data:
            message = f"`data: true` of link `{link.name}` has no effect: nothing is replicated"
            yield Finding(at=value("links", link.name, "data"), message=message, hint="it may stay")


def _matches(node: Any, pattern: tuple[str, ...], path: Path_) -> Iterator[Path_]:
    if not pattern:
        yield path
        return
    step, rest = pattern[0], pattern[1:]
    if step == "*":
        names = (
            list(node) if isinstance(node, Mapping) else range(len(node)) if isinstance(node, list) else ()
        )
        for name in names:
            yield from _matches(node[name], rest, (*path, name))
    elif isinstance(node, Mapping) and step in node:
        yield from _matches(node[step], rest, (*path, step))


_PATHS = (
    ("servers", "*", "connect", "ssh", "key", "file"),
    ("servers", "*", "connect", "ssh", "known_hosts"),
    ("replication", "ordered", "*"),
    ("replication", "watched", "*"),
    ("replication", "ordered", "*", "path"),
    ("replication", "watched", "*", "path"),
    ("witness", "share"),
    ("witness", "http", "ca"),
    ("witness", "http", "token", "file"),
    ("group", "processes", "*", "directory"),
    ("group", "processes", "*", "command", "*"),
    *(("group", "scripts", "*", slot, "*") for slot in ("start", "stop", "check")),
    *(("group", family, "*", "probe", "ca") for family in ("services", "processes")),
    ("group", "probes", "*", "ca"),
)


def _used_paths(data: Mapping[str, Any]) -> Iterator[tuple[Path_, str]]:
    for pattern in _PATHS:
        for path in _matches(data, pattern, ()):
            text: Any = data
            for part in path:
                text = text[part]
            if isinstance(text, str):
                yield path, text


RULES = (
    Rule("HS390", Severity.ERROR, (), later_keys_are_refused),
    Rule("HS391", Severity.ERROR, (), windows_paths_are_refused),
    Rule("HS392", Severity.INFO, ("links", "replication"), data_links_need_data),
)
