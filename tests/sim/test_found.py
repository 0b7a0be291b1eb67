"""Schedules that once broke an invariant, as small as they got. Each names what was wrong in the core."""

from __future__ import annotations

from typing import Literal

import pytest

from hsorch.sim.fault import Fault, Schedule
from hsorch.sim.schedules import run
from hsorch.spec import Policy
from tests.sim.pairs import DEFAULT, FAST, pair, replicated

FOUND: dict[str, tuple[Policy, tuple[Fault, ...]]] = {
    "a grant to an earlier run of the peer was echoed to the next, whose beats bear the same numbers": (
        DEFAULT,
        (
            Fault(0, "slow", "preferred", 5000, value=407),
            Fault(1000, "crash", "active", 1000),
            Fault(2000, "slow", "other", 6000, value=2250),
        ),
    ),
    "a restarted standby forgot that its peer still ran a longer lease": (
        DEFAULT,
        (
            Fault(0, "crash", "standby", 3000),
            Fault(1000, "retimed", "standby", value=50),
            Fault(6000, "agent-loop", "active", 5000),
        ),
    ),
    "a standby with a shorter lease than its peer took over too early": (
        FAST,
        (
            Fault(0, "retimed", "standby", value=50),
            Fault(1000, "agent-kill", "other", 100),
            Fault(2000, "agent-freeze", "active", 1000),
        ),
    ),
    "a node that forgot everything also forgot that the group was wanted": (
        DEFAULT,
        (Fault(4800, "torn", "active", 7000), Fault(5000, "order", "other", 64, what="shutdown")),
    ),
    "a shutdown with a full disk never let the agent go, which then span": (
        DEFAULT,
        (
            Fault(0, "isolate", "standby", 5000),
            Fault(1800, "disk-full", "active", 6000),
            Fault(2900, "order", "active", 2000, what="shutdown"),
        ),
    ),
    "an order to a node that forgot everything took the group out": (
        DEFAULT,
        (
            Fault(0, "order", "other", 5000, what="shutdown"),
            Fault(2000, "torn", "active", 34),
            Fault(4000, "order", "active", 300, what="maintenance-on"),
        ),
    ),
    "checks that went down with a failed write were waited for for ever": (
        DEFAULT,
        (
            Fault(0, "partition", "standby", 1000),
            Fault(2000, "agent-loop", "active", 5000),
            Fault(7000, "disk-full", "active", 1000),
        ),
    ),
    "a holder waited for its disk while its lease ran out, and nobody else ended its effects": (
        DEFAULT,
        (
            Fault(0, "disk-slow", "active", 1055, value=1055),
            Fault(0, "one-way", "active", 6000),
            Fault(600, "guard-kill", "active", 2000),
        ),
    ),
}


WITH_DATA: dict[str, tuple[Fault, ...]] = {
    "a standby set back to a snapshot counted as complete, by the promise that the snapshot holds": (
        Fault(0, "snapshot", "standby"),
        Fault(2000, "data-cut"),
        Fault(2000, "rolled-back", "standby", 10),
        Fault(4500, "crash", "active"),
    ),
    "and it still did while the stream brought it what it had lost": (
        Fault(0, "snapshot", "standby"),
        Fault(1900, "data-slow", value=400),
        Fault(2000, "rolled-back", "standby", 10),
        Fault(2450, "crash", "active"),
    ),
    "an active set back to a snapshot began again where its standby had more": (
        Fault(0, "snapshot", "active"),
        Fault(3000, "rolled-back", "active", 300),
    ),
    "who was handed everything forgot that when its peer gave up its vote, and started no more": (
        Fault(2000, "resync", "standby", 200, value=777),
        Fault(4000, "order", "active", 100, what="shutdown"),
    ),
    "an agent that came back started data again which its peer had gone on from, and forgotten": (
        Fault(0, "agent-loop", "active", 4500),
        Fault(3000, "torn", "active", 50),
    ),
    "and it did when it had come back in maintenance, and that was over": (
        Fault(0, "agent-loop", "active", 4500),
        Fault(3000, "torn", "active", 50),
        Fault(4600, "order", "other", what="maintenance-on"),
        Fault(8000, "order", "other", what="maintenance-off"),
    ),
}


@pytest.mark.parametrize("story", WITH_DATA)
@pytest.mark.parametrize("takeover", ["complete", "logical"])
def test_what_was_found_with_data_stays_mended(story: str, takeover: Literal["complete", "logical"]) -> None:
    schedule = Schedule(seed=0, faults=WITH_DATA[story], watch=16_000, service_ms=5)
    outcome = run(replicated(takeover), schedule)
    assert not outcome.invariant, outcome.message


@pytest.mark.parametrize("story", FOUND)
def test_what_was_found_stays_mended(story: str) -> None:
    policy, faults = FOUND[story]
    outcome = run(pair(policy), Schedule(seed=0, faults=faults, watch=16_000, service_ms=5))
    assert not outcome.invariant, outcome.message
