"""The fault table as data: every fault a pair must live through, and what must come of it.

Numbers are those of docs/simulator.md. A row that needs replicated data is listed and not run. Bounds are
computed from the pair's own timings.
"""

from __future__ import annotations

from dataclasses import dataclass

from hsorch.sim.expect import ALARMED, CRASHED, NOBODY, RELEASED, Active, Bound, Expect, Row
from hsorch.sim.fault import Fault
from hsorch.sim.table_data import data_rows
from hsorch.spec import Process, Service, Spec


@dataclass(frozen=True, slots=True)
class Bounds:
    """Longest outages in milliseconds, from the timings of the pair."""

    release: int
    restart: int
    crash: int

    def of(self, bound: Bound) -> int:
        """-1: no limit."""
        match bound:
            case Bound.ZERO:
                return 0
            case Bound.RELEASE:
                return self.release
            case Bound.RESTART:
                return self.restart
            case Bound.CRASH:
                return self.crash
            case Bound.REPAIR:
                return -1


MOVE_MS = 48
"""Stop and start of the virtual services (20 ms each, addresses 2 ms), and an answer of the witness."""


def bounds(spec: Spec) -> Bounds:
    policy = spec.policy
    rho = policy.drift_ppm / 1e6
    wait = (policy.lease_ms + policy.fence_ms) * (1 + rho) / (1 - rho) + policy.slack_ms
    beat = max(link.interval_ms for link in spec.links)
    detect = max(
        (r.check_interval_ms + r.check_limit_ms) * r.max_check_failures for r in spec.group.resources
    )
    release = MOVE_MS + 2 * beat
    return Bounds(
        release=release,
        restart=detect + 2 * release,
        crash=int(wait) + beat + MOVE_MS,
    )


def program(spec: Spec) -> str:
    """The first resource that is a program; empty when the group has none."""
    return next((r.name for r in spec.group.resources if isinstance(r, Service | Process)), "")


def rows(spec: Spec) -> tuple[Row, ...]:
    """All rows in order; timings of faults that must fit the pair's own are computed."""
    return (
        *_power(spec),
        *_network(spec),
        *_machines(spec),
        *_resources(spec),
        *_operations(spec),
        *data_rows(spec),
    )


def select(spec: Spec, wanted: tuple[str, ...]) -> tuple[Row, ...]:
    """Rows by number (`2`, `14`, `32a`) or name; all when nothing is wanted. Raises KeyError(name)."""
    table = rows(spec)
    if not wanted:
        return table
    chosen = []
    for name in wanted:
        hits = [r for r in table if name in (r.row, r.row.rstrip("abcd"), r.name)]
        if not hits:
            raise KeyError(name)
        chosen += hits
    return tuple(chosen)


def _power(spec: Spec) -> tuple[Row, ...]:
    start_wait = spec.policy.start_wait_ms
    return (
        Row("1", "Active loses power", (Fault(0, "crash", "active"),), CRASHED, unwitnessed=NOBODY),
        Row("2", "Active reboots faster than detection", (Fault(0, "crash", "active", 300),),
            Expect(Active.ONE, Bound.CRASH)),
        Row("3", "Active shuts down cleanly", (Fault(0, "order", "active", what="shutdown"),), RELEASED),
        Row("33a", "Both boot cold, no link between them, no witness",
            (Fault(0, "partition"), Fault(0, "witness-down"),
             Fault(20, "crash", "preferred", 1000), Fault(20, "crash", "other", 1000)),
            NOBODY, watch=start_wait + 20_000, unwitnessed=Expect(Active.SAME, Bound.REPAIR)),
        Row("33b", "Both boot cold, no link between them, witness there",
            (Fault(0, "partition"), Fault(0, "crash", "preferred", 1000), Fault(0, "crash", "other", 1000)),
            Expect(Active.ONE, Bound.REPAIR), watch=start_wait + 20_000),
        Row("34a", "Only the stale node boots, the newest is dead",
            (Fault(0, "partition", "", 6000), Fault(5000, "crash", "preferred"),
             Fault(5000, "crash", "other", 1000)), NOBODY, watch=start_wait + 20_000),
        Row("34b", "Only the stale node boots, an operator forces it",
            (Fault(0, "partition", "", 6000), Fault(5000, "crash", "preferred"),
             Fault(5000, "crash", "other", 1000), Fault(12_000, "order", "other", what="takeover")),
            Expect(Active.MOVED, Bound.REPAIR), watch=20_000),
        Row("45a", "State file of the standby is torn", (Fault(0, "torn", "standby", 1000),), ALARMED),
        Row("45b", "State file of the active is torn", (Fault(0, "torn", "active", 3000),),
            Expect(Active.ONE, Bound.CRASH, alarm=True), unwitnessed=Expect(Active.ONE, Bound.REPAIR)),
        Row("48", "Failed node returns", (Fault(0, "crash", "active", 5000),), CRASHED,
            watch=20_000, unwitnessed=Expect(Active.ONE, Bound.REPAIR), stays=True),
    )  # fmt: skip


def _network(spec: Spec) -> tuple[Row, ...]:
    single = len(spec.links) == 1
    rough = spec.policy.lease_ms >= 1000
    hop = spec.policy.lease_ms / 15
    loss = 30 if rough else 10
    late = spec.policy.witness_lost_after_ms + 12_000
    keep_alone = ALARMED if spec.policy.witness_lost == "prefer_incumbent" else NOBODY
    flaps = tuple(Fault(3000 * n, "partition", "", 1500) for n in range(200))
    return (
        Row("9", "One heartbeat link is cut", (Fault(0, "link-cut", what="first"),), ALARMED,
            needs="a second link in the manifest" if single else ""),
        Row("10", "All links between the nodes are cut", (Fault(0, "partition"),), ALARMED),
        Row("11", "Active is cut from peer, witness and clients", (Fault(0, "isolate", "active"),), CRASHED,
            unwitnessed=NOBODY),
        Row("12", "Standby is cut from everything", (Fault(0, "isolate", "standby"),), ALARMED),
        Row("13", "Active cannot reach the witness", (Fault(0, "witness-cut", "active"),), ALARMED,
            unwitnessed=Expect(Active.SAME, Bound.ZERO)),
        Row("14", "Witness down, later all links cut", (Fault(0, "witness-down"), Fault(late, "partition")),
            keep_alone, watch=late + 15_000, unwitnessed=ALARMED),
        Row("15", "Witness and all links lost at once", (Fault(0, "witness-down"), Fault(0, "partition")),
            NOBODY, watch=10_000, unwitnessed=ALARMED),
        Row("16a", "Witness slow, all links cut", (Fault(0, "witness-slow"), Fault(10, "partition")),
            NOBODY, watch=8000, unwitnessed=ALARMED),
        Row("16b", "Witness read-only, all links cut",
            (Fault(0, "witness-read-only"), Fault(10, "partition")), NOBODY, watch=10_000,
            unwitnessed=ALARMED),
        Row("17", "Witness replaced by an empty one", (Fault(0, "witness-replaced"),), ALARMED, watch=20_000,
            unwitnessed=Expect(Active.SAME, Bound.ZERO)),
        Row("18a", "Only frames of the active arrive", (Fault(0, "one-way", "standby"),), ALARMED),
        Row("18b", "Only frames of the standby arrive", (Fault(0, "one-way", "active"),), ALARMED),
        Row("19", "Loss, delay, reordering and duplicates",
            (Fault(0, "lossy", value=loss), Fault(0, "slow", value=hop), Fault(0, "reorder", value=hop),
             Fault(0, "duplicate", value=10)), watch=60_000),
        Row("40", "Virtual address is answered by a third host",
            (Fault(0, "address-taken", "standby"), Fault(10, "crash", "active")), NOBODY),
        Row("41", "Clients ignore the first announcements",
            (Fault(0, "deaf-to-arp", value=hop), Fault(10, "crash", "active")), CRASHED, unwitnessed=NOBODY),
        Row("42", "Service NIC of the standby is down", (Fault(0, "service-link-down", "standby"),), ALARMED),
        Row("51", "Witness dies in the middle of a takeover, links come back",
            (Fault(0, "partition", "", 4 * spec.policy.lease_ms), Fault(0, "witness-cut", "active"),
             Fault(spec.policy.lease_ms, "witness-down")), Expect(Active.ONE, Bound.REPAIR), watch=60_000),
        Row("46a", "Forged and replayed heartbeats",
            (Fault(0, "forged", "active"), Fault(0, "forged", "standby"), Fault(0, "replay", "active"),
             Fault(0, "replay", "standby"))),
        Row("46b", "Replayed heartbeats of a dead active",
            (Fault(0, "replay", "standby"), Fault(10, "crash", "active")), CRASHED, unwitnessed=NOBODY),
        Row("47", "A link flaps every 3 s for 10 min", flaps, ALARMED, watch=600_000),
    )  # fmt: skip


def _machines(spec: Spec) -> tuple[Row, ...]:
    hour = 3_600_000
    long = spec.policy.lease_ms + spec.policy.fence_ms + 3000
    return (
        Row("4", "Agent on the active is killed", (Fault(0, "agent-kill", "active"),)),
        Row("5", "Agent on the active dies again and again", (Fault(0, "agent-loop", "active", 30_000),),
            CRASHED, watch=20_000, unwitnessed=ALARMED),
        Row("6", "Agent on the active freezes", (Fault(0, "agent-freeze", "active", 60_000),),
            CRASHED if spec.replication is None else Expect(Active.ONE, Bound.CRASH),
            watch=70_000, unwitnessed=Expect(Active.ONE, Bound.REPAIR)),
        Row("7", "Whole machine pauses past its lease", (Fault(0, "vm-pause", "active", long),), CRASHED,
            watch=long + 10_000, unwitnessed=Expect(Active.ONE, Bound.REPAIR)),
        Row("8", "Machine is restored from an old snapshot",
            (Fault(0, "snapshot", "preferred"), Fault(0, "crash", "preferred", 3000),
             Fault(15_000, "rolled-back", "preferred", 1000)),
            CRASHED, watch=30_000, unwitnessed=Expect(Active.ONE, Bound.REPAIR)),
        Row("20", "Wall clocks jump by an hour",
            (Fault(0, "clock-step", "active", value=hour), Fault(3000, "clock-step", "standby", value=-hour),
             Fault(6000, "clock-step", "active", value=-hour))),
        Row("21", "Clock rates off by 0.1 percent, then power loss",
            (Fault(0, "clock-rate", "active", value=-1000), Fault(0, "clock-rate", "standby", value=1000),
             Fault(30_000, "crash", "active")), CRASHED, watch=45_000, unwitnessed=NOBODY),
        Row("22", "Active gets no CPU for 5 s", (Fault(0, "agent-freeze", "active", 5000),),
            Expect(Active.ONE, Bound.CRASH), unwitnessed=Expect(Active.ONE, Bound.REPAIR)),
        Row("23a", "Disk of the active is full, then links are cut",
            (Fault(0, "disk-full", "active"), Fault(2000, "partition")),
            CRASHED, unwitnessed=Expect(Active.ONE, Bound.REPAIR)),
        Row("23b", "Disk of the standby is full, then power loss",
            (Fault(0, "disk-full", "standby"), Fault(2000, "crash", "active")), NOBODY),
        Row("23c", "Disk of the active hangs, then links are cut",
            (Fault(0, "disk-slow", "active", value=long), Fault(2000, "partition")),
            CRASHED, unwitnessed=Expect(Active.ONE, Bound.REPAIR)),
    )  # fmt: skip


def _resources(spec: Spec) -> tuple[Row, ...]:
    name = program(spec)
    needs = "" if name else "a program among the resources"
    stop = max(r.stop_limit_ms for r in spec.group.resources)
    return (
        Row("26", "Service does not start on the standby, switch",
            (Fault(0, "start-fails", "standby", what=name), Fault(10, "order", "active", what="switch")),
            Expect(Active.SAME, Bound.RESTART, alarm=True), needs=needs),
        Row("27", "Service does not stop, switch",
            (Fault(0, "stop-hangs", "active", what=name), Fault(10, "order", "active", what="switch")),
            Expect(Active.MOVED, Bound.REPAIR), watch=stop + 15_000, needs=needs),
        Row("28a", "Service runs but does not answer", (Fault(0, "service-hang", "active", what=name),),
            Expect(Active.SAME, Bound.RESTART), watch=30_000, needs=needs),
        Row("28b", "Service dies and cannot be restarted",
            (Fault(0, "start-fails", "active", what=name), Fault(10, "service-kill", "active", what=name)),
            Expect(Active.MOVED, Bound.RESTART, alarm=True), watch=30_000, needs=needs),
        Row("29", "A dependency fails in the middle of a start",
            (Fault(0, "start-fails", "standby", what=name), Fault(10, "crash", "active")), NOBODY,
            needs=needs),
        Row("49", "Service NIC of the active is down", (Fault(0, "service-link-down", "active"),),
            RELEASED),
    )  # fmt: skip


def _operations(spec: Spec) -> tuple[Row, ...]:
    return (
        Row("31", "Switch is ordered on both nodes at once",
            (Fault(0, "order", "preferred", what="switch"), Fault(0, "order", "other", what="switch")),
            Expect(Active.ONE, Bound.RELEASE)),
        Row("32a", "Active loses power in the middle of a switch",
            (Fault(0, "order", "active", what="switch"), Fault(15, "crash", "active")),
            Expect(Active.ONE, Bound.CRASH), unwitnessed=NOBODY),
        Row("32b", "Active loses power as it hands over",
            (Fault(0, "crash-on-write", "active"), Fault(0, "order", "active", what="switch")),
            Expect(Active.MOVED, Bound.CRASH), unwitnessed=NOBODY),
        Row("32c", "Standby loses power as it takes over",
            (Fault(0, "crash-on-write", "standby"), Fault(0, "order", "active", what="switch")),
            NOBODY if spec.replication and spec.policy.takeover == "complete" else
            Expect(Active.SAME, Bound.CRASH), unwitnessed=NOBODY),
        Row("43", "Specs differ between the nodes", (Fault(0, "config-differs", "standby"),), ALARMED),
        Row("44", "Agents are replaced one after the other",
            (Fault(0, "agent-kill", "standby"), Fault(500, "stranger-version", "active"),
             Fault(5000, "agent-kill", "active")), ),
        Row("50", "Operator switches", (Fault(0, "order", "active", what="switch"),), RELEASED, stays=True),
    )  # fmt: skip
