"""Both wrote, one is old, or somebody else wrote: an operator looks, chooses, verifies; nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsorch.errors import ExitCode
from tests.lab.world import Pair, applied, hsorch, until, with_policy

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

DATA = """
replication:
  ordered: [{path: /srv/app, preset: sqlite}]
  free_space: {warn: 64MiB, stop: 32MiB}
"""
POST = """
import http.client, sys
door = http.client.HTTPConnection("127.0.0.1", 8080, timeout=10)
door.request("POST", "/events", sys.argv[1])
print(door.getresponse().status)
"""
BODIES = """
import json, sqlite3, sys
print(json.dumps([row[0] for row in sqlite3.connect(sys.argv[1]).execute("select body from events")]))
"""


@pytest.fixture
def pair(lab_allowed: None, tmp_path: Path) -> Iterator[Pair]:
    """The example under `complete`, with its data under replication."""
    change = with_policy("takeover: complete")
    yield from applied(tmp_path, lambda text: change(text) + DATA)


def write(pair: Pair, node: str, body: str) -> None:
    """On the node itself: while two are active, a client could not tell them apart."""
    try:
        until("sent", lambda: pair.exec(node, "python3", "-c", POST, body).stdout == "201\n", 30)
    except AssertionError:
        raise AssertionError(f"{node} does not take '{body}'\n{pair.describe()}") from None


def bodies(pair: Pair, node: str, path: str) -> list[str]:
    return list(json.loads(pair.exec(node, "python3", "-c", BODIES, path).stdout or "[]"))


def troubles(pair: Pair) -> set[str]:
    reports = [pair.status(node) for node in pair.nodes]
    return {limit.code for report in reports if report is not None for limit in report.limits}


def is_alone(pair: Pair, node: str) -> bool:
    report = pair.status(node)
    return report is not None and report.solo and report.data is not None and not report.data.guarded


def diverge(pair: Pair) -> None:
    """Cut apart, node-a goes on by the witness' word and node-b by an operator's: both serve, both write."""
    write(pair, "node-a", "before")
    pair.fault("partition")
    until("node-a may write alone", lambda: is_alone(pair, "node-a"))
    write(pair, "node-a", "only on a")
    hsorch("takeover", str(pair.manifest), "--force", "--node", "node-b", "--confirm", pair.cluster)
    write(pair, "node-b", "only on b")
    pair.heal()
    until("the pair says that both wrote", lambda: "HS690" in troubles(pair), 60)


def test_both_wrote_and_nothing_is_lost_without_a_word(pair: Pair) -> None:
    diverge(pair)
    winner = pair.active
    loser = pair.other(winner)
    mine, theirs = (f"only on {node.removeprefix('node-')}" for node in (winner, loser))

    survey = hsorch("select-source", winner, str(pair.manifest), "--survey", "--format", "json")
    side = json.loads(survey.stdout)["nodes"][loser]
    assert side["meeting"] == "diverged"
    assert side["loses"]["ordered"]["files"] > 0

    unapproved = hsorch("select-source", winner, str(pair.manifest), check=False)
    assert unapproved.returncode == ExitCode.REFUSED
    wrong = hsorch("select-source", loser, str(pair.manifest), "--confirm", pair.cluster, check=False)
    assert "HS749" in wrong.stderr, "data under a running application are not overwritten"

    hsorch("select-source", winner, str(pair.manifest), "--confirm", pair.cluster)
    pair.wait_protected(90)
    kept = json.loads(hsorch("quarantine", "list", str(pair.manifest), "--format", "json").stdout)
    (incident,) = kept["nodes"][loser]
    name = incident["incident"]
    hsorch("quarantine", "restore", name, str(pair.manifest), "--to", "/srv/restored")
    found = pair.exec(loser, "grep", "-rl", theirs, "/srv/restored")
    assert found.stdout, "what only the loser wrote lies in the files that were kept"

    hsorch("switch", str(pair.manifest), "--yes")
    assert mine in bodies(pair, loser, "/srv/app/events.db")
    assert theirs not in bodies(pair, loser, "/srv/app/events.db")
    hsorch("quarantine", "drop", name, str(pair.manifest), "--confirm", pair.cluster)


def test_a_group_is_not_started_where_its_data_are_old(pair: Pair) -> None:
    """node-a wrote alone, then the group was brought out; node-b has missed that."""
    write(pair, "node-a", "before")
    pair.fault("partition")
    until("node-a may write alone", lambda: is_alone(pair, "node-a"))
    write(pair, "node-a", "while alone")
    out = hsorch("bring-out", str(pair.manifest), "--confirm", pair.cluster)
    assert "node-b lacks" in out.stdout
    pair.heal()
    until("the nodes hear each other", lambda: all(r and r.peer_seen for r in map(pair.status, pair.nodes)))
    missed = pair.status("node-b")
    assert missed is not None
    assert missed.data is not None
    assert missed.data.state == "outdated", "by itself its replicator knows of nothing that it missed"

    old = hsorch("bring-in", str(pair.manifest), "--source", "node-b", "--yes", check=False)
    assert old.returncode == ExitCode.REFUSED
    assert "HS940" in old.stderr
    assert pair.vip_holders() == []

    hsorch("bring-in", str(pair.manifest), "--yes")
    pair.wait_protected(60)
    assert pair.active == "node-a"
    hsorch("switch", str(pair.manifest), "--yes")
    assert "while alone" in bodies(pair, "node-b", "/srv/app/events.db")


def test_a_hand_in_the_standbys_folder_is_noticed_and_verify_repairs_it(pair: Pair) -> None:
    write(pair, "node-a", "before")
    assert hsorch("verify", str(pair.manifest)).stdout.rstrip().endswith("equal")
    pair.exec("node-b", "sh", "-c", "printf rubbish | dd of=/srv/app/events.db bs=1 seek=100 conv=notrunc")
    until("the foreign write is told", lambda: "HS633" in troubles(pair), 30)
    found = hsorch("verify", str(pair.manifest), check=False)
    assert found.returncode == ExitCode.CHANGES, found.stdout + found.stderr
    assert "differed and was sent anew" in found.stdout
    pair.wait_protected(60)
    assert "HS633" not in troubles(pair)
    hsorch("switch", str(pair.manifest), "--yes")
    assert bodies(pair, "node-b", "/srv/app/events.db") == ["before"]
