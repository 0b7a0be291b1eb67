"""Rules on what is replicated (REQ-D06, E05, E07, J11).

Which paths can be bound at all is decided by the node's own `bindings`: manifest and replicator never differ.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from hsorch.manifest.diagnostics import Severity
from hsorch.manifest.document import Path_
from hsorch.manifest.rules.release import is_windows_path
from hsorch.manifest.rules.table import Finding, Rule, Scene, key, value
from hsorch.node.replication.bindings import Binding, BindingError, resolve


def something_is_bound(scene: Scene) -> Iterator[Finding]:
    """REQ-D06."""
    replication = scene.cluster.replication
    if replication is not None and not replication.bindings:
        hint = "name folders under `ordered` (databases) or `watched`, or leave `replication` out"
        yield Finding(at=key("replication"), message="`replication` names no folder", hint=hint)


def bindings_can_be_bound(scene: Scene) -> Iterator[Finding]:
    """REQ-E07."""
    for place, binding in _bindings(scene):
        try:
            resolve([binding])
        except BindingError as error:
            yield Finding(at=value(*place), message=error.message, hint=error.hint)


def no_folder_is_bound_twice(scene: Scene) -> Iterator[Finding]:
    seen: dict[str, Path_] = {}
    for place, binding in _bindings(scene):
        path = binding.path.rstrip("/")
        if path in seen:
            related = ((value(*seen[path]), "first bound here"),)
            message = f"{path} is bound twice"
            yield Finding(at=value(*place), message=message, hint="remove one", related=related)
        seen.setdefault(path, place)


def nested_bindings_join(scene: Scene) -> Iterator[Finding]:
    bound = {binding.path.rstrip("/"): (place, binding) for place, binding in _bindings(scene)}
    try:
        _, findings = resolve(binding for _, binding in bound.values())
    except BindingError:
        return  # told by HS380
    for found in findings:
        place, _ = bound[found.path]
        yield Finding(at=value(*place), message=found.message, hint=found.hint)


def stop_lies_below_warn(scene: Scene) -> Iterator[Finding]:
    """REQ-J11."""
    replication = scene.cluster.replication
    if replication is not None and replication.stop >= replication.warn:
        message = "`free_space.stop` is not below `free_space.warn`: nobody would be warned"
        hint = "raise `warn` or lower `stop` (5GiB and 3GiB when left out)"
        yield Finding(at=key("replication", "free_space"), message=message, hint=hint)


def ack_needs_complete(scene: Scene) -> Iterator[Finding]:
    """REQ-G02, G03."""
    takeover = scene.cluster.policy.takeover
    if "ack" in scene.data.get("replication", {}) and takeover != "complete":
        message = f"`ack` has no effect with `takeover: {takeover}`: no write waits for the standby"
        hint = "leave it out, or write `takeover: complete`"
        yield Finding(at=key("replication", "ack"), message=message, hint=hint)


def _bindings(scene: Scene) -> Iterator[tuple[Path_, Binding]]:
    """Each with its place; Windows paths are another rule's."""
    if scene.cluster.replication is None:
        return
    written = scene.data["replication"]
    kinds = ("ordered", "watched")
    places = [("replication", kind, i) for kind in kinds for i in range(len(written.get(kind, ())))]
    for place, bound in zip(places, scene.cluster.replication.bindings, strict=True):
        if not is_windows_path(bound.path):
            yield place, Binding(**msgspec.structs.asdict(bound))


RULES = (
    Rule("HS380", Severity.ERROR, ("replication",), bindings_can_be_bound),
    Rule("HS381", Severity.ERROR, ("replication",), something_is_bound),
    Rule("HS382", Severity.ERROR, ("replication",), no_folder_is_bound_twice),
    Rule("HS383", Severity.WARNING, ("replication",), nested_bindings_join),
    Rule("HS384", Severity.ERROR, ("replication",), stop_lies_below_warn),
    Rule("HS385", Severity.WARNING, ("replication", "policy"), ack_needs_complete),
)
