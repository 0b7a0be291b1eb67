"""The data link goes down and comes back: the data take the other link meanwhile, nothing else happens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.world import Pair, applied, until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

DATA = """
replication:
  ordered: [{path: /srv/app, exclude: ['*-shm']}]
  watched: [/srv/pictures]
  free_space: {warn: 64MiB, stop: 32MiB}  # the disks of a lab are small
"""


@pytest.fixture
def pair(lab_allowed: None, tmp_path: Path) -> Iterator[Pair]:
    yield from applied(tmp_path, lambda text: text + DATA)


def flows_over(pair: Pair, node: str, link: str) -> bool:
    report = pair.status(node)
    return (
        report is not None and report.data is not None and report.data.followed and report.data.link == link
    )


def test_data_take_the_other_link_while_theirs_is_down(pair: Pair) -> None:
    source = pair.active
    standby = pair.other(source)
    until("the data flow over their link", lambda: flows_over(pair, source, "direct"))

    pair.fault("link-down", "direct")
    until("they take the other one", lambda: flows_over(pair, source, "lan"), 40)
    pair.exec(source, "sh", "-c", "echo meow > /srv/pictures/cat; echo 1 > /srv/app/note")
    for file in ("/srv/pictures/cat", "/srv/app/note"):
        until(f"{file} arrives", lambda file=file: pair.exec(standby, "cat", file).stdout != "", 40)
    assert pair.active == source, "no failover for a link"

    pair.heal()
    until("they go back", lambda: flows_over(pair, source, "direct"), 40)
