"""A machine of the pair that lost what replication needs: the application never runs on folders that nobody
replicates, and the pair goes on by itself where it can."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hsorch.lab import lifecycle
from tests.lab.test_data_links import DATA
from tests.lab.world import Pair, applied, hsorch, until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]


@pytest.fixture
def pair(lab_allowed: None, tmp_path: Path) -> Iterator[Pair]:
    yield from applied(tmp_path, lambda text: text + DATA)


def codes(pair: Pair, node: str) -> set[str]:
    report = pair.status(node)
    return set() if report is None else {limit.code for limit in report.limits}


def runs(pair: Pair, node: str) -> bool:
    return pair.exec(node, "pgrep", "-f", "/lab/app.py").returncode == 0


def test_a_node_that_cannot_mount_gets_no_group_and_starts_no_application(pair: Pair) -> None:
    source = pair.active
    standby = pair.other(source)
    pair.exec(source, "sh", "-c", "echo meow > /srv/pictures/cat; echo 1 > /srv/app/note")
    for file in ("/srv/pictures/cat", "/srv/app/note"):
        until(f"{file} arrives", lambda file=file: pair.exec(standby, "cat", file).stdout != "", 40)
    assert pair.exec(standby, "mount", "--bind", "/dev/null", "/dev/fuse").returncode == 0
    pair.exec(standby, "pkill", "-KILL", "-f", "hsorch.node replicator")
    until("the standby says so", lambda: "HS683" in codes(pair, standby), 40)
    report = pair.status(source)
    assert report is not None
    assert report.up
    assert not report.protected

    refused = hsorch("switch", str(pair.manifest), "--yes", check=False)
    assert "HS704" in refused.stdout + refused.stderr
    assert pair.active == source

    events = len(pair.events(standby))
    pair.fault("crash", source)
    until("it refuses", lambda: any(e.kind == "refused_takeover" for e in pair.events(standby, events)), 40)
    assert not runs(pair, standby)
    assert f" {lifecycle.one(pair.cluster).vip}/" not in pair.exec(standby, "ip", "-o", "addr").stdout
    assert pair.exec(standby, "cat", "/srv/app/note").stdout == "1\n"

    pair.heal()
    pair.wait_active(source, 60)
    pair.exec(standby, "umount", "/dev/fuse")
    pair.wait_protected(60)
    assert pair.exec(source, "cat", "/srv/pictures/cat").stdout == "meow\n"


def test_an_active_whose_state_takes_nothing_any_more_gives_the_group_away(pair: Pair) -> None:
    """Its programs are fenced before they write what nobody would have."""
    source = pair.active
    standby = pair.other(source)
    lock = "find /var/lib/hsorch -mindepth 1 ! -type l -exec chattr {} {{}} +"
    if pair.exec(source, "sh", "-c", lock.format("+i")).returncode:
        pytest.skip("no immutable files on this file system")
    # A state that nothing has to be written to is looked at every ten seconds; until then nobody misses it.
    pair.wait_active(standby, 60)
    assert "HS725" in codes(pair, source)
    assert not runs(pair, source)
    until("the address is on the other node", lambda: pair.vip_holders() == [standby], 30)
    until("its program runs there", lambda: runs(pair, standby), 30)
    assert pair.exec(standby, "sh", "-c", "echo later > /srv/app/note").returncode == 0
    pair.exec(source, "sh", "-c", lock.format("-i"))
    until("it waits for a word, as it was active", lambda: "HS637" in codes(pair, source), 40)
    hsorch("resync", str(pair.manifest), "--confirm", pair.cluster)
    pair.wait_protected(60)
    assert pair.active == standby
    until("it follows", lambda: pair.exec(source, "cat", "/srv/app/note").stdout == "later\n", 40)
