"""What a pair in memory holds: lineages, files and quarantines, which node verbs about data answer from.

The quarantines are real ones; surveys are stories, because the real ones need a replicator (tests/lab).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from hsorch.errors import HsorchError, RefusedError
from hsorch.node.operate_data import DataAsk, DataOrder, KeptFile, Restored, Shown
from hsorch.node.replication.generations import Fork, Lineage, meet, selected
from hsorch.node.replication.listing import Page
from hsorch.node.replication.orders import Chosen, ReplicationStatus
from hsorch.node.replication.quarantine import About, Quarantine
from hsorch.node.replication.survey import Standing, Survey
from hsorch.verbs import DataReport

SECOND = 10**9
START_NS = 1_769_846_400 * SECOND
"""2026-01-31T08:00:00Z."""
COMMON = 7
SOURCE = DataReport(role="source", state="complete", phase="live", connected=True, followed=True)
TARGET = DataReport(role="target", state="logical", phase="live", connected=True)
BOOK, PAGE = "/srv/app/book.db", "/srv/images/page.jpg"


def file(path: str, size: int, second: int = 0) -> Standing:
    return Standing(path=os.fsencode(path), size=size, mtime_ns=START_NS + second * SECOND)


@dataclass
class Held:
    """Of one node. wrote: what it alone wrote into ordered folders; watched: all files of those."""

    lineage: Lineage
    quarantine: Quarantine
    wrote: list[Standing] = field(default_factory=list)
    ordered: list[Standing] = field(default_factory=list)
    watched: list[Standing] = field(default_factory=list)
    refuses: HsorchError | None = None
    lost: HsorchError | None = None
    """Its disk is another one: nothing can be looked at."""


class Holdings:
    """After a partition: both nodes went on from generation 7. `orders`: (node, verb, order)."""

    def __init__(self, home: Path) -> None:
        self.pair: Any = None
        self.orders: list[tuple[str, str, DataOrder]] = []
        self.nodes: dict[str, Held] = {}
        for name, current in (("a", 0xA), ("b", 0xB)):
            lineage = Lineage(current=current, base=Fork(generation=COMMON, lsn=1000), end=1500)
            self.nodes[name] = Held(lineage, Quarantine(home / name, 1 << 30))

    def keep(self, node: str, incident: str, root: Path, *names: str) -> None:
        about = About(
            incident=incident, time="2026-01-31T08:00:01.000Z", reason="select-source a", generation=0xB
        )
        opened = self.nodes[node].quarantine.open(about)
        for name in names:
            opened.keep(str(root), name)
        opened.close()

    def answer(self, node: str, verb: str, stdin: bytes) -> Any:
        held = self.nodes[node]
        if verb in ("survey", "listing"):
            if held.lost is not None:
                raise held.lost
            ask = msgspec.json.decode(stdin, type=DataAsk)
            return (
                self._survey(node, ask) if verb == "survey" else Page(files=tuple(held.watched), more=False)
            )
        order = msgspec.json.decode(stdin, type=DataOrder)
        if not verb.startswith("quarantine") or verb in ("quarantine-drop", "quarantine-restore"):
            self.orders.append((node, verb, order))
        if held.refuses is not None:
            raise held.refuses
        return getattr(self, f"_{verb.replace('-', '_')}")(held, order)

    def _survey(self, node: str, ask: DataAsk) -> Survey:
        held = self.nodes[node]
        here = {f.path: f for f in (*held.ordered, *held.wrote)}
        seen = Survey(
            node=node, role="source" if node == "a" else "target", lineage=held.lineage, consistent=True
        )
        asked = tuple(here[path] for path in ask.paths if path in here)
        if ask.theirs is None:
            return msgspec.structs.replace(seen, asked=asked)
        verdict = meet(held.lineage, ask.theirs)
        size = sum(file.size for file in held.wrote)
        return msgspec.structs.replace(
            seen, meeting=verdict.meeting.value, reason=verdict.reason, fork=verdict.fork,
            files=len(held.wrote), size=size, written=size,
            newest_ns=max((f.mtime_ns for f in held.wrote), default=0), listed=tuple(held.wrote),
        )  # fmt: skip

    def _choose(self, held: Held, order: DataOrder) -> Chosen:
        if order.winner is None:
            held.lineage = selected(held.lineage, 0xC)
        return Chosen(lineage=order.winner or held.lineage)

    def _verify(self, held: Held, order: DataOrder) -> ReplicationStatus:
        return ReplicationStatus(role="source", state="live", mode="none")

    _release_deletions = _follow = _verify

    def _quarantine_list(self, held: Held, order: DataOrder) -> Any:
        return held.quarantine.incidents()

    def _quarantine_show(self, held: Held, order: DataOrder) -> Shown:
        (incident,) = [i for i in held.quarantine.incidents() if i.about.incident == order.incident]
        kept = held.quarantine.listing(order.incident)
        files = tuple(
            KeptFile(what=k.what, path=os.fsencode(k.root) + b"/" + k.path, size=k.size, mtime_ns=START_NS)
            for k in kept
        )
        return Shown(incident=incident, total=len(kept), files=files)

    def _quarantine_restore(self, held: Held, order: DataOrder) -> Restored:
        restored = held.quarantine.restore(order.incident, Path(order.to), order.only or None)
        return Restored(files=len(restored), to=order.to)

    def _quarantine_drop(self, held: Held, order: DataOrder) -> dict[str, str]:
        held.quarantine.drop(order.incident)
        return {}


REFUSAL = RefusedError("the group runs on a", hint="hsorch bring-out first", code="HS749")
