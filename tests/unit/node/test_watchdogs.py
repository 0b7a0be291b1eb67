"""The kernel's half of the watchdogs can be lost: it is told, made again, and armed as it was."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hsorch.node import events
from hsorch.node.events import EventLog
from hsorch.node.watch import Watch
from hsorch.node.watchdogs import Watchdogs
from hsorch.verbs import EventsQuery


@dataclass
class Kernel:
    """Implements DeadMan as a kernel does whose rules somebody may flush. passes: 0 blocked, -1 for ever."""

    works: bool = True
    rules: tuple[str, ...] = ()
    passes: int = 0
    installs: int = 0

    def install(self, addresses: Sequence[str]) -> str:
        self.installs += 1
        if self.works:
            self.rules, self.passes = tuple(addresses), 0
        return "" if self.works else "nft is not installed"

    def _take(self, passes: int) -> bool:
        if self.rules:
            self.passes = passes
        return bool(self.rules)

    def arm(self, until_ns: int) -> bool:
        return self._take(until_ns)

    def open(self) -> bool:
        return self._take(-1)

    def block(self) -> bool:
        return self._take(0)

    def remove(self) -> bool:
        self.rules = ()
        return True


@dataclass
class Stage:
    directory: Path
    kernel: Kernel = field(default_factory=Kernel)

    def begin(self) -> Watchdogs:
        self.watch = Watch(self.directory / "watch", "boot-1")
        log = EventLog(self.directory / "events", node="a", group="g")
        return Watchdogs(self.watch, self.kernel, ["10.0.0.9"], log)

    def told(self) -> list[tuple[str, str]]:
        records = events.read(self.directory / "events", EventsQuery(cluster="plant"))
        return [(record.severity, record.kind) for record in records]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def eventually(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < ends, "it did not come true"
        time.sleep(0.005)


def test_a_flushed_switch_is_an_alarm_and_comes_back_armed(stage: Stage) -> None:
    watchdogs = stage.begin()
    watchdogs.arm(100)
    stage.kernel.rules = ()
    watchdogs.arm(200)
    assert stage.watch.until == 200
    eventually(lambda: not watchdogs.missing)
    assert (stage.kernel.rules, stage.kernel.passes) == (("10.0.0.9",), 200)
    assert stage.told() == [("alarm", "dead_man_lost"), ("info", "dead_man_restored")]


def test_until_it_is_back_the_guard_watches_alone(stage: Stage) -> None:
    watchdogs = stage.begin()
    stage.kernel.rules, stage.kernel.works = (), False
    watchdogs.arm(200)
    assert stage.watch.until == 200
    assert watchdogs.missing
    eventually(lambda: watchdogs.missing == "nft is not installed")


def test_where_there_is_none_it_is_not_tried_at_every_beat(stage: Stage) -> None:
    stage.kernel.works = False
    watchdogs = stage.begin()
    for beat in range(1, 100):
        watchdogs.arm(beat)
    assert stage.kernel.installs == 1
    assert stage.told() == []


def test_an_exclusive_holder_gets_its_traffic_back_after_a_flush(stage: Stage) -> None:
    watchdogs = stage.begin()
    stage.kernel.rules = ()
    watchdogs.release()
    eventually(lambda: not watchdogs.missing)
    assert stage.kernel.passes == -1
    assert stage.watch.until == 0


def test_other_addresses_are_protected_at_once_and_the_lease_goes_on(stage: Stage) -> None:
    watchdogs = stage.begin()
    watchdogs.arm(300)
    watchdogs.protect(["10.0.0.10"])
    eventually(lambda: stage.kernel.rules == ("10.0.0.10",) and stage.kernel.passes == 300)
