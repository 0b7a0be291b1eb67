"""The agent and its replicator: what is asked when, and what the core gets to hear."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import MagicMock

import pytest
from msgspec.structs import replace

from hsorch.errors import NodeError
from hsorch.node import clock
from hsorch.node.core.state import Group, Phase
from hsorch.node.core.types import Config, DataChanged, DataState, Epoch, Instant
from hsorch.node.data import DataDriver, Door
from hsorch.node.data_report import state_of
from hsorch.node.dialogue import Heard
from hsorch.node.paths import Paths
from hsorch.node.replication.orders import ReplicationStatus
from hsorch.node.report import data_limits
from hsorch.spec import Binding, Replication
from hsorch.verbs import DataReport
from tests.unit.core.conftest import make_spec
from tests.unit.core.duo import Duo
from tests.unit.node.replicator import ToldReplicator

SOURCE = ReplicationStatus(
    role="source", state="streaming", mode="durable", connected=True, guarded=True, lsn=5_000, applied=5_000
)


class Link:
    """A driver with its replicator, and a core's state to drive by."""

    def __init__(self, paths: Paths, report: ReplicationStatus) -> None:
        self.replicator = ToldReplicator(paths, report)
        self.door = Door(paths)
        self.driver = DataDriver(self.door)
        self.driver.start()
        bound = Replication(bindings=(Binding(path="/srv", kind="ordered"),))
        self.state = Duo(replace(make_spec(takeover="complete"), replication=bound)).boot().state("a")
        self.heard: list[DataChanged] = []

    def be(self, *, acting: bool, solo: bool = False, holder: str = "a") -> None:
        config = Config(epoch=Epoch(3, 1), holder=holder, solo=solo)
        self.state = replace(
            self.state,
            durable=replace(self.state.durable, config=config),
            group=Group(phase=Phase.ON if acting else Phase.OFF),
        )

    def turn(self) -> None:
        news = self.driver.turn(self.state)
        if news is not None:
            self.heard.append(news)
        self.driver.confirm(self.state)

    def until(self, what: str, limit_s: float = 10.0) -> None:
        """Turns go by until the replicator was told it."""
        self.until_so(lambda: what in self.replicator.told, limit_s)

    def until_heard(self, limit_s: float = 10.0) -> None:
        """Turns go by until the core hears something of a replicator that answers."""
        self.until_so(lambda: any(news.state is not DataState.UNKNOWN for news in self.heard), limit_s)

    def until_so(self, true: Callable[[], bool], limit_s: float = 10.0) -> None:
        """Turns go by until it is true."""
        ends = time.monotonic() + limit_s
        while not true():
            assert time.monotonic() < ends, f"{self.replicator.told}, {self.heard}"
            self.turn()
            time.sleep(0.01)

    def turns(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            self.turn()
            time.sleep(0.01)


@pytest.fixture
def paths() -> Iterator[Paths]:
    """A short name: that of a socket may have 107 bytes."""
    with TemporaryDirectory(prefix="d", dir="/tmp") as root:
        paths = Paths("p", Path(root))
        paths.run.mkdir(parents=True)
        yield paths


@pytest.fixture
def link(paths: Paths) -> Iterator[Link]:
    link = Link(paths, SOURCE)
    yield link
    link.driver.stop()
    link.replicator.close()


def test_an_active_source_is_left_alone(link: Link) -> None:
    link.be(acting=True)
    link.until("authority")
    link.until_heard()
    link.turns(0.6)
    assert link.replicator.told == ["reload", "authority"], "its setup, and in whose name it speaks, no more"
    assert [said.state for said in link.heard] == [DataState.COMPLETE]


def test_a_source_whose_group_is_off_becomes_the_target(link: Link) -> None:
    link.be(acting=False, holder="b")
    link.until("target")


def test_the_core_hears_of_the_epoch_that_its_replicator_remembers(link: Link) -> None:
    link.replicator.report = replace(SOURCE, role="target", was="target", epoch=(4, 2))
    link.be(acting=False, holder="b")
    link.until_heard()
    assert link.heard[-1].epoch == Epoch(4, 2)


def test_flushes_thaw_only_after_the_core_has_heard_that_they_are_not_guarded(link: Link) -> None:
    link.be(acting=True)
    link.until_heard()
    assert link.heard[-1].guarded
    link.replicator.report = replace(SOURCE, frozen=2, connected=False)
    link.turns(0.6)
    assert "thaw" not in link.replicator.told, "in a pair the standby has a vote"
    link.be(acting=True, solo=True)
    link.until("thaw")
    assert not link.heard[-1].guarded


def test_what_the_replicator_was_asked_before_the_data_were_started_counts_no_more(link: Link) -> None:
    """It is the source by then; its last word may be of the standby that it was."""
    link.be(acting=True)
    link.until_heard()
    link.state = replace(link.state, data_starts=1)
    link.heard.clear()
    link.turn()
    assert link.heard == [], "what is known is from before"
    link.until_heard()
    assert link.heard[-1].guarded


def test_a_thaw_that_came_too_late_is_taken_back(link: Link) -> None:
    """The standby was connected again in between: the replicator refuses, and goes on guarding."""
    link.replicator.refuses = {"thaw"}
    link.replicator.report = replace(SOURCE, connected=False)
    link.be(acting=True, solo=True)
    link.until("thaw")
    link.replicator.report = SOURCE
    link.until_so(lambda: link.heard[-1].guarded)


@pytest.mark.parametrize("drains", [True, False])
def test_a_release_tells_whether_the_peer_has_everything(link: Link, drains: bool) -> None:
    link.replicator.drains = drains
    assert link.door.order("release", 2.0).followed is drains
    assert link.replicator.told == ["drain", "none"]


def test_a_replicator_that_is_gone_makes_the_data_unknown(link: Link) -> None:
    link.be(acting=True)
    link.until_heard()
    link.replicator.close()
    link.until_so(lambda: link.driver.report is None and link.heard[-1].state is DataState.UNKNOWN)


@pytest.mark.parametrize(
    ("seen", "worth"),
    [
        (ReplicationStatus(role="none", state="", mode="none", blank=True), "blank"),
        (ReplicationStatus(role="target", state="", mode="none", blank=True, lsn=4096), "blank"),
        (ReplicationStatus(role="target", state="", mode="none", lsn=9), "inconsistent"),
        (ReplicationStatus(role="target", state="", mode="none", generation=1, consistent=True), "logical"),
        (
            ReplicationStatus(
                role="target", state="", mode="none", generation=1, consistent=True, guarded=True
            ),
            "logical",
        ),
        (
            ReplicationStatus(
                role="target", state="", mode="durable", generation=1, consistent=True, guarded=True
            ),
            "complete",
        ),
        (
            ReplicationStatus(role="target", state="", mode="durable", generation=1, consistent=True),
            "logical",
        ),
        (
            ReplicationStatus(
                role="target", state="", mode="none", generation=1, consistent=True, verify_needed="touched"
            ),
            "outdated",
        ),
        (ReplicationStatus(role="target", state="", mode="none", generation=1, fault="EIO"), "unknown"),
        (ReplicationStatus(role="none", state="", mode="none", generation=1, was="source"), "complete"),
    ],
)
def test_what_lies_on_a_node_is_worth_what_its_replicator_can_say_of_it(
    seen: ReplicationStatus, worth: str
) -> None:
    assert state_of(seen).value == worth


def test_a_new_epoch_is_told_once(link: Link) -> None:
    link.be(acting=True)
    link.until("authority")
    link.turns(0.6)
    assert link.replicator.told == ["reload", "authority"]
    link.be(acting=True, solo=True)
    link.turns(0.6)
    assert link.replicator.told == ["reload", "authority"], "the same epoch"


def test_a_standby_is_level_again_once_the_replicator_speaks_for_the_new_epoch(link: Link) -> None:
    """PROTECTED is not said while a switch would be refused."""
    link.replicator.report = replace(SOURCE, level=True)
    link.be(acting=True)
    link.until("authority")
    link.until_so(lambda: bool(link.heard) and link.heard[-1].image.level and link.heard[-1].followed)
    before = len(link.heard)
    config = replace(link.state.durable.config, epoch=Epoch(3, 2))
    link.state = replace(link.state, durable=replace(link.state.durable, config=config))
    link.turn()
    assert [said.image.level or said.followed for said in link.heard[before:]] == [False], "at once"
    link.until_so(lambda: link.heard[-1].image.level and link.heard[-1].followed)
    assert link.replicator.told.count("authority") == 2


def test_a_new_spec_is_told_until_the_replicator_has_taken_it(link: Link) -> None:
    link.replicator.refuses.add("reload")
    link.be(acting=True)
    link.until("reload")
    link.until_so(lambda: link.replicator.told.count("reload") > 1)
    link.replicator.refuses.clear()
    link.until("authority")
    told = link.replicator.told.count("reload")
    link.turns(0.6)
    assert link.replicator.told.count("reload") == told
    link.state = replace(link.state, spec=replace(link.state.spec, revision=link.state.spec.revision + 1))
    link.until_so(lambda: link.replicator.told.count("reload") > told)
    link.turns(0.6)
    assert link.replicator.told.count("reload") == told + 1


def test_a_replicator_that_answers_with_an_error_is_not_called_silent() -> None:
    door = MagicMock(spec=Door)
    door.status.side_effect = NodeError("meta: no space left", hint="make room", code="HS640")
    driver = DataDriver(door)
    driver.start()
    try:
        ends = time.monotonic() + 10
        while driver.why_unheard is None and time.monotonic() < ends:
            time.sleep(0.01)
        (limit,) = data_limits(driver)
        assert (limit.code, limit.hint) == ("HS640", "make room")
        door.status.side_effect = NodeError("it does not run", hint="", code="HS615")
        while driver.why_unheard.code == "HS640" and time.monotonic() < ends:  # type: ignore[union-attr]
            time.sleep(0.01)
        assert [limit.code for limit in data_limits(driver)] == ["HS615"]
    finally:
        driver.stop()


def test_what_the_peer_may_lack_grows_while_the_replicator_says_nothing(paths: Paths) -> None:
    """Whoever reads it then may lose as much more by a crash."""
    driver = DataDriver(Door(paths))
    for lag_ms, least in ((12, 312), (0, 300), (-1, -1)):
        report = DataReport(role="source", state="logical", phase="live", lag_ms=lag_ms)
        said_at = Instant(clock.now() - 300 * clock.MILLISECOND)
        driver._heard = Heard(0, report, clock.now(), said_at)
        shown = driver.shown()
        assert shown is not None
        assert shown.lag_ms >= least
        assert (shown.lag_ms == -1) == (lag_ms == -1)
