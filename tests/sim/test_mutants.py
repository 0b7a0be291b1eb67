"""Each safety rule, weakened, is noticed: by a row of the fault table, its own schedule, or seeds."""

from __future__ import annotations

import pytest

from hsorch.sim.mutants import MUTANTS, Mutant, hunt, mutated
from hsorch.spec import Spec


def test_there_are_enough_mutants() -> None:
    assert len({m.rule for m in MUTANTS}) >= 14


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m.rule}: {m.breaks}")
def test_a_weakened_rule_is_noticed(mutant: Mutant, spec: Spec) -> None:
    kill = hunt(mutant, spec, first=1, seeds=300)
    assert kill.killed_by, f"nothing notices that it is no longer so that {mutant.breaks}"


def test_a_mutant_leaves_no_trace() -> None:
    before = {m.rule: getattr(m.module, m.rule) for m in MUTANTS}
    for mutant in MUTANTS:
        with mutated(mutant):
            assert getattr(mutant.module, mutant.rule) is not before[mutant.rule]
    assert {m.rule: getattr(m.module, m.rule) for m in MUTANTS} == before
