"""What this node is to its peer's data, and the change from one to the other: nothing, source, or target.

Keeps the lineage (generations.py) and the bookkeeping (meta.py) true to what happens; the work of a role is
done by source.py and target.py. Both use the one journal, so a target that takes over goes on where it ends.
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from hsorch.errors import NodeError
from hsorch.node import enrolment
from hsorch.node.paths import Paths
from hsorch.node.replication.bindings import Binding, resolve
from hsorch.node.replication.capture.group import clear_mounts
from hsorch.node.replication.generations import begin, go_on_alone, reached
from hsorch.node.replication.journal import Journal, Start
from hsorch.node.replication.messages import Hello
from hsorch.node.replication.meta import Meta, MetaFile, Place
from hsorch.node.replication.record import Kind
from hsorch.node.replication.source import Source
from hsorch.node.replication.space import Level as Space
from hsorch.node.replication.space import Limits, free_bytes, judge
from hsorch.node.replication.target import Target
from hsorch.node.replication.tls import Keys
from hsorch.node.replication.tree import Tree
from hsorch.node.system import system
from hsorch.spec import Spec
from hsorch.verbs import DataOrder, DataReport


@dataclass(frozen=True)
class Way:
    """One link that data may take: this node's address and the peer's, without prefix."""

    link: str
    here: str
    there: str


@dataclass(frozen=True)
class Site:
    """All that an engine works with."""

    node: str
    job: bytes
    folder: Path
    keys: Keys
    bindings: tuple[Binding, ...]
    ways: tuple[Way, ...]
    port: int
    ack: str
    limits: Limits
    boot: str


class Ledger:
    """The one journal and what must not be forgotten beside it; shared by the roles."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.meta = MetaFile(site.folder / "meta", Meta(node=site.node, job=site.job))
        self.journal = Journal(site.folder / "journal", Start(job=site.job, generation=1))
        self.epoch = (0, 0)

    def place(self) -> Place:
        journal = self.journal
        return Place(generation=journal.generation, lsn=journal.end, crc=journal.crc)

    def hello(self) -> Hello:
        place = self.place()
        return Hello(
            job=self.site.job,
            node=self.site.node,
            purpose="stream",
            epoch=self.epoch,
            lineage=reached(self.meta.value.generations, place.lsn),
            end=place,
        )


class Engine:
    """Implements process.Engine."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._ledger = Ledger(site)
        self._trees: tuple[Tree, ...] = ()
        self._source: Source | None = None
        self._target: Target | None = None
        self._followed = False
        self._space: Space = Space.OK
        self._guard = threading.Lock()

    # ------------------------------------------------------------------- orders

    def heed(self, epoch: tuple[int, int]) -> None:
        self._ledger.epoch = max(self._ledger.epoch, epoch)

    def source(self, order: DataOrder) -> None:
        """Raises NodeError HS692: what lies here is half of an image."""
        if self._source is not None and self._source.mounted:
            return
        crashed = self._ledger.meta.value.role == "source" and self._source is None
        self._leave_source()
        self._leave_target()
        meta = self._ledger.meta.value
        if meta.generations.receiving:
            raise NodeError(
                "the data on this node are half of an image: a mirror onto it was not finished",
                hint="let the other node be active; the mirror goes on by itself",
                code="HS692",
            )
        self._begin_generation(meta)
        trees = self._open_trees(create=False)
        self._ledger.meta.change(role="source", clean=False, consistent=True, boot=self._site.boot)
        self._followed = False
        self._source = Source(self._ledger, trees, redo=crashed and not meta.clean)

    def target(self, order: DataOrder) -> None:
        if self._target is not None:
            return
        self._leave_source()
        trees = self._open_trees(create=True)
        self._ledger.meta.change(role="target")
        self._followed = False
        self._target = Target(self._ledger, trees)

    def release(self, order: DataOrder) -> None:
        """Raises NodeError HS684: somebody still has files open. See status for whether the peer has all."""
        if self._source is None:
            return
        self._followed = self._source.release()
        self._leave_source()

    def abort(self, order: DataOrder) -> None:
        source = self._source
        if source is not None:
            source.abort()
            self._leave_source()

    def thaw(self, order: DataOrder) -> None:
        """Raises NodeError HS693: the target came level since, or this node is no source."""
        if self._source is None or not self._source.thaw(order.level):
            raise NodeError("there is nothing to thaw", hint="none needed: the standby follows", code="HS693")

    def close(self) -> None:
        self._leave_source()
        self._leave_target()

    # ------------------------------------------------------------------- status

    def status(self) -> DataReport:
        source, target, meta = self._source, self._target, self._ledger.meta.value
        self._space = judge(self._space, free_bytes(self._site.folder), self._site.limits)
        common: dict[str, Any] = {
            "generation": f"{meta.generations.current:016x}" if meta.generations.current else "",
            "lsn": self._ledger.journal.end,
            "space": str(self._space),
        }
        if source is not None:
            return source.report(common)
        if target is not None:
            return target.report(common)
        state = "unknown" if not meta.generations.current else "logical"
        if not meta.consistent:
            state = "inconsistent" if meta.generations.current else "unknown"
        elif meta.role == "none" and meta.clean:
            state = "complete"
        return DataReport(role="none", state=state, phase="stopped", followed=self._followed, **common)

    # -------------------------------------------------------------------- roles

    def _begin_generation(self, meta: Meta) -> None:
        """A first source begins the line; one that may not have all that was written forks it."""
        lineage, journal = reached(meta.generations, self._ledger.journal.end), self._ledger.journal
        if not lineage.current:
            lineage = begin(_new_generation())
        elif meta.role == "target" and not meta.clean:
            lineage = go_on_alone(lineage, _new_generation(), journal.end)
        self._ledger.meta.change(generations=lineage)
        if journal.generation != lineage.current:
            journal.generation = lineage.current
            journal.append(Kind.GENERATION)

    def _open_trees(self, *, create: bool) -> tuple[Tree, ...]:
        """Below whatever a killed predecessor left mounted."""
        if self._trees:
            return self._trees
        folders = [Path(binding.path) for binding in self._site.bindings]
        clear_mounts(folders)
        if create:
            for folder in folders:
                folder.mkdir(parents=True, exist_ok=True)
        self._trees = tuple(Tree(number, binding) for number, binding in enumerate(self._site.bindings))
        return self._trees

    def _leave_source(self) -> None:
        with self._guard:
            source, self._source = self._source, None
        if source is None:
            return
        source.stop()
        self._ledger.journal.sync()
        self._ledger.meta.change(role="none", clean=self._followed, checkpoint=self._ledger.place())

    def _leave_target(self) -> None:
        """Everything that is spooled gets into the files. Raises NodeError HS694: it can't."""
        target, self._target = self._target, None
        if target is None:
            return
        try:
            target.finish()
        except (OSError, ValueError) as error:
            raise NodeError(
                f"what was received cannot be brought into the files: {error}",
                hint="see to the disk; the other node has everything",
                code="HS694",
            ) from error


def open_engine(paths: Paths) -> Engine:
    """Of this node, by what the installer left. Raises NodeError HS605, HS603, HS681."""
    identity, spec = enrolment.identity(paths), enrolment.spec(paths)
    replication = spec.replication
    if replication is None:
        raise NodeError("nothing is replicated here", hint="hsorch plan", code="HS605")
    bindings, _ = resolve(Binding(**msgspec.structs.asdict(b)) for b in replication.bindings)
    paths.replication.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Engine(
        Site(
            node=identity.node,
            job=bytes.fromhex(identity.cluster_id)[:16],
            folder=paths.replication,
            keys=Keys(paths.channel_certificate, paths.channel_key, paths.channel_peer),
            bindings=tuple(b for b in bindings if b.kind == "ordered"),
            ways=ways(spec, identity.node),
            port=replication.port,
            ack=replication.ack,
            limits=Limits(warn=replication.warn_bytes, stop=replication.stop_bytes),
            boot=system().boot_id(),
        )
    )


def ways(spec: Spec, me: str) -> tuple[Way, ...]:
    """Links with `data: true`, in order; when none says so, all."""
    chosen = [link for link in spec.links if link.data] or list(spec.links)
    here, there = spec.node(me), spec.peer_of(me)
    return tuple(
        Way(link.name, _bare(here.nics[link.nic].address), _bare(there.nics[link.nic].address))
        for link in chosen
    )


def _bare(cidr: str) -> str:
    return cidr.partition("/")[0]


def _new_generation() -> int:
    return secrets.randbits(63) | 1 << 62
