"""A source takes back what it promised for its standby only once the standby knows."""

from __future__ import annotations

import threading
from unittest.mock import MagicMock

import pytest

from hsorch.node.replication.gate import Gate
from hsorch.node.replication.generations import Lineage
from hsorch.node.replication.messages import Guarded
from hsorch.node.replication.source import Source


class Standby:
    """In place of the shipper: a connected standby that has said nothing of what it counts as yet."""

    connected, connections, peer_guarded, answered = True, 1, False, 0

    def __init__(self, *, answers: bool) -> None:
        self.heard: list[Guarded] = []
        self._answers = answers

    def say(self, message: Guarded) -> None:
        self.heard.append(message)
        if self._answers:
            self.answered, self.peer_guarded = message.number, message.on


def guarded(standby: Standby) -> Source:
    source = Source.__new__(Source)
    source.gate = Gate("durable")
    source.shipper = standby  # type: ignore[assignment]
    source._ground = MagicMock()
    source._ground.meta.value.generations = Lineage(current=1)
    source._promising = threading.Lock()
    source._may_guard, source._said, source._said_on = True, 0, 0
    source._level()
    return source


@pytest.mark.parametrize("answers", [True, False])
def test_flushes_go_on_alone_only_when_the_standby_answered_that(answers: bool) -> None:
    """That it does not count as complete by its last word is not enough: the opposite may be on its way."""
    standby = Standby(answers=answers)
    source = guarded(standby)
    assert source.unguard(0.1) is answers
    assert source.gate.guards is not answers
    assert [said.on for said in standby.heard] == [True, False]


def test_nothing_is_promised_while_that_is_being_taken_back() -> None:
    standby = Standby(answers=True)
    source = guarded(standby)
    source.unguard()
    source._level()
    assert not source.gate.guards
    assert not standby.heard[-1].on


def test_what_was_taken_back_is_promised_again_over_the_same_connection() -> None:
    standby = Standby(answers=True)
    source = guarded(standby)
    source.unguard()
    source.guard()
    source._level()
    assert source.gate.guards
    assert standby.heard[-1].on
