"""Rows of the fault table that need replicated data; where nothing is replicated they are listed, not run."""

from __future__ import annotations

from hsorch.sim.expect import ALARMED, CRASHED, NOBODY, Active, Bound, Expect, Row
from hsorch.sim.fault import Fault
from hsorch.spec import Spec


def data_rows(spec: Spec) -> tuple[Row, ...]:
    needs = "" if spec.replication is not None else "replication"
    complete = spec.policy.takeover == "complete"
    resync = Fault(0, "resync", "standby", value=8000)
    forced = (
        Fault(0, "partition", "", 10_000),
        Fault(5000, "crash", "preferred", 7000),
        Fault(8000, "order", "other", what="takeover"),
    )
    return (
        Row("24", "I/O error on a replicated directory of the active", (Fault(0, "data-fails", "active"),),
            Expect(Active.MOVED, Bound.REPAIR, alarm=True), watch=40_000, unwitnessed=NOBODY, needs=needs),
        Row("25", "Mount point of the standby lost", (Fault(0, "data-fails", "standby"),), ALARMED,
            needs=needs),
        Row("30", "Switch while a resync is running",
            (resync, Fault(1000, "order", "active", what="switch")),
            Expect(Active.SAME, Bound.ZERO, alarm=True, code="HS748"), needs=needs),
        Row("35a", "Crash of the active during a resync", (resync, Fault(2000, "crash", "active")), NOBODY,
            needs=needs),
        Row("35b", "Witness and all links lost during the resync of a returned standby",
            (Fault(0, "partition", "", 3000), Fault(1500, "resync", "standby", value=20_000),
             Fault(8000, "witness-down"), Fault(8000, "partition")), ALARMED, watch=20_000, needs=needs),
        Row("36", "Crash of the standby during a resync, repeated",
            (Fault(0, "resync", "standby", value=3000), Fault(1000, "crash", "standby", 500),
             Fault(4000, "crash", "standby", 500)), ALARMED, needs=needs),
        Row("37a", "Replication stalls while heartbeats are fine", (Fault(0, "data-cut"),), ALARMED,
            needs=needs),
        Row("37b", "Replication stalls, then the active loses power",
            (Fault(0, "data-cut"), Fault(9000, "crash", "active")), NOBODY if complete else CRASHED,
            watch=20_000, unwitnessed=NOBODY, needs=needs),
        Row("37c", "Replication stalls, then witness and all links are lost",
            (Fault(0, "data-cut"), Fault(9000, "witness-down"), Fault(9000, "partition")),
            ALARMED if complete else NOBODY, watch=20_000, unwitnessed=ALARMED, needs=needs),
        Row("38", "Old active returns after a forced takeover",
            forced, Expect(Active.MOVED, Bound.REPAIR, alarm=True), watch=20_000, needs=needs),
        Row("39", "Wrong direction of a resync is asked for",
            (*forced, Fault(14_000, "choose", "preferred"), Fault(15_000, "choose", "other")),
            Expect(Active.MOVED, Bound.REPAIR, alarm=True, code="HS749"), watch=20_000, needs=needs),
    )  # fmt: skip
