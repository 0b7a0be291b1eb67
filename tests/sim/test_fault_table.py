"""Every row of the fault table, for both timing profiles and each kind of witness."""

from __future__ import annotations

from typing import Literal

import pytest
from msgspec.structs import replace

from hsorch.cli.render.simulation import table
from hsorch.sim.scenario import run_row, run_rows
from hsorch.sim.table import rows, select
from hsorch.spec import Policy, Spec
from tests.sim.pairs import DEFAULT, FAST, HTTP, WITNESSES, isolation_policy, pair, replicated

NUMBERS = [row.row for row in rows(pair())]


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("policy", [DEFAULT, FAST], ids=["default", "fast"])
def test_the_pair_survives(number: str, policy: Policy) -> None:
    _survives(number, pair(policy, HTTP))


@pytest.mark.parametrize("number", NUMBERS)
def test_a_pair_without_a_witness_is_safe_and_says_when_it_needs_an_operator(number: str) -> None:
    _survives(number, pair(DEFAULT, WITNESSES["none"]))


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("policy", [DEFAULT, FAST], ids=["default", "fast"])
def test_a_pair_with_the_isolation_heuristic_does_what_is_said_of_it(number: str, policy: Policy) -> None:
    _survives(number, pair(isolation_policy(policy), WITNESSES["isolation"]))


def test_what_the_isolation_heuristic_does_not_promise_is_told_with_the_reason() -> None:
    spec = pair(isolation_policy(DEFAULT), WITNESSES["isolation"])
    (verdict,) = run_rows(spec, select(spec, ("5",)), jobs=1)
    assert verdict.verdict == "held"
    assert "still answers a ping" in verdict.not_promised
    text, good = table(spec, [verdict], "text")
    assert good
    assert "row 5: not promised by the isolation heuristic" in text


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("takeover", ["complete", "logical"])
def test_a_pair_that_replicates_survives_with_its_data(
    number: str, takeover: Literal["complete", "logical"]
) -> None:
    _survives(number, replicated(takeover))


def test_a_pair_with_one_link_and_an_address_alone_has_its_table_too() -> None:
    whole = pair()
    address = replace(whole.group, resources=whole.group.resources[:1])
    spec = replace(whole, links=whole.links[:1], group=address)
    verdicts = run_rows(spec, rows(spec), jobs=1)
    broken = [v for v in verdicts if v.verdict == "violated"]
    assert not broken, "\n".join(f"{v.row} {v.title}: {v.complaints}" for v in broken)
    assert "needs a second link in the manifest" in {c for v in verdicts for c in v.complaints}


def _survives(number: str, spec: Spec) -> None:
    (row,) = select(spec, (number,))
    verdict = run_row(spec, row)
    if verdict.verdict == "not run":
        asks = "an operator at the command line" if spec.replication else "replication"
        assert row.needs == asks, verdict
    else:
        assert verdict.verdict == "held", "\n".join([verdict.title, *verdict.complaints])


def test_the_table_covers_every_numbered_fault() -> None:
    covered = {int(number.rstrip("abcd")) for number in NUMBERS}
    assert covered == set(range(1, 52))


def test_rows_are_found_by_number_variant_and_name() -> None:
    spec = pair()
    assert [r.row for r in select(spec, ("33",))] == ["33a", "33b"]
    assert [r.row for r in select(spec, ("33b",))] == ["33b"]
    assert [r.row for r in select(spec, (rows(spec)[0].name,))] == ["1"]
    with pytest.raises(KeyError, match="99"):
        select(spec, ("99",))
