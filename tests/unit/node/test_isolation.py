"""The isolation heuristic: who may act alone by what answers around it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import msgspec
import pytest

from hsorch.node.core.types import WitnessOutcome
from hsorch.node.system.base import System
from hsorch.node.witness.isolation import IsolationRegister
from hsorch.spec import Group, Ip, Isolation, IsolationWitness, Spec

CLUSTER = "00112233445566778899aabbccddeeff"
REFERENCE, PEER, VIP = "192.0.2.1", "127.0.0.12", "127.0.0.100"


@dataclass
class Surroundings:
    """What answers around node a: the part of a System that the register asks."""

    alive: set[str] = field(default_factory=set)
    on_me: set[str] = field(default_factory=set)
    neighbour: str = ""

    @property
    def network(self) -> Surroundings:
        return self

    @property
    def neighbours(self) -> Surroundings:
        return self

    def ping(self, addresses: list[str], nic: str, timeout_s: float) -> frozenset[str]:
        return frozenset(self.alive & set(addresses))

    def has_address(self, nic: str, cidr: str) -> bool:
        return cidr.partition("/")[0] in self.on_me

    def probe(self, nic: str, address: str, window_s: float) -> str:
        return self.neighbour


@pytest.fixture
def guarded(spec: Spec) -> Spec:
    return msgspec.structs.replace(
        spec,
        witness=IsolationWitness(),
        group=Group(name="g", resources=(Ip(name="IP-g", address=f"{VIP}/8", nic="service"),)),
        policy=msgspec.structs.replace(spec.policy, isolation=Isolation(addresses=(REFERENCE,))),
    )


def create(spec: Spec, memory: Path, around: Surroundings) -> tuple[WitnessOutcome, str]:
    answer = IsolationRegister(spec, "a", memory, CLUSTER, cast(System, around)).create(1, "a", 1.0)
    return answer.outcome, answer.detail


def test_a_node_that_reaches_no_reference_is_cut_off(guarded: Spec, tmp_path: Path) -> None:
    outcome, detail = create(guarded, tmp_path, Surroundings(on_me={VIP}))
    assert outcome is WitnessOutcome.FAILED
    assert "cut off" in detail


def test_the_incumbent_goes_on_while_it_reaches_a_reference(guarded: Spec, tmp_path: Path) -> None:
    around = Surroundings(alive={REFERENCE, PEER}, on_me={VIP})
    assert create(guarded, tmp_path, around)[0] is WitnessOutcome.CREATED


def test_a_standby_whose_peer_answers_does_not_take_over(guarded: Spec, tmp_path: Path) -> None:
    outcome, detail = create(guarded, tmp_path, Surroundings(alive={REFERENCE, PEER}))
    assert outcome is WitnessOutcome.FAILED
    assert PEER in detail


def test_a_standby_that_sees_the_virtual_address_does_not_take_over(guarded: Spec, tmp_path: Path) -> None:
    around = Surroundings(alive={REFERENCE}, neighbour="02:00:00:00:00:01")
    outcome, detail = create(guarded, tmp_path, around)
    assert outcome is WitnessOutcome.FAILED
    assert "02:00:00:00:00:01" in detail


def test_a_standby_in_silence_takes_over_and_remembers(guarded: Spec, tmp_path: Path) -> None:
    around = Surroundings(alive={REFERENCE})
    assert create(guarded, tmp_path, around)[0] is WitnessOutcome.CREATED
    assert create(guarded, tmp_path, around)[0] is WitnessOutcome.EXISTS


def test_its_identity_is_the_same_on_both_nodes(guarded: Spec, tmp_path: Path) -> None:
    around = cast(System, Surroundings(alive={REFERENCE}))
    answers = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        answers.append(IsolationRegister(guarded, name, tmp_path / name, CLUSTER, around).read(1, 1.0))
    assert {answer.witness_id for answer in answers} == {"isolation"}
