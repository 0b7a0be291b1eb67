"""Services of the operating system. Tests run without systemd, so something with its habits stands in."""

from __future__ import annotations

import pytest

from hsorch.node.core.types import ResourceOutcome
from hsorch.node.resource.records import Records
from hsorch.node.system.base import Deadline, Finished, Gate, ServiceState
from hsorch.spec import CommandCheck, Service
from tests.unit.resource.world import NodeWorld, check, kill, start, stop

WEB = Service(name="web", unit="web.service")


class Manager:
    """Implements hsorch.node.system.base.Services for one unit."""

    def __init__(self, *, at_boot: bool = False, starts: str = "active", stops: str = "inactive") -> None:
        self.active = "inactive"
        self.at_boot = at_boot
        self.starts = starts
        self.stops = stops
        self.calls: list[str] = []

    def available(self) -> bool:
        return True

    def state(self, unit: str, deadline: Deadline) -> ServiceState:
        return ServiceState(
            unit=unit,
            loaded=True,
            active=self.active,
            sub="x",
            result="exit-code" if self.active == "failed" else "success",
            at_boot=self.at_boot,
            group=f"/system.slice/{unit}",
        )

    def start(self, unit: str, mark: str, deadline: Deadline, gate: Gate) -> Finished:
        with gate():
            self.calls.append("start")
        self.active = self.starts
        return Finished(None if self.starts == "activating" else 0)

    def stop(self, unit: str, mark: str, deadline: Deadline) -> Finished:
        self.calls.append("stop")
        self.active = self.stops
        return Finished(None if self.stops == "deactivating" else 0)

    def kill(self, unit: str, group: str, mark: str, deadline: Deadline) -> None:
        self.calls.append(f"kill {group}")
        self.active = "failed"


def managed(node: NodeWorld, manager: Manager) -> Manager:
    node.system.services = manager  # type: ignore[misc]
    return manager


def test_start_check_stop(node: NodeWorld) -> None:
    manager = managed(node, Manager())
    runner = node.runner(WEB)
    assert check(runner).code == "HS660"
    assert start(runner).outcome is ResourceOutcome.OK
    assert check(runner).outcome is ResourceOutcome.OK
    assert stop(runner).outcome is ResourceOutcome.OK
    assert manager.calls == ["start", "stop"]


def test_starting_what_runs_and_stopping_what_does_not_asks_the_manager_for_nothing(node: NodeWorld) -> None:
    manager = managed(node, Manager())
    runner = node.runner(WEB)
    stop(runner)
    manager.active = "active"
    start(runner)
    assert manager.calls == []


def test_a_service_found_running_is_fenced_like_one_that_we_started(node: NodeWorld) -> None:
    manager = managed(node, Manager())
    manager.active = "active"
    runner = node.runner(WEB)
    start(runner)
    ok, detail = runner.fence("test")
    assert ok, detail
    assert manager.calls == ["kill /system.slice/web.service"]


def test_a_service_that_fails_at_once_fails_its_start(node: NodeWorld) -> None:
    managed(node, Manager(starts="failed"))
    result = start(node.runner(WEB))
    assert (result.outcome, result.code) == (ResourceOutcome.FAILED, "HS660")
    assert "exit-code" in result.detail


def test_a_service_that_comes_up_too_slowly_runs_out_of_time(node: NodeWorld) -> None:
    managed(node, Manager(starts="activating"))
    assert start(node.runner(WEB), limit_s=0.5).outcome is ResourceOutcome.TIMEOUT


def test_a_hung_stop_runs_out_of_time_and_a_kill_ends_it(node: NodeWorld) -> None:
    manager = managed(node, Manager(stops="deactivating"))
    runner = node.runner(WEB)
    start(runner)
    assert stop(runner, limit_s=0.3).outcome is ResourceOutcome.TIMEOUT
    assert kill(runner).outcome is ResourceOutcome.OK
    assert manager.active == "failed"
    assert list(Records(node.paths.resources)) == []


def test_a_service_that_also_starts_at_boot_is_a_warning(node: NodeWorld) -> None:
    managed(node, Manager(at_boot=True))
    assert "systemctl disable" in start(node.runner(WEB)).detail


def test_running_but_not_answering_fails_the_check(node: NodeWorld) -> None:
    manager = managed(node, Manager())
    manager.active = "active"
    runner = node.runner(Service(name="web", unit="web.service", probe=CommandCheck(argv=("false",))))
    assert check(runner).code == "HS659"


def test_without_systemd_the_message_says_what_to_use_instead(node: NodeWorld) -> None:
    if node.system.services.available():
        pytest.skip("systemd runs here, so its absence cannot be shown")
    result = start(node.runner(WEB))
    assert (result.outcome, result.code) == (ResourceOutcome.FAILED, "HS658")
    assert "processes" in result.detail
    assert node.runner(WEB).fence("test")[0]
