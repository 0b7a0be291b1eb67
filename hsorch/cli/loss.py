"""Asks both nodes what each would lose if the other one's data counted, and puts the answers together.

Whether a choice is allowed is decided by the nodes; what of it is shown, by render/survey_text.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from hsorch.cli.nodes import Pair
from hsorch.cli.stakes import Lost, Side, Stakes
from hsorch.errors import HsorchError
from hsorch.node.operate_data import DataAsk
from hsorch.node.replication.generations import Lineage
from hsorch.node.replication.listing import Page, order
from hsorch.node.replication.survey import LISTED, Standing, Survey

LOOK_S = 600.0
LOST_DISK = "HS674"


def stakes_of(pair: Pair) -> Stakes:
    """Raises what a node that cannot be asked raises: a choice needs both."""
    first, second = pair.nodes
    held = lineages(pair)
    theirs = {first: held[second], second: held[first]}
    whole = _both(pair, {n: DataAsk(cluster=pair.cluster, theirs=theirs[n]) for n in pair.nodes})
    paths = {first: _paths(whole[second]), second: _paths(whole[first])}
    there = _both(pair, {n: DataAsk(cluster=pair.cluster, paths=paths[n]) for n in pair.nodes})
    sides = {first: _side(whole[first], there[second]), second: _side(whole[second], there[first])}
    return Stakes(_with_watched(sides, first, second, lambda node: _listed(pair, node)))


def lineages(pair: Pair) -> dict[str, Lineage]:
    """Of both nodes; quick, whatever they hold. Raises as stakes_of does."""
    asks = dict.fromkeys(pair.nodes, DataAsk(cluster=pair.cluster))
    return {node: seen.lineage for node, seen in _both(pair, asks).items()}


def lost_disk(pair: Pair, node: str) -> HsorchError | None:
    """What the node says, where a bound folder's disk is gone or another one; None: it is not so."""
    try:
        pair.ask(node, "survey", DataAsk(cluster=pair.cluster), Survey, timeout=LOOK_S)
    except HsorchError as error:
        return error if error.code == LOST_DISK else None
    return None


def _both(pair: Pair, asks: dict[str, DataAsk]) -> dict[str, Survey]:
    found: dict[str, Survey] = {}
    for node, answer in pair.ask_each("survey", asks, Survey, timeout=LOOK_S).items():
        if isinstance(answer, HsorchError):
            raise answer
        found[node] = answer
    return found


def _paths(seen: Survey) -> tuple[bytes, ...]:
    return tuple(file.path for file in seen.listed)


def _side(seen: Survey, there: Survey) -> Side:
    lost = Lost(seen.files, seen.size, seen.newest_ns, seen.exact, seen.written, seen.removed)
    theirs = {file.path: file.mtime_ns for file in there.asked}
    newer = tuple(file for file in seen.listed if file.mtime_ns > theirs.get(file.path, -1))
    return Side(seen, lost, newer=newer)


# --------------------------------------------------------------------------- watched folders


def _listed(pair: Pair, node: str) -> Iterator[Standing]:
    """All files of its watched folders, page by page."""
    after = b""
    while True:
        ask = DataAsk(cluster=pair.cluster, after=after)
        page = pair.ask(node, "listing", ask, Page, timeout=LOOK_S)
        yield from page.files
        if not page.more:
            return
        after = page.files[-1].path


@dataclass
class _Count:
    """Adds up what one node would lose."""

    lost: Lost = field(default_factory=Lost)
    newer: list[Standing] = field(default_factory=list)

    def add(self, file: Standing, theirs: Standing | None) -> None:
        if theirs is not None and (theirs.size, theirs.mtime_ns) == (file.size, file.mtime_ns):
            return
        lost = self.lost
        self.lost = replace(
            lost,
            files=lost.files + 1,
            size=lost.size + file.size,
            newest_ns=max(lost.newest_ns, file.mtime_ns),
        )
        if theirs is None or file.mtime_ns > theirs.mtime_ns:
            self.newer = _newest([*self.newer, file])


def _with_watched(
    sides: dict[str, Side], first: str, second: str, files: Callable[[str], Iterator[Standing]]
) -> dict[str, Side]:
    """Both listings are in one order: walked side by side, nothing but the current two is held."""
    counts = {first: _Count(), second: _Count()}
    mine, theirs = files(first), files(second)
    here, there = next(mine, None), next(theirs, None)
    while here is not None or there is not None:
        if there is None or (here is not None and order(here.path) < order(there.path)):
            assert here is not None
            counts[first].add(here, None)
            here = next(mine, None)
        elif here is None or order(there.path) < order(here.path):
            counts[second].add(there, None)
            there = next(theirs, None)
        else:
            counts[first].add(here, there)
            counts[second].add(there, here)
            here, there = next(mine, None), next(theirs, None)
    return {
        node: replace(
            side, watched=counts[node].lost, newer=tuple(_newest([*side.newer, *counts[node].newer]))
        )
        for node, side in sides.items()
    }


def _newest(files: list[Standing]) -> list[Standing]:
    return sorted(files, key=lambda file: file.mtime_ns, reverse=True)[:LISTED]
