"""The group section → resources with their names and their full chain of dependencies.

What is not written is the canonical chain service → script → IP: scripts and whatever has no script below it
stand on the addresses, services and processes on the scripts, probes on what they check (REQ-F01, REQ-F02).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_interface
from typing import Any

import msgspec

from hsorch.manifest.document import Path_
from hsorch.manifest.model import (
    AnyResource,
    Group,
    Health,
    Probe,
    Process,
    Resource,
    Script,
    Service,
    Vip,
)
from hsorch.manifest.units import milliseconds
from hsorch.spec import Check, CommandCheck, HttpCheck, TcpCheck


def build_group(raw: Mapping[str, Any]) -> Group:
    """raw: a group section of valid form."""
    resources = _chained(list(_resources(raw)), _explicit(raw))
    return Group(name=raw["name"], desired_state=raw.get("desired_state", "out"), resources=resources)


def service_resource(service: str) -> str:
    """`DSS Professional` → `NT-DSSProfessional`, `nginx.service` → `NT-nginx` (REQ-D02)."""
    return f"NT-{''.join(service.removesuffix('.service').split())}"


def _resources(raw: Mapping[str, Any]) -> Iterator[AnyResource]:
    vips: list[tuple[Path_, Any]] = [(("vip",), raw["vip"])] if "vip" in raw else []
    vips += [(("vips", index), vip) for index, vip in enumerate(raw.get("vips", []))]
    for index, (path, vip) in enumerate(vips):
        suffix = f"-{index + 1}" if index else ""
        yield Vip(
            name=f"IP-{''.join(raw['name'].split())}{suffix}",
            path=("group", *path),
            address=ip_interface(vip["address"]),
            nic=vip.get("nic", "service"),
            virtual_mac=vip.get("virtual_mac", "").lower().replace("-", ":"),
            announcements=vip.get("announcements", 5),
        )
    vip_text = vips[0][1]["address"].partition("/")[0] if vips else "{vip}"
    for name, script in raw.get("scripts", {}).items():
        yield _script(name, script)
    for name, service in raw.get("services", {}).items():
        common = _common(service or {}, ("group", "services", name), vip_text)
        yield Service(name=service_resource(name), unit=name, **common)
    for name, process in raw.get("processes", {}).items():
        yield Process(
            name=name,
            command=tuple(process["command"]),
            directory=process.get("directory", ""),
            user=process.get("user", ""),
            environment=process.get("environment", {}),
            **_common(process, ("group", "processes", name), vip_text),
        )
    for name, probe in raw.get("probes", {}).items():
        yield Probe(name=name, **_common({**probe, "probe": probe}, ("group", "probes", name), vip_text))


def _script(name: str, raw: Mapping[str, Any]) -> Script:
    common = _common({**raw, "probe": {}}, ("group", "scripts", name), "")
    return Script(
        name=name,
        start=tuple(raw.get("start", ())),
        stop=tuple(raw.get("stop", ())),
        check=tuple(raw.get("check", ())),
        required=raw.get("required", True),
        run_stop_after_unclean=raw.get("run_stop_after_unclean", False),
        **{**common, "health": _health(raw, "")},
    )


def _common(raw: Mapping[str, Any], path: tuple[str, ...], vip: str) -> dict[str, Any]:
    return {
        "path": path,
        "start_limit": milliseconds(raw.get("start_limit", "30s")),
        "stop_limit": milliseconds(raw.get("stop_limit", "30s")),
        "restarts": raw.get("restarts", 1),
        "health": _health(raw.get("probe", {}), vip),
    }


def _health(raw: Mapping[str, Any], vip: str) -> Health:
    return Health(
        check=_check(raw, vip) if vip else None,
        interval=milliseconds(raw.get("interval", "1s")),
        timeout=milliseconds(raw.get("timeout", "5s")),
        max_failures=raw.get("max_failures", 2),
    )


def _check(raw: Mapping[str, Any], vip: str) -> Check | None:
    bracketed = f"[{vip}]" if ":" in vip else vip
    if "tcp" in raw:
        host, _, port = raw["tcp"].replace("{vip}", bracketed).rpartition(":")
        return TcpCheck(host=host.strip("[]"), port=int(port))
    if "command" in raw:
        return CommandCheck(argv=tuple(part.replace("{vip}", vip) for part in raw["command"]))
    url = raw.get("https") or raw.get("http")
    if url is None:
        return None
    return HttpCheck(
        url=url.replace("{vip}", bracketed),
        expect_status=raw.get("expect_status", 200),
        ca_file=raw.get("ca", ""),
        verify=raw.get("verify", True),
    )


def _explicit(raw: Mapping[str, Any]) -> dict[Path_, tuple[str, ...]]:
    """By place of the resource: the depends_on that is written there."""
    found: dict[Path_, tuple[str, ...]] = {}
    places: list[tuple[Path_, Any]] = [(("group", "vip"), raw.get("vip"))]
    places += [(("group", "vips", i), vip) for i, vip in enumerate(raw.get("vips", []))]
    for family in ("scripts", "services", "processes", "probes"):
        places += [(("group", family, name), value) for name, value in raw.get(family, {}).items()]
    for path, value in places:
        if value and "depends_on" in value:
            found[path] = tuple(value["depends_on"])
    return found


def _chained(
    resources: list[AnyResource], explicit: Mapping[Path_, tuple[str, ...]]
) -> tuple[AnyResource, ...]:
    names = _spellings(resources)
    written = {
        resource.name: tuple(names.get(name, name) for name in explicit[resource.path])
        for resource in resources
        if resource.path in explicit
    }
    return tuple(
        msgspec.structs.replace(r, depends_on=written.get(r.name, _implicit(r, resources, written)))
        for r in resources
    )


def _spellings(resources: list[AnyResource]) -> dict[str, str]:
    """In depends_on a service may go by its own name too: `DSS Professional`."""
    names = {r.unit: r.name for r in resources if isinstance(r, Service)}
    return {**names, **{r.name: r.name for r in resources}}


def _implicit(
    resource: AnyResource, resources: list[AnyResource], written: Mapping[str, tuple[str, ...]]
) -> tuple[str, ...]:
    ips = tuple(r.name for r in resources if isinstance(r, Vip))
    if isinstance(resource, Vip):
        return ()
    if isinstance(resource, Script):
        return ips
    below: type | tuple[type, ...] = (Service, Process) if isinstance(resource, Probe) else Script
    candidates = [r for r in resources if isinstance(r, below)]
    chosen = tuple(r.name for r in candidates if resource.name not in _reach(r, written))
    return chosen or ips


def _reach(start: Resource, written: Mapping[str, tuple[str, ...]]) -> set[str]:
    """All that `start` stands on by what is written: the implicit chain must not close a circle."""
    found: set[str] = set()
    todo = [start.name]
    while todo:
        for name in written.get(todo.pop(), ()):
            if name not in found:
                found.add(name)
                todo.append(name)
    return found
