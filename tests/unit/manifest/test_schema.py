"""The schema itself: complete, true to its own examples, found where it is installed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from hsorch.manifest.impact import Impact, impact_of
from hsorch.manifest.rules.release import LATER
from hsorch.manifest.schema import schema

ROOT = Path(__file__).parents[3]


def keys(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every key of the language with its subschema; `*` stands for a name or an index."""
    for name, child in node.get("properties", {}).items():
        yield f"{path}/{name}", child
        yield from keys(child, f"{path}/{name}")
    for more in ("additionalProperties", "items"):
        if isinstance(node.get(more), dict):
            yield from keys(node[more], f"{path}/*")


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(json.loads((ROOT / "schemas" / "cluster.schema.json").read_text()))


@pytest.mark.parametrize(
    ("path", "node"), list(keys(schema())), ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_key_is_documented(path: str, node: dict[str, Any]) -> None:
    assert node["description"].endswith("."), path
    assert node["x-impact"] in {"live", "restart", "outage", "overwrite"}
    validator = Draft202012Validator(node)
    for example in [*node.get("examples", []), *([node["default"]] if "default" in node else [])]:
        assert validator.is_valid(example), (path, example)


def test_the_impact_of_a_key_is_that_of_the_schema() -> None:
    assert impact_of("/links/direct/interval") is Impact.RESTART
    assert impact_of("/group/vip/address") is Impact.OUTAGE
    assert impact_of("/group/vips/0/announcements") is Impact.LIVE
    assert impact_of("/servers/node-a/alias") is Impact.LIVE
    assert impact_of("/group/processes/app/environment/A") is Impact.OUTAGE


def test_a_pointer_that_no_manifest_has_is_an_error() -> None:
    with pytest.raises(KeyError, match="/policy/leese"):
        impact_of("/policy/leese")


def test_what_is_refused_until_later_is_part_of_the_language() -> None:
    known = {path for path, _ in keys(schema())}
    assert [path for path, _ in LATER if "/" + "/".join(path) not in known] == []


def test_defaults_of_the_schema_are_those_of_the_model() -> None:
    from hsorch.manifest.load import load_bytes

    text = (ROOT / "tests/unit/manifest/cases/valid-pair.yaml").read_text()
    bare = load_bytes(text.encode(), "c", folder=Path("/"), environ={}).cluster
    policy = {
        k: v["default"] for k, v in schema()["properties"]["policy"]["properties"].items() if "default" in v
    }
    later = {"sync_time_on_switch"}
    said = "\n".join(f"  {k}: {json.dumps(v)}" for k, v in policy.items() if k not in later)
    spelt = load_bytes(f"{text}policy:\n{said}\n".encode(), "c", folder=Path("/"), environ={}).cluster
    assert spelt == bare
