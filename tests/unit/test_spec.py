"""The wire contract: a spec that travelled is the same spec, and its digest says so."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from hsorch.manifest.load import load
from hsorch.plan.spec import compile_spec
from hsorch.spec import Spec, decode_spec, digest, encode

EXAMPLE = Path(__file__).parents[2] / "examples" / "lab" / "cluster.yaml"


def example(folder: Path, more: str = "") -> Spec:
    """The example's spec, with these lines added to its policy."""
    manifest = folder / "cluster.yaml"
    manifest.write_text(EXAMPLE.read_text() + more)
    cluster = load(manifest, environ={}).cluster
    assert cluster is not None
    return compile_spec(cluster)


DEFAULTS = """\
  on_resource_error: failover
  takeover: logical
  start_wait: 60s
  max_failovers: 3 per 1h
"""


@pytest.mark.parametrize("more", ["", DEFAULTS])
def test_the_digest_is_the_same_at_the_end_of_the_journey(more: str, tmp_path: Path) -> None:
    spec = example(tmp_path, more)
    assert decode_spec(encode(spec)) == spec
    assert digest(decode_spec(encode(spec))) == digest(spec)


def test_a_default_that_is_written_out_changes_no_digest(tmp_path: Path) -> None:
    assert digest(example(tmp_path, DEFAULTS)) == digest(example(tmp_path))


def test_any_other_difference_changes_the_digest_but_the_revision(tmp_path: Path) -> None:
    spec = example(tmp_path)
    assert digest(msgspec.structs.replace(spec, revision=7)) == digest(spec)
    assert digest(example(tmp_path, "  max_failovers: 4 per 1h\n")) != digest(spec)
    group = msgspec.structs.replace(spec.group, resources=spec.group.resources[::-1])
    assert digest(msgspec.structs.replace(spec, group=group)) != digest(spec)
