"""Many seeds over several processes, and what came of them all."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed

import msgspec

from hsorch.sim.schedules import Outcome, draw, run
from hsorch.spec import Spec, decode_spec, encode

CHUNK = 50
"""Seeds per task of a worker."""


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    seeds: int
    violated: tuple[Outcome, ...]
    exceptions: int
    """Runs in which a thawed machine overlapped for one step (documented, not a violation)."""
    overlaps: int
    """Runs with two active nodes under the unsound isolation heuristic."""
    moves: int
    worst_outage_ms: float


def sweep(
    spec: Spec, first: int, count: int, jobs: int, progress: Callable[[int], None] = lambda done: None
) -> Summary:
    """Run the schedules of `count` seeds from `first` on; progress is told how many are done."""
    outcomes: list[Outcome] = []
    for chunk in _chunks(spec, first, count, jobs):
        outcomes += chunk
        progress(len(outcomes))
    return Summary(
        seeds=len(outcomes),
        violated=tuple(sorted((o for o in outcomes if o.invariant), key=lambda o: o.seed)),
        exceptions=sum(o.exceptions > 0 for o in outcomes),
        overlaps=sum(o.overlaps > 0 for o in outcomes),
        moves=sum(o.moves for o in outcomes),
        worst_outage_ms=max((o.outage_ms for o in outcomes), default=0.0),
    )


def _chunks(spec: Spec, first: int, count: int, jobs: int) -> Iterator[list[Outcome]]:
    starts = range(first, first + count, CHUNK)
    sizes = [min(CHUNK, first + count - s) for s in starts]
    data = encode(spec)
    if jobs <= 1:
        yield from (run_chunk(data, s, n) for s, n in zip(starts, sizes, strict=True))
        return
    with ProcessPoolExecutor(max_workers=jobs) as pool:
        tasks = [pool.submit(run_chunk, data, s, n) for s, n in zip(starts, sizes, strict=True)]
        for task in as_completed(tasks):
            yield task.result()


def run_chunk(data: bytes, first: int, count: int) -> list[Outcome]:
    """In a worker. Worlds are full of cycles; collecting once per chunk is a third faster."""
    spec = decode_spec(data)
    gc.disable()
    try:
        return [run(spec, draw(spec, seed)) for seed in range(first, first + count)]
    finally:
        gc.enable()
        gc.collect()
