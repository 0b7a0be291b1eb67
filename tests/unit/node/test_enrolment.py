"""What the controller left: found, damaged, or too open."""

from __future__ import annotations

from pathlib import Path

import pytest

from hsorch.errors import NodeError
from hsorch.node import enrolment
from hsorch.node.paths import Paths


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths("plant", tmp_path)
    paths.var.mkdir(parents=True)
    return paths


def code_of(action: object) -> str:
    with pytest.raises(NodeError) as caught:
        action()  # type: ignore[operator]
    assert caught.value.hint
    return caught.value.code


def test_a_machine_that_is_no_node_says_so(paths: Paths) -> None:
    assert code_of(lambda: enrolment.identity(paths)) == "HS605"


def test_a_damaged_spec_is_named(paths: Paths) -> None:
    paths.spec.write_text("{")
    assert code_of(lambda: enrolment.spec(paths)) == "HS605"


def test_a_key_that_others_may_read_is_refused(paths: Paths, key: bytes) -> None:
    paths.key.write_bytes(key)
    paths.key.chmod(0o644)
    assert code_of(lambda: enrolment.key(paths)) == "HS603"


@pytest.mark.parametrize("content", [b"", b"short", b"z" * 64])
def test_a_key_of_the_wrong_form_is_refused(paths: Paths, content: bytes) -> None:
    paths.key.write_bytes(content)
    paths.key.chmod(0o600)
    assert code_of(lambda: enrolment.key(paths)) == "HS603"


def test_a_key_may_be_bytes_or_hex_digits(paths: Paths, key: bytes) -> None:
    for content in (key, key.hex().encode()):
        paths.key.write_bytes(content)
        paths.key.chmod(0o600)
        assert enrolment.key(paths) == key
