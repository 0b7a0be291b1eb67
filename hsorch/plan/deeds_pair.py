"""Deeds that end when the pair's agents say so: reload, verify, bring-in, bring-out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from hsorch.errors import NodeError, RefusedError
from hsorch.node.deploy import Reload
from hsorch.node.deployment.wire import Done
from hsorch.plan.deed import Plain, Site
from hsorch.plan.model import Step
from hsorch.verbs import Operate, StatusReport

PAIR_LIMIT_S = 30.0
GROUP_SLACK_S = 30.0
LAST_EVENTS = 6
POLL_S = 0.2


class ReloadSpec(Plain):
    def do(self, step: Step) -> None:
        self.site.ask(step.node, "reload", Reload(cluster=self.site.plan.cluster), Done)

    def verify(self, step: Step) -> None:
        until_ready(lambda: _current(self.site, step.node), "the agent:", PAIR_LIMIT_S)


class VerifyPair(Plain):
    def do(self, step: Step) -> None:
        """Nothing is changed; see verify."""

    def verify(self, step: Step) -> None:
        until_ready(self._missing, "the pair:", PAIR_LIMIT_S)

    def _missing(self) -> str:
        return next(filter(None, (_in_step(self.site, node) for node in self.site.transports)), "")


class MoveGroup(Plain):
    """bring-in and bring-out, by whichever node the agents take the order from."""

    def __init__(self, site: Site, verb: str) -> None:
        super().__init__(site)
        self._verb = verb
        self._wanted = verb == "bring-in"
        self._desired = "in" if self._wanted else "out"

    def check(self, step: Step) -> bool:
        reports = self._reports()
        running = any(r.up for r in reports)
        return running == self._wanted and all(r.desired == self._desired for r in reports)

    def do(self, step: Step) -> None:
        reports = self._reports()
        if all(r.desired == self._desired for r in reports):
            # The wish stands already (a first spec carries it): the agents are at it, see verify.
            return
        node = next((r.node for r in reports if r.active == r.node), self.site.plan.spec.preferred)
        order = Operate(
            cluster=self.site.plan.cluster,
            verb=self._verb,
            actor=self.site.owner,
            id=f"{self.site.operation}-{self._verb}",
            timeout_ms=int(self._limit_s * 1000),
        )
        with self._explained():
            self.site.ask(node, "operate", order, dict[str, str], timeout=self._limit_s + 5)

    def verify(self, step: Step) -> None:
        failed = {r.node: _failures(r) for r in self._reports()}
        with self._explained():
            until_ready(lambda: self._missing(failed), "the group", self._limit_s)

    @property
    def _limit_s(self) -> float:
        """All resources may need their whole time, one after the other."""
        resources = self.site.plan.spec.group.resources
        limits = (r.start_limit_ms if self._wanted else r.stop_limit_ms for r in resources)
        return GROUP_SLACK_S + sum(limits) / 1000

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """A failure tells what went wrong on the nodes: their last warnings and alarms."""
        try:
            yield
        except (NodeError, RefusedError) as error:
            events = [e for node in self.site.transports for e in self.site.status(node).events]
            grave = sorted((e for e in events if e.severity != "info"), key=lambda e: e.time)
            lines = [f"{e.node}: {e.message}" for e in grave[-LAST_EVENTS:]]
            error.detail = "\n".join([*filter(None, [error.detail]), *lines])
            raise

    def _reports(self) -> list[StatusReport]:
        return [self.site.status(node) for node in self.site.transports]

    def _missing(self, failed: Mapping[str, int]) -> str:
        """What is not as wanted yet; empty when all is.

        failed: event id of each node's last give-up before. A node gives up when nobody else can take the
        group either: waiting longer is idle. Raises NodeError HS454.
        """
        reports = self._reports()
        waiting = [r.node for r in reports if r.desired != self._desired]
        if waiting:
            return f"is not yet desired {self._desired} on {' and '.join(waiting)}"
        if self._wanted and any(_failures(r) > failed[r.node] for r in reports):
            raise NodeError(
                "the group does not start on either node",
                hint="repair what the detail names; the pair goes on trying by itself",
                code="HS454",
            )
        if any(r.up for r in reports) != self._wanted:
            return "does not run" if self._wanted else "still runs"
        return ""


def _failures(report: StatusReport) -> int:
    """Event id of the last time that this node gave the group up; 0: not of late."""
    return max((e.id for e in report.events if e.kind == "group_failed"), default=0)


def _current(site: Site, node: str) -> str:
    report = site.status(node)
    if (report.revision, report.digest) != (site.plan.spec.revision, site.plan.digest):
        return f"{node} runs revision {report.revision}, not {site.plan.spec.revision}"
    return ""


def _in_step(site: Site, node: str) -> str:
    return _current(site, node) or hears_peer(site, node)


def hears_peer(site: Site, node: str) -> str:
    report = site.status(node)
    return "" if report.peer_seen else f"{node} does not hear {report.peer}"


def until_ready(missing: Callable[[], str], what: str, limit_s: float) -> None:
    """Wait until nothing is missing. Raises NodeError HS450 with what still is."""
    end = time.monotonic() + limit_s
    while why := missing():
        if time.monotonic() >= end:
            raise NodeError(
                f"{what} {why} after {limit_s:g} s",
                hint="see `hsorch status` and `hsorch events` for the reason",
                code="HS450",
            )
        time.sleep(POLL_S)
