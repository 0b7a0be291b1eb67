"""A pair whose witness is a folder on a file server: gone, it moves nothing; there, it decides a cut."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.lab.world import Pair, applied, until

pytestmark = pytest.mark.lab


def with_share(text: str) -> str:
    """The witness is a folder that both nodes mount."""
    before, _, rest = text.partition("witness:\n")
    return f"{before}witness: {{share: /mnt/witness}}\n\n{rest[rest.index('group:') :]}"


@pytest.fixture(scope="module")
def pair(lab_allowed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    yield from applied(tmp_path_factory.mktemp("pair"), with_share)


def test_a_lost_share_moves_nothing_and_is_told(pair: Pair) -> None:
    active = pair.active
    with pair.probe() as probe:
        pair.fault("witness-down")
        until("the loss is told", lambda: witness(pair) == {"unreachable"}, 30.0)
        pair.heal()
        pair.wait_protected()
        assert probe.stop().nodes == (active,)


def test_a_share_decides_who_goes_on_when_the_links_are_cut(pair: Pair) -> None:
    active = pair.active
    with pair.probe() as probe:
        pair.fault("partition")
        time.sleep(2.5)
        until("the active goes on alone", lambda: "active-solo" in roles(pair), 20.0)
        seen = probe.stop()
    assert seen.nodes == (active,)
    assert seen.doubles == 0
    pair.heal()
    pair.wait_protected()


def witness(pair: Pair) -> set[str]:
    return {report.witness for report in map(pair.status, pair.nodes) if report is not None}


def roles(pair: Pair) -> set[str]:
    return {report.role for report in map(pair.status, pair.nodes) if report is not None}
