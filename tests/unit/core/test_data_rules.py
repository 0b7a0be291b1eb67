"""The decision table of the data, row by row (REQ-G13): who takes over, who starts, whose image is newer."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from hsorch.node.core import data_rules
from hsorch.node.core.state import State
from hsorch.node.core.types import Config, DataState, Epoch, Image
from tests.unit.core.duo import Duo
from tests.unit.core.test_data import replicated

ROWS = [
    # data here,     the peer went on alone, complete, logical, unconditional, by force
    ("complete", False, True, True, True, True),
    ("complete", True, False, False, False, True),
    ("logical", False, False, True, True, True),
    ("logical", True, False, False, False, True),
    ("outdated", False, False, False, False, True),
    ("outdated", True, False, False, False, True),
    ("inconsistent", False, False, False, False, False),
    ("inconsistent", True, False, False, False, False),
    ("blank", False, False, False, False, True),
    ("blank", True, False, False, False, True),
    ("unknown", False, False, False, True, True),
    ("unknown", True, False, False, True, True),
]


def standby(takeover: str, data: str, *, stale: bool = False) -> State:
    """b, which holds nothing, with these data; stale: a went on alone."""
    state = Duo(replicated(takeover)).boot().state("b")
    durable = replace(state.durable, config=Config(epoch=Epoch(1, 0), holder="a"), stale=stale)
    return replace(state, durable=durable, data=DataState(data))


@pytest.mark.parametrize(("data", "alone", "complete", "logical", "unconditional", "forced"), ROWS)
def test_the_data_decide_who_takes_over(
    data: str, alone: bool, complete: bool, logical: bool, unconditional: bool, forced: bool
) -> None:
    allowed = {"complete": complete, "logical": logical, "unconditional": unconditional}
    for takeover, yes in allowed.items():
        refused = data_rules.why_not_take(standby(takeover, data, stale=alone))
        assert (refused == "") is yes, takeover
        assert yes or takeover in refused, "a refusal names the policy"
    assert data_rules.may_be_forced(DataState(data)) is forced


def test_every_state_of_data_has_its_rows() -> None:
    assert {row[0] for row in ROWS} == {state.value for state in DataState} - {"none"}


@pytest.mark.parametrize(
    ("theirs", "mine", "newer"),
    [
        (Image(generation="g2", ancestors=("g1",)), Image(generation="g1"), True),
        (Image(generation="g1"), Image(generation="g2", ancestors=("g1",)), False),
        (Image(generation="g1", lsn=9), Image(generation="g1", lsn=5), False),
        (Image(generation="g1"), Image(), True),
        (Image(), Image(generation="g1"), False),
        (Image(generation="g2"), Image(generation="g3"), False),
    ],
    ids=["goes on from ours", "ours goes on", "one line", "we have none", "they have none", "unrelated"],
)
def test_an_image_is_newer_when_it_goes_on_from_the_other(theirs: Image, mine: Image, newer: bool) -> None:
    assert data_rules.newer(theirs, mine) is newer
