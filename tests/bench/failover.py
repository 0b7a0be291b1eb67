"""What the client misses: a crash of the active node, a switch, loss on the network between the nodes."""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.bench.contenders import Contender, Hsorch, HsorchRig, keepalived, pacemaker
from tests.bench.table import Row, Table
from tests.lab.world import hsorch

DEFAULT = Hsorch("hsorch default", "cluster.yaml")
FAST = Hsorch("hsorch fast", "fast.yaml")
KEEPALIVED = keepalived("keepalived default", 1.0)
KEEPALIVED_FAST = keepalived("keepalived advert 0.1 s", 0.1)
PACEMAKER = pacemaker("pacemaker default", 3000)
PACEMAKER_FAST = pacemaker("pacemaker token 300 ms", 300)
CONTENDERS: tuple[tuple[Contender, int], ...] = (
    (DEFAULT, 5),
    (FAST, 5),
    (KEEPALIVED, 5),
    (KEEPALIVED_FAST, 5),
    (PACEMAKER, 2),
    (PACEMAKER_FAST, 2),
)
"""With the number of crashes: pacemaker takes long to settle."""


def hard_crash() -> Table:
    """Power off of the active node; longest gap in ms between two answers at the VIP."""
    rows = tuple(Row(c.name, tuple(_crashes(c, rounds))) for c, rounds in CONTENDERS)
    note = (
        "hsorch starts the application on takeover and waits until the old lease is surely over; "
        "the peers only move the address and are not safe against a split brain as configured."
    )
    return Table("Hard crash of the active node, the client's view", "ms", rows, note)


def _crashes(contender: Contender, rounds: int) -> list[float]:
    gaps = []
    with contender.running() as rig:
        for _ in range(rounds):
            active = rig.active()
            with rig.lab.probe() as probe:
                time.sleep(0.5)
                rig.lab.fault("crash", active)
                time.sleep(12 if contender.name.startswith("pacemaker") else 5)
                gaps.append(probe.stop().longest_gap_ms)
            rig.settle()
    return gaps


def switch(rounds: int = 5) -> Table:
    """A planned move of the group: longest gap in ms, the application's stop and start included."""
    rows = []
    for contender in (DEFAULT, FAST):
        with contender.running() as rig:
            rows.append(Row(contender.name, tuple(_switch(rig) for _ in range(rounds))))
    return Table("Switch, the client's view", "ms", tuple(rows))


def _switch(rig: HsorchRig) -> float:
    with rig.lab.probe() as probe:
        time.sleep(0.3)
        hsorch("switch", str(rig.lab.manifest), "--yes")
        time.sleep(0.5)
        gap = probe.stop().longest_gap_ms
    rig.settle()
    return gap


SUFFERED = (
    ("Service link of the active lost", "link-down ACTIVE lan"),
    ("All links between the nodes cut", "partition"),
    ("Agent of the active frozen", "agent-freeze ACTIVE"),
    ("Guard of the active frozen", "guard-freeze ACTIVE"),
    ("All of the active frozen", "freeze ACTIVE"),
)
"""What strikes a pair that must go on, or must be fenced in time."""


def suffering(rounds: int = 3, hold_s: float = 5.0) -> Iterator[Table]:
    """Longest gap in ms while a fault lasts, and in the remark what its end costs (a thaw, a link)."""
    for title, words in SUFFERED:
        contenders = (DEFAULT, FAST, KEEPALIVED_FAST) if words.startswith("freeze") else (DEFAULT, FAST)
        yield Table(title, "ms", tuple(_suffer(c, words.split(), rounds, hold_s) for c in contenders))


def _suffer(contender: Contender, words: list[str], rounds: int, hold_s: float) -> Row:
    gaps, after, doubles = [], [], 0
    with contender.running() as rig:
        for _ in range(rounds):
            kind, *arguments = [rig.active() if word == "ACTIVE" else word for word in words]
            with rig.lab.probe() as probe:
                rig.lab.fault(kind, *arguments)
                time.sleep(hold_s)
                during = probe.stop()
            with rig.lab.probe() as probe:
                rig.lab.heal()
                time.sleep(hold_s)
                end = probe.stop()
            gaps.append(during.longest_gap_ms)
            after.append(end.longest_gap_ms)
            doubles += during.doubles + end.doubles
            rig.settle()
    remark = f"its end: {max(after):.0f} ms; answered by two at once: {doubles}"
    return Row(contender.name, tuple(gaps), remark)


def frame_loss(percent: int, seconds: float = 60.0) -> Table:
    """Random loss on both links: how often the group moved, by who answered; and the longest gap."""
    rows = []
    for contender in (DEFAULT, FAST, KEEPALIVED_FAST):
        with contender.running() as rig, rig.lab.probe() as probe:
            for link in ("direct", "lan"):
                rig.lab.fault("link-loss", link, str(percent))
            time.sleep(seconds)
            report = probe.stop()
        moves = len(report.nodes) - 1
        rows.append(Row(contender.name, (float(moves),), f"longest gap {report.longest_gap_ms:.0f} ms"))
    return Table(
        f"{percent} % of all frames between the nodes lost for {seconds:.0f} s", "moves", tuple(rows)
    )
