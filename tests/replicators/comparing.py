"""Both sides of a comparison in one process: what they say to each other goes over the wire's own codec."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from hsorch.node.replication.answer import Answerer, Questions
from hsorch.node.replication.capture.compare import Comparison
from hsorch.node.replication.capture.group import Capture
from hsorch.node.replication.capture.log import Log
from hsorch.node.replication.capture.outlining import Outlining
from hsorch.node.replication.doubt import Brought, Extents
from hsorch.node.replication.image import Image
from hsorch.node.replication.messages import Outline, Pictured
from hsorch.node.replication.outline import Part
from hsorch.node.replication.record import Record
from hsorch.node.replication.tree import Tree
from hsorch.node.replication.whereabouts import Where, Whereabouts

Spoken = TypeVar("Spoken", Outline, Pictured)


class Compared:
    """run() makes the records that make `there` equal. saw(outline): of each, before it is answered."""

    def __init__(
        self,
        here: Sequence[Tree],
        capture: Capture,
        there: Sequence[Tree],
        *,
        extents: Extents | None = None,
        brought: Brought | None = None,
        saw: Callable[[Outline], None] = lambda outline: None,
        before: Callable[[Image], None] = lambda image: None,
    ) -> None:
        self._there = there
        self._answerer = Answerer(there, extents, brought)
        self._saw = saw
        self.outlining = Outlining(here, capture.log, extents=extents)
        self.comparison = Comparison(
            here, capture.log, capture.nodes, capture.files, self.outlining.heard, extents=extents,
            before=before,
        )  # fmt: skip

    def run(self, begin: Record) -> Record:
        outlined(self.outlining, self._there, begin.lsn, self._answerer, self._saw)
        assert everywhere(self._answerer.index) == everywhere(Whereabouts(self._there))
        return self.comparison.run(begin)

    @property
    def in_full(self) -> list[str]:
        """Names that the quick way was not enough for."""
        return sorted(name for _, name in self.outlining.heard.differing if name)

    @property
    def checked(self) -> int:
        return self.outlining.checked + self.comparison.checked


def everywhere(index: Whereabouts) -> dict[int, list[Where]]:
    return {fid: sorted(names) for fid, names in index._names.items()}


def outlined(
    outlining: Outlining,
    there: Sequence[Tree],
    lsn: int,
    answerer: Answerer,
    saw: Callable[[Outline], None] = lambda outline: None,
) -> None:
    questions = Questions(len(there))

    def say(outline: Outline) -> None:
        saw(outline)
        questions.put(over_the_wire(outline))
        for pictured in answerer.answer(questions.next(lsn)):
            outlining.hear(over_the_wire(pictured))

    outlining.run(lsn, say)


def over_the_wire(message: Spoken) -> Spoken:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=type(message))


def image_of(trees: Sequence[Tree]) -> Image:
    """Of a standby whose source has nothing."""
    image = Image()
    parts = [Part(tree.number, b"", []) for tree in trees]
    for pictured in Answerer(trees, None).answer(Outline(lsn=1, number=0, parts=parts, last=True)):
        for told in pictured.objects:
            image.add(told)
    return image


def seen_by(
    log: Log,
    here: Sequence[Tree],
    there: Sequence[Tree],
    saw: Callable[[Outline], None] = lambda outline: None,
) -> Image:
    """What the source knows of its standby, once that has answered."""
    outlining = Outlining(here, log)
    outlined(outlining, there, 1, Answerer(there, None), saw)
    return outlining.heard.image
