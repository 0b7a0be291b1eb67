"""A saved plan is carried out as it was approved, or refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from hsorch.errors import HsorchError, PlanStale
from hsorch.plan import plan as planning
from tests.unit.plan.worlds import RUNTIME, observation, plan_of, spec_of

SOUND = {"node-a": {"active": "node-a"}, "node-b": {"active": "node-a"}}
CASE = {"committed": {}, "wanted": {"policy.max_failovers": "5 per 1h"}, "nodes": SOUND}


def seen(folder: Path, **words: dict[str, object]):  # type: ignore[no-untyped-def]
    committed = spec_of(folder, {})
    return {n: observation(n, committed, {**SOUND[n], **words.get(n[-1], {})}) for n in SOUND}


def test_a_plan_survives_its_file(tmp_path: Path) -> None:
    plan = plan_of(CASE, tmp_path)
    planning.save(plan, tmp_path / "plan.json")
    assert planning.load(tmp_path / "plan.json") == plan


def test_an_unmoved_pair_takes_it(tmp_path: Path) -> None:
    planning.refuse_stale(plan_of(CASE, tmp_path), seen(tmp_path), RUNTIME.name)


@pytest.mark.parametrize(
    ("moved", "told"),
    [
        ({"b": {"service": "stopped"}}, "node-b.service: running -> stopped"),
        ({"a": {"revision": 7}}, "node-a.revision: 1 -> 7"),
        ({"a": {"runtime": "2.0.0-x"}}, "node-a.runtime: 1.0.0-new -> 2.0.0-x"),
        ({"b": {"key": ""}}, "node-b.key: abc -> "),
    ],
)
def test_a_pair_that_moved_refuses_it_and_says_what_moved(tmp_path: Path, moved, told: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(PlanStale) as caught:
        planning.refuse_stale(plan_of(CASE, tmp_path), seen(tmp_path, **moved), RUNTIME.name)
    assert told in caught.value.detail
    assert caught.value.exit_code == 7


def test_another_hsorch_refuses_it(tmp_path: Path) -> None:
    with pytest.raises(PlanStale, match="stale"):
        planning.refuse_stale(plan_of(CASE, tmp_path), seen(tmp_path), "1.0.1-other")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"format_version": "1.0"}'])
def test_what_is_no_plan_is_said_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "plan.json").write_bytes(content)
    with pytest.raises(HsorchError) as caught:
        planning.load(tmp_path / "plan.json")
    assert caught.value.code == "HS411"


def test_a_plan_of_a_later_major_format_is_refused(tmp_path: Path) -> None:
    plan = msgspec.structs.replace(plan_of(CASE, tmp_path), format_version="2.0")
    planning.save(plan, tmp_path / "plan.json")
    with pytest.raises(HsorchError, match=r"has format 2\.0"):
        planning.load(tmp_path / "plan.json")
