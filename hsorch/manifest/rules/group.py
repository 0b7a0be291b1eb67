"""Rules on the group: its addresses, its names, and the graph of what depends on what (REQ-D03, REQ-F04)."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

from hsorch.manifest.diagnostics import Severity
from hsorch.manifest.model import Process, Resource, Script, Vip
from hsorch.manifest.rules.table import Finding, Place, Rule, Scene, key, value


def one_way_to_name_addresses(scene: Scene) -> Iterator[Finding]:
    """REQ-B01: clients know the pair by its virtual address."""
    group = scene.data.get("group", {})
    if "vip" in group and "vips" in group:
        message = "both `vip` and `vips` are given"
        related = ((key("group", "vip"), "`vip` is here"),)
        yield Finding(
            at=key("group", "vips"), message=message, hint="move all of them to `vips`", related=related
        )
    if "vip" not in group and "vips" not in group:
        hint = "add `vip: {address: 10.77.0.10/24}`: a free address of the service network"
        yield Finding(at=key("group"), message="the group has no virtual address", hint=hint)


def names_are_unique(scene: Scene) -> Iterator[Finding]:
    """REQ-D02."""
    seen: dict[str, Resource] = {}
    for resource in scene.cluster.group.resources:
        name = resource.name.casefold()
        if name in seen:
            message = f"two resources are called `{resource.name}`"
            related = ((key(*seen[name].path), "the first one"),)
            hint = "rename one: case does not tell resources apart"
            yield Finding(at=key(*resource.path), message=message, hint=hint, related=related)
        seen.setdefault(name, resource)


def references_exist(scene: Scene) -> Iterator[Finding]:
    """REQ-D03."""
    names = [r.name for r in scene.cluster.group.resources]
    for resource in scene.cluster.group.resources:
        for index, name in enumerate(resource.depends_on):
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1)
                hint = f"did you mean `{near[0]}`?" if near else f"known: {', '.join(names)}"
                yield Finding(
                    at=value(*resource.path, "depends_on", index),
                    message=f"`{resource.name}` depends on `{name}`, which is no resource of this group",
                    hint=hint,
                    fix=near[0] if near else "",
                )


def nothing_depends_on_itself(scene: Scene) -> Iterator[Finding]:
    """REQ-D03, REQ-F04: every circle is drawn as a path."""
    resources = {r.name: r for r in scene.cluster.group.resources}
    graph = {name: [d for d in r.depends_on if d in resources] for name, r in resources.items()}
    while True:
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            circle = _from_the_top(list(reversed(error.args[1])), list(resources))
            graph[circle[0]] = [name for name in graph[circle[0]] if name != circle[1]]
            path = " -> ".join(circle)
            place, related = _edge(resources, circle[0], circle[1])
            message = f"depends on itself: {path}"
            hint = "remove one of these; the usual chain is service -> script -> IP"
            yield Finding(at=place, message=message, hint=hint, related=related)
        else:
            return


def _from_the_top(circle: list[str], order: list[str]) -> list[str]:
    """The same circle, begun at the resource that starts last in the usual chain."""
    start = circle.index(max(circle, key=order.index))
    turned = circle[start:-1] + circle[:start] if start < len(circle) - 1 else circle[:-1]
    return [*turned, turned[0]]


def _edge(
    resources: Mapping[str, Resource], first: str, second: str
) -> tuple[Place, tuple[tuple[Place, str], ...]]:
    path = resources[first].path
    return value(*path, "depends_on"), ((key(*resources[second].path), f"`{second}` is here"),)


def scripts_do_something(scene: Scene) -> Iterator[Finding]:
    """REQ-D33."""
    for resource in scene.cluster.group.resources:
        if isinstance(resource, Script) and not resource.start and not resource.stop:
            message = f"script `{resource.name}` has neither start nor stop"
            hint = "give it one of them; to watch something use `probes`"
            yield Finding(at=key(*resource.path), message=message, hint=hint)


def everything_stands_on_the_address(scene: Scene) -> Iterator[Finding]:
    """REQ-D03: what does not need the address may run before it, or on after it went."""
    resources = {r.name: r for r in scene.cluster.group.resources}
    for resource in resources.values():
        if resource.depends_on or isinstance(resource, Vip) or not scene.cluster.group.vips:
            continue
        message = f"`{resource.name}` depends on nothing: it starts beside the address, not after it"
        hint = f"leave depends_on out, or write [{scene.cluster.group.vips[0].name}]"
        yield Finding(at=value(*resource.path, "depends_on"), message=message, hint=hint)


def paths_are_absolute(scene: Scene) -> Iterator[Finding]:
    """A path on a node has no current folder to start from."""
    cluster = scene.cluster
    paths: list[tuple[Place, str]] = []
    for resource in cluster.group.resources:
        if isinstance(resource, Process):
            paths.append((value(*resource.path, "directory"), resource.directory))
        for path in ((*resource.path, "probe", "ca"), (*resource.path, "ca")):
            paths.append((value(*path), _text(scene, *path)))
    for steps in (("share",), ("http", "ca"), ("http", "token", "file")):
        paths.append((value("witness", *steps), _text(scene, "witness", *steps)))
    for place, text in paths:
        if text and not text.startswith(("/", "\\")) and text[1:2] != ":":
            hint = f"write it from the root, for example /{text.lstrip('./~')}"
            yield Finding(
                at=place, message=f"`{text}` is relative, and nodes have no current folder", hint=hint
            )


def _text(scene: Scene, *path: str | int) -> str:
    found: object = scene.data
    for part in path:
        if isinstance(found, dict):
            found = found.get(part)
        elif isinstance(found, list) and isinstance(part, int):
            found = found[part]
        else:
            found = None
    return found if isinstance(found, str) else ""


_READS = ("group",)
RULES = (
    Rule("HS340", Severity.ERROR, _READS, references_exist),
    Rule("HS341", Severity.ERROR, _READS, nothing_depends_on_itself),
    Rule("HS342", Severity.ERROR, _READS, names_are_unique),
    Rule("HS343", Severity.ERROR, _READS, scripts_do_something),
    Rule("HS344", Severity.ERROR, _READS, one_way_to_name_addresses),
    Rule("HS347", Severity.WARNING, _READS, everything_stands_on_the_address),
    Rule("HS348", Severity.ERROR, ("group", "witness"), paths_are_absolute),
)
