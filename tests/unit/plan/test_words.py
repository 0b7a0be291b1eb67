"""Whatever changes in a spec is told in the manifest's words, and the schema knows what it costs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hsorch import spec
from hsorch.plan.diff import diff_specs
from tests.unit.plan.worlds import spec_of

PROBED = {
    "group.services": {"nginx": {"probe": {"http": "http://127.0.0.1/"}}},
    "group.scripts": {"mount": {"start": ["/bin/a"], "stop": ["/bin/b"], "check": ["/bin/c"]}},
    "group.probes": {"port": {"tcp": "127.0.0.1:80"}},
}


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("group.processes.events.probe.timeout", "2s", "group.events.probe.timeout"),
        ("group.processes.events.probe.interval", "2s", "group.events.probe.interval"),
        ("group.processes.events.command", ["python3", "/srv/b.py"], "group.events.command"),
        ("group.scripts.mount.timeout", "2s", "group.mount.timeout"),
        ("group.probes.port.max_failures", 5, "group.port.max_failures"),
        ("witness.http.url", "http://10.78.0.6:7350", "witness.http.url"),
        ("policy.timing", "fast", "policy.slack"),
        ("policy.max_failovers", "3 per 2h", "policy.failover_window"),
    ],
)
def test_a_changed_key_is_told_by_its_name(key: str, value: Any, told: str, tmp_path: Path) -> None:
    before, after = spec_of(tmp_path, PROBED), spec_of(tmp_path, {**PROBED, key: value})
    assert told in [item.address for item in diff_specs(before, after, group_in=True)]


def test_every_field_of_a_spec_can_change(tmp_path: Path) -> None:
    """Also one that no manifest sets today: a later release may change its default under a live pair."""
    with_http = spec_of(tmp_path, PROBED)
    with_share = _with(with_http, witness=spec.ShareWitness(path="/mnt/a"))
    for before in (with_http, with_share):
        for path, after in _variants(before):
            assert diff_specs(before, after, group_in=True), path


def _variants(whole: spec.Spec) -> Iterator[tuple[str, spec.Spec]]:
    """The spec with one field changed, for each field of policy, links, witness and resources."""
    for field, value in _fields(whole.policy):
        yield f"policy.{field}", _with(whole, policy=_with(whole.policy, **{field: value}))
    link, *links = whole.links
    for field, value in _fields(link):
        yield f"link.{field}", _with(whole, links=(_with(link, **{field: value}), *links))
    for field, value in _fields(whole.witness):
        yield f"witness.{field}", _with(whole, witness=_with(whole.witness, **{field: value}))
    for at, resource in enumerate(whole.group.resources):
        for field, value in _fields(resource):
            resources = list(whole.group.resources)
            resources[at] = _with(resource, **{field: value})
            group = _with(whole.group, resources=tuple(resources))
            yield f"{resource.name}.{field}", _with(whole, group=group)


def _fields(value: msgspec.Struct) -> Iterator[tuple[str, Any]]:
    for field, old in msgspec.structs.asdict(value).items():
        match old:
            case bool():
                yield field, not old
            case int():
                yield field, old + 1
            case str() if field != "name":
                yield field, f"{old}x"
            case tuple():
                yield field, (*old, "x")
            case dict():
                yield field, {**old, "x": "y"}
            case spec.TcpCheck() | spec.HttpCheck():
                yield field, spec.CommandCheck(argv=("true",))
            case None:
                yield field, spec.CommandCheck(argv=("true",))


def _with(value: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(value, **changes)
