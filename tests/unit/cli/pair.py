"""A pair of nodes in memory: they answer status, events and operate as real ones do."""

from __future__ import annotations

import msgspec

from hsorch.errors import NodeError, RefusedError, TransportError
from hsorch.node import control
from hsorch.node.operate_data import VERBS as DATA_VERBS
from hsorch.transport.base import Completed
from hsorch.transport.fake import FakeTransport
from hsorch.verbs import (
    DataReport,
    EventRecord,
    EventsQuery,
    LimitReport,
    LinkReport,
    Operate,
    Reply,
    ResourceReport,
    StatusReport,
)
from tests.unit.cli.data_pair import Holdings

MANIFEST = """\
version: 1
cluster: plant-7
servers:
  a:
    connect: {lab: {}}
    nics:
      service: {name: eth0, address: 10.77.0.11/24}
      heartbeat: {name: eth1, address: 10.77.1.1/30}
  b:
    connect: {lab: {}}
    nics:
      service: {name: eth0, address: 10.77.0.12/24}
      heartbeat: {name: eth1, address: 10.77.1.2/30}
preferred: a
links: {direct: {nic: heartbeat}, lan: {nic: service}}
group: {name: DSS, vip: {address: 10.77.0.10/24}, services: {dss: {}}}
"""


def event(node: str, number: int, second: int, severity: str = "info", **more: str) -> EventRecord:
    return EventRecord(
        id=number,
        time=f"2026-01-31T08:00:{second:02d}.000Z",
        severity=severity,
        node=node,
        group="DSS",
        kind=more.get("kind", "note"),
        message=more.get("message", f"event {number} of {node}"),
        code=more.get("code", ""),
    )


class FakePair:
    """`a` is active, `b` is standby. `orders` lists what was operated, with the node that got it."""

    def __init__(self) -> None:
        self.orders: list[tuple[str, Operate]] = []
        self.events = {
            "a": [event("a", 1, 1), event("a", 2, 3, "alarm", code="HS720", kind="takeover")],
            "b": [event("b", 1, 2)],
        }
        self.news: list[list[EventRecord]] = []
        """What each `tail` finds, in turn; after the last the user presses Ctrl-C."""
        self.data: dict[str, DataReport] = {}
        self.limits: dict[str, tuple[LimitReport, ...]] = {"a": (), "b": ()}
        self.protected = True
        self.holdings: Holdings | None = None
        """None: nothing is replicated."""
        self.active = self.holder = "a"
        self.nodes = {name: FakeTransport(self._handler(name)) for name in ("a", "b")}

    def lose(self, name: str, times: int = 8) -> None:
        """The node does not answer any more."""
        for _ in range(times):
            error = TransportError(f"{name} does not answer", hint="is it on?", code="HS501")
            self.nodes[name].fail_next(error)

    def _handler(self, name: str):
        def answer(argv: list[str], stdin: bytes) -> Completed:
            verb = argv[-1]
            data: object
            if verb in DATA_VERBS:
                assert self.holdings is not None
                try:
                    data = self.holdings.answer(name, verb, stdin)
                except (NodeError, RefusedError) as error:
                    return Completed(1, msgspec.json.encode(control.failure(error)))
            elif verb == "status":
                data = self.report(name)
            elif verb == "events":
                query = msgspec.json.decode(stdin, type=EventsQuery)
                graver = ("alarm",) if query.severity == "alarm" else ("info", "warning", "alarm")
                data = [record for record in self.events[name] if record.severity in graver]
            elif verb == "tail":
                if not self.news:
                    raise KeyboardInterrupt
                data = [record for record in self.news.pop(0) if record.node == name]
            else:
                self._operate(name, msgspec.json.decode(stdin, type=Operate))
                data = {"message": f"{verb} is done"}
            reply = Reply(ok=True, data=msgspec.Raw(msgspec.json.encode(data)))
            return Completed(0, msgspec.json.encode(reply))

        return answer

    def _operate(self, name: str, order: Operate) -> None:
        self.orders.append((name, order))
        self.holder = order.target or self.holder

    def report(self, name: str) -> StatusReport:
        active = name == "a"
        return StatusReport(
            cluster="plant-7",
            node=name,
            peer="b" if active else "a",
            version="0.1.0",
            wire=1,
            revision=4,
            digest="9f2c" * 16,
            role="active" if active else "standby",
            epoch_major=3,
            epoch_minor=1,
            holder=self.holder,
            solo=False,
            active=self.active,
            up=bool(self.active),
            protected=self.protected,
            desired="in",
            maintenance=False,
            stale=False,
            peer_seen=True,
            peer_role="standby" if active else "active",
            lease_left_ms=1200 if active else 1950,
            witness="ok",
            assurance="kernel",
            guard_alive=True,
            data=self.data.get(name),
            links=(
                LinkReport(
                    name="direct",
                    local="10.77.1.1",
                    remote="10.77.1.2",
                    up=True,
                    received=990,
                    lost=10,
                    rejected=0,
                    rtt_us=300,
                    age_ms=40,
                ),
                LinkReport(
                    name="lan",
                    local="10.77.0.11",
                    remote="10.77.0.12",
                    up=active,
                    received=1000,
                    lost=0,
                    rejected=2,
                    rtt_us=0,
                    age_ms=40,
                ),
            ),
            resources=(
                ResourceReport(name="IP-DSS", kind="ip", status="running" if active else "stopped"),
                ResourceReport(name="NT-dss", kind="service", status="running" if active else "stopped"),
            ),
            limits=self.limits[name],
            events=tuple(self.events[name]),
            last_outage_ms=84 if active else -1,
        )
