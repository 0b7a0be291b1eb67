"""A machine that was replaced knows nothing of what the pair decided, and must not pass for the founder."""

from __future__ import annotations

from tests.unit.core.conftest import make_spec
from tests.unit.core.duo import Duo


def replaced_and_cut_off(*, joins: bool) -> Duo:
    """a won epoch 1 long ago, b took over in epoch 2; a comes back with an empty disk and sees only the
    witness."""
    duo = Duo(make_spec()).boot().run(3_000)
    duo.partition()
    duo.run(3_000)
    duo.heal()
    duo.run(20_000)
    duo.crash("a")
    duo.run(10_000)
    assert duo.config("b").startswith("2.0 SOLO(b)")
    duo.partition()
    duo.nodes["a"].durable = None
    duo.boot("a", forgotten=joins)
    return duo.run(90_000)


def test_a_replaced_machine_waits_for_its_peer() -> None:
    duo = replaced_and_cut_off(joins=True)
    assert duo.active == "b"
    duo.heal()
    duo.run(20_000)
    assert duo.active == "b"
    assert duo.state("a").durable.config == duo.state("b").durable.config


def test_a_machine_that_joins_a_pair_which_never_ran_starts_with_its_peer() -> None:
    """The first apply was killed between the two enrolments."""
    duo = Duo(make_spec()).boot("b").boot("a", forgotten=True).run(10_000)
    assert duo.active == "a"
