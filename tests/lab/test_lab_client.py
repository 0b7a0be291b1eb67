"""The client's view: what it counts, and that it would see two actives."""

from __future__ import annotations

import pytest

from hsorch.lab.client import Answer, report_of
from tests.lab.world import Lab, until

VIP = "10.77.0.10/24"


def test_a_gap_lasts_from_one_answer_to_the_next() -> None:
    answers = [Answer(at_ms=ms, node="a") for ms in (10, 20, 30)] + [Answer(at_ms=530, node="b")]
    report = report_of(answers, sent=6, length_ms=540)
    assert report.longest_gap_ms == 500
    assert [(gap.start_ms, gap.length_ms) for gap in report.gaps] == [(30, 500)]
    assert report.nodes == ("a", "b")
    assert (report.answered, report.failed) == (4, 2)


def test_silence_at_the_end_is_a_gap_too() -> None:
    report = report_of([Answer(at_ms=10, node="a")], sent=100, length_ms=1000)
    assert report.longest_gap_ms == 990


def test_nobody_answered() -> None:
    report = report_of([], sent=100, length_ms=1000)
    assert report.longest_gap_ms == 1000
    assert report.nodes == ()


@pytest.mark.lab
def test_a_service_that_stops_and_moves_is_seen_as_it_was(lab: Lab) -> None:
    serve(lab, "node-a")
    with lab.probe() as probe:
        until("node-a was asked", lambda: answers(lab, "node-a"))
        lab.exec("node-a", "ip", "addr", "del", VIP, "dev", "eth0")
        serve(lab, "node-b")
        until("node-b was asked", lambda: answers(lab, "node-b"), 60.0)
        report = probe.stop()
    assert report.nodes == ("node-a", "node-b")
    assert report.doubles == 0
    lab.exec("node-a", "ip", "addr", "add", VIP, "dev", "eth0")
    with lab.probe() as probe:
        until("the client looked a while", lambda: answers(lab, "node-b"))
        report = probe.stop()
    assert report.doubles > 0


def serve(lab: Lab, node: str) -> None:
    lab.exec(node, "sh", "-c", "python3 /lab/app.py >/dev/null 2>&1 &")
    lab.exec(node, "ip", "addr", "add", VIP, "dev", "eth0")
    # Without an announcement clients would wait for their ARP entry to age.
    lab.exec("client", "ip", "neigh", "flush", "all")


def answers(lab: Lab, node: str) -> bool:
    """The client itself gets an answer of this node over the VIP."""
    code = (
        "import urllib.request as r; print(r.urlopen('http://10.77.0.10:8080/', timeout=1).read().decode())"
    )
    return node in lab.exec("client", "python3", "-c", code).stdout
