"""A Spec in the manifest's own words: every setting with the address that a user reads and the pointer of the
manifest key it comes from. Knows nothing of nodes or changes."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass

import msgspec

from hsorch.node.replication import bindings
from hsorch.spec import AnyResource, Data, Ip, Probe, Process, Replication, Resource, Script, Service, Spec

KINDS: dict[type[Resource], str] = {
    Ip: "vip",
    Service: "services",
    Process: "processes",
    Script: "scripts",
    Probe: "probes",
    Data: "data",
}
_HEALTH = {"check_interval": "interval", "check_limit": "timeout", "max_check_failures": "max_failures"}
_PROBED = {name: f"probe.{key}" for name, key in _HEALTH.items()}
_KEYS: dict[str, dict[str, str]] = {
    "vip": {},
    "services": _PROBED,
    "processes": {"argv": "command", **_PROBED},
    "scripts": _HEALTH,
    "probes": _HEALTH,
    "share": {"path": "share"},
    "replication": {"warn_bytes": "free_space.warn", "stop_bytes": "free_space.stop"},
    "http": {"url": "http.url", "token": "http.token", "ca_file": "http.ca"},
}
"""By kind: the manifest's key of a setting that a spec calls otherwise."""
_DERIVED = {
    "policy": {"slack": "timing", "drift_ppm": "timing", "failover_window": "max_failovers"},
    "services": {"unit": ""},
    "probes": {"check": ""},
    "vip": dict.fromkeys(("start_limit", "stop_limit", "restarts", *_HEALTH), ""),
}
"""By kind: the key that decides on a setting which has none of its own; empty: the part as a whole."""
_WAITS = {"none": "nothing", "received": "the standby's memory", "durable": "the standby's disk"}


@dataclass(frozen=True, slots=True)
class Part:
    """One thing of the pair (a link, a resource, the policy ...) with its settings, in words.

    title: what stands for the whole part when it comes or goes.
    """

    address: str
    pointer: str
    kind: str
    title: str
    settings: dict[str, str]

    def pointer_of(self, setting: str) -> str:
        """JSON pointer of the manifest key that decides on a setting."""
        key = _DERIVED.get(self.kind, {}).get(setting, setting)
        return f"{self.pointer}/{key.replace('.', '/')}" if key else self.pointer


def parts(spec: Spec) -> dict[str, Part]:
    """By address, in the order of the manifest."""
    return {part.address: part for part in _parts(spec)}


def _parts(spec: Spec) -> Iterator[Part]:
    for node in spec.nodes:
        nics = ", ".join(f"{role} {nic.name} {nic.address}" for role, nic in node.nics.items())
        settings = {"alias": node.alias} if node.alias else {}
        settings |= {f"nics.{role}": f"{nic.name} {nic.address}" for role, nic in node.nics.items()}
        yield Part(f"servers.{node.name}", f"/servers/{node.name}", "server", nics or "server", settings)
    yield Part("preferred", "/preferred", "preferred", spec.preferred, {"": spec.preferred})
    for link in spec.links:
        settings = _settings(link, leave={"name"})
        title = f"{link.nic} port {link.port} every {link.interval_ms}ms"
        yield Part(f"links.{link.name}", f"/links/{link.name}", "link", title, settings)
    kind = str(spec.witness.__struct_config__.tag)
    witness = _named(kind, _settings(spec.witness))
    yield Part("witness", "/witness", kind, " ".join([kind, *witness.values()]), witness)
    for resource in spec.group.resources:
        if not isinstance(resource, Data):
            yield _resource(spec.group.name, resource)
    group = _settings(spec.group, leave={"resources"})
    yield Part(f"group.{spec.group.name}", "/group", "group", spec.group.name, group)
    if spec.replication is not None:
        yield from _replication(spec.replication)
    policy = _settings(spec.policy, leave={"isolation"})
    policy |= {f"isolation.{k}": v for k, v in _settings(spec.policy.isolation).items()}
    title = f"takeover {spec.policy.takeover}, lease {spec.policy.lease_ms}ms"
    yield Part("policy", "/policy", "policy", title, policy)


def _replication(replication: Replication) -> Iterator[Part]:
    """A preset is shown with all that it stands for."""
    for binding in replication.bindings:
        whole = bindings.expand(bindings.Binding(**msgspec.structs.asdict(binding)))
        settings = _settings(whole, leave={"path", "kind"})
        title = " ".join([binding.kind, *(f"{name} {text}" for name, text in settings.items())])
        yield Part(
            f"replication.{binding.path}", f"/replication/{binding.kind}/0", binding.kind, title, settings
        )
    settings = _named("replication", _settings(replication, leave={"bindings"}))
    title = f"port {replication.port}, a flush waits for {_WAITS[replication.ack]}"
    yield Part("replication", "/replication", "replication", title, settings)


def _resource(group: str, resource: AnyResource) -> Part:
    kind = KINDS[type(resource)]
    settings = _named(kind, _settings(resource, leave={"name"}))
    pointer = f"/group/{kind}" if kind == "vip" else f"/group/{kind}/{_manifest_name(resource)}"
    title = next(
        (settings[key] for key in ("address", "unit", "command", "start", "check") if key in settings), kind
    )
    return Part(f"group.{resource.name}", pointer, kind, title, settings)


def _manifest_name(resource: AnyResource) -> str:
    """A service is NT-NAME in a spec; the manifest knows it by its unit, all else by its name."""
    return resource.unit if isinstance(resource, Service) else resource.name


def _named(kind: str, settings: dict[str, str]) -> dict[str, str]:
    keys = _KEYS.get(kind, {})
    return {keys.get(name, name): text for name, text in settings.items()}


def _settings(value: msgspec.Struct, leave: Set[str] = frozenset()) -> dict[str, str]:
    """Field → text; `lease_ms` 1500 becomes `lease` `1500ms`. Empty values are left out."""
    found = {}
    for field, content in msgspec.structs.asdict(value).items():
        if field in leave or content in ("", (), {}, None):
            continue
        name = field.removesuffix("_ms")
        found[name] = f"{content}ms" if field.endswith("_ms") else _text(content)
    return found


def _text(content: object) -> str:
    match content:
        case bool():
            return str(content).lower()
        case str() | int():
            return str(content)
        case tuple() | list():
            return " ".join(_text(item) for item in content)
        case dict():
            return ", ".join(f"{key}={_text(value)}" for key, value in sorted(content.items()))
        case msgspec.Struct():
            tag = content.__struct_config__.tag
            inner = " ".join(_settings(content).values())
            return f"{tag} {inner}" if tag else inner
        case _:
            return repr(content)
