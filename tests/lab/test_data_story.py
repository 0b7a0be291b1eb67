"""Numbers written through the virtual address before and after a crash: which of them are still there."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.world import Pair, applied, hsorch, with_policy

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

WRITER = """
import http.client, json, sys, time
ends, told, sent = time.time() + float(sys.argv[1]), [], 0
while time.time() < ends:
    sent += 1
    try:
        door = http.client.HTTPConnection("10.77.0.10", 8080, timeout=0.5)
        door.request("POST", "/events", f"{sys.argv[2]}-{sent}")
        if door.getresponse().status == 201:
            told.append(f"{sys.argv[2]}-{sent}")
        door.close()
    except OSError:
        time.sleep(0.02)
print(json.dumps(told))
"""
READER = """
import json, sqlite3
book = sqlite3.connect("/srv/app/events.db")
print(json.dumps([row[0] for row in book.execute("select body from events")]))
"""
DATA = """
replication:
  ordered: [{path: /srv/app, exclude: ['*-shm']}]
  watched: [/srv/pictures]
  free_space: {warn: 64MiB, stop: 32MiB}  # the disks of a lab are small
"""


@pytest.fixture(params=["complete", "logical"])
def policy(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def pair(lab_allowed: None, tmp_path: Path, policy: str) -> Iterator[Pair]:
    """The example, with its data under replication."""
    change = with_policy(f"takeover: {policy}")
    yield from applied(tmp_path, lambda text: change(text) + DATA)


def write(pair: Pair, seconds: int, name: str) -> set[str]:
    """What a client was told is in the book."""
    done = pair.exec("client", "python3", "-c", WRITER, str(seconds), name, timeout=seconds + 30)
    return set(json.loads(done.stdout))


def book(pair: Pair, node: str) -> set[str]:
    return set(json.loads(pair.exec(node, "python3", "-c", READER, timeout=30).stdout))


def test_what_clients_were_told_survives_a_switch_a_crash_and_the_way_back(pair: Pair, policy: str) -> None:
    told = write(pair, 1, "first")
    source = pair.active
    pair.exec(source, "sh", "-c", "echo meow > /srv/pictures/cat")
    assert hsorch("switch", str(pair.manifest), "--yes").returncode == 0
    source = pair.other(source)
    assert told <= book(pair, source), "a switch loses nothing"
    assert pair.exec(source, "cat", "/srv/pictures/cat").stdout == "meow\n"

    pair.wait_protected()
    crash = threading.Timer(2.0, lambda: pair.fault("crash", source))
    crash.start()
    during = write(pair, 9, "second")
    crash.join()
    survivor = pair.other(source)
    pair.wait_active(survivor)
    lost = (told | during) - book(pair, survivor)
    if policy == "complete":
        assert lost == set()
    else:
        assert len(lost) < 100, "the last moment, no more"
    assert during & book(pair, survivor)
    assert pair.exec(survivor, "cat", "/srv/pictures/cat").stdout == "meow\n"
