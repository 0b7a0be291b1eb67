"""A fault that nobody thought of is told, and ends no thread that others wait for."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from unittest.mock import MagicMock

import msgspec
import pytest

from hsorch.node.data import DataDriver, Door
from hsorch.node.replication.bindings import Binding
from hsorch.node.replication.capture.group import Capture
from hsorch.node.replication.gate import Gate
from hsorch.node.replication.journal import Journal
from hsorch.node.replication.levelling import Levelling
from hsorch.node.replication.messages import Hello, Message, Outline, Pictured
from hsorch.node.replication.queue import Queue
from hsorch.node.replication.record import Kind
from hsorch.node.replication.segments import Start
from hsorch.node.replication.ship import Shipper
from hsorch.node.replication.source import Source
from hsorch.node.replication.stage import EVERYTHING
from hsorch.node.replication.watched.follow import Follower
from hsorch.node.replication.wire import Broken, Channel
from hsorch.verbs import DataReport
from tests.replicators.members import until
from tests.unit.replication.test_ship import JOB, Resyncs

HELLO = Hello(job=JOB, node="a", purpose="stream")


class Links:
    """The first attempt fails as no link does."""

    def __init__(self) -> None:
        self.attempts = 0

    def dial(self) -> Channel:
        self.attempts += 1
        raise ValueError("odd") if self.attempts == 1 else Broken("nobody is there")


def test_the_stream_is_tried_again(tmp_path: Path) -> None:
    journal, links = Journal(tmp_path, Start(JOB, 7)), Links()
    shipper = Shipper(journal, Gate("none"), links.dial, lambda: HELLO, Resyncs(journal))
    shipper.start()
    until(lambda: "odd" in shipper.state)
    until(lambda: links.attempts > 1)
    shipper.stop()


def test_a_watched_folder_is_followed_again(tmp_path: Path) -> None:
    links = Links()
    follower = Follower(Binding(path=str(tmp_path), kind="watched"), links.dial, lambda: HELLO)
    follower.start()
    until(lambda: "odd" in follower.status().detail)
    until(lambda: links.attempts > 1)
    follower.stop()


def test_a_comparison_is_begun_again(tmp_path: Path) -> None:
    faults: list[str] = []
    capture = MagicMock(spec=Capture)
    capture.log = SimpleNamespace(journal=Journal(tmp_path, Start(JOB, 7)), done=lambda lsn: True)
    capture.nodes = capture.files = None
    levelling = Levelling(
        [], capture, MagicMock(spec=Queue), Gate("none"), frozenset,
        on_begin=lambda: None, on_end=lambda compared, whole_from: None, on_fault=faults.append,
        on_held=lambda: None,
    )  # fmt: skip
    begin = capture.log.journal.append(Kind.MIRROR_BEGIN, a=EVERYTHING)
    levelling._open(begin, None, begin.lsn)

    def answer(outline: Message) -> None:
        assert isinstance(outline, Outline)
        levelling.told(Pictured(lsn=begin.lsn, number=outline.number, objects=[]))

    levelling.connected(answer, fresh=True)  # its log has no lock of names
    until(lambda: bool(faults))
    assert "AttributeError" in faults[0]
    levelling.close()


def test_a_source_meets_its_standby_again_after_a_comparison_that_failed() -> None:
    source = MagicMock(spec=Source)
    source.shipper = MagicMock(spec=Shipper, connections=1)
    source._failures, source._stopped = 0, threading.Event()
    source.levelling = MagicMock(bringing=False)
    Source._begin_again(source, "the comparison stopped")
    source.shipper.reconnect.assert_called_once()


@pytest.mark.parametrize("fault", [OSError("no descriptor left"), msgspec.DecodeError("of another version")])
def test_a_replicator_is_asked_again(fault: Exception) -> None:
    report = cast("DataReport", object())
    answers: list[Exception] = [fault]

    def status() -> DataReport:
        if answers:
            raise answers.pop()
        return report

    door = MagicMock(spec=Door)
    door.status = status
    driver = DataDriver(door)
    driver.start()
    until(lambda: driver.report is report)
    driver.stop()
