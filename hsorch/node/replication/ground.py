"""What both parts of replication on a node stand on: durable state, journal, bound folders.

Source and target use the same ones, one after the other. Which part is played is decided elsewhere.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from hsorch.node.replication.capture.group import clear_mounts
from hsorch.node.replication.generations import Lineage, reached, selected
from hsorch.node.replication.journal import Journal, Start
from hsorch.node.replication.messages import Hello
from hsorch.node.replication.meta import Meta, MetaFile, Place
from hsorch.node.replication.setup import Places, Setup
from hsorch.node.replication.tree import Tree


class Ground:
    """What both parts stand on: durable state, journal, bound folders."""

    def __init__(self, places: Places, setup: Setup, boot: str) -> None:
        """Raises NodeError HS682, journal.Damaged, ValueError (durable state torn), OSError."""
        clear_mounts([Path(binding.path) for binding in setup.ordered])
        self.places, self.setup, self.boot = places, setup, boot
        job = bytes.fromhex(setup.job)
        self.meta = MetaFile(places.meta, Meta(node=setup.node, job=job, boot=boot))
        self.rebooted = self.meta.value.boot != boot
        self.trees = [Tree(number, binding) for number, binding in enumerate(setup.ordered)]
        self.journal = Journal(places.journal, Start(job=job, generation=self.meta.value.generations.current))

    def lineage(self) -> Lineage:
        """As it is now, with the end of what was written or received here."""
        return reached(self.meta.value.generations, self.journal.end)

    def choose(self) -> Lineage:
        """An operator chose this side: durably a generation that the other side can only receive whole."""
        lineage = selected(self.lineage(), new_generation())
        self.meta.change(generations=lineage)
        self.journal.begin_generation(lineage.current)
        return lineage

    def here(self) -> Place:
        journal = self.journal
        return Place(generation=journal.generation, lsn=journal.end, crc=journal.crc)

    def hello(self) -> Hello:
        return Hello(
            job=self.meta.value.job,
            node=self.setup.node,
            purpose="stream",
            lineage=self.meta.value.generations,
            end=self.here(),
        )

    def set_aside(self, tree: Tree, name: str) -> None:
        place = self.places.aside / f"{time.time_ns()}" / str(tree.number) / name
        place.parent.mkdir(parents=True)
        shutil.move(tree.path(name), place)

    def empty(self) -> None:
        """Before a first mirror: what is bound here and came from elsewhere is kept, but out of the way."""
        for tree in self.trees:
            for name in os.listdir(tree.path("")):
                if tree.covers(name) or tree.covers_folder(name):
                    self.set_aside(tree, name)

    def close(self) -> None:
        self.journal.close()
        for tree in self.trees:
            tree.close()


def new_generation() -> int:
    return int.from_bytes(os.urandom(8), "little") | 1
